import type { Message, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * A pre-vote is an opinion: whoever is asked for one changes no term (thesis §9.6; correctness row 5), or a node that lost touch could
 * depose a leader that everybody else hears.
 */
export class PreVote implements Checker {
  readonly property = 'A pre-vote changes no term (thesis §9.6)';
  private readonly terms = new Map<NodeId, Term>();

  started(node: NodeView, core: CoreView): void {
    this.terms.set(node.id, core.term);
  }

  stepped(node: NodeView, core: CoreView): void {
    this.terms.set(node.id, core.term);
  }

  received(node: NodeView, core: CoreView, message: Message): void {
    const before = this.terms.get(node.id);
    this.terms.set(node.id, core.term);
    if (message.type !== 'requestVote' || !message.preVote || before === undefined || core.term === before)
      return;
    throw new Violation(
      this.property,
      `${node.id} went from term ${before} to ${core.term} when ${message.from} asked for a pre-vote.`,
    );
  }
}
