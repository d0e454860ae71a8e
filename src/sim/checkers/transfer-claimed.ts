import type { Message, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * Only a server that its leader asked to campaign says so in its requests for votes (thesis §4.2.3): such a request is answered
 * although the voter hears a leader, so any other server that claimed it could depose that leader.
 */
export class TransferClaimed implements Checker {
  readonly property = 'Only a leadership transfer sets the transfer flag (thesis §4.2.3)';
  private readonly asked = new Map<NodeId, Set<Term>>();

  received(node: NodeView, _core: CoreView, message: Message): void {
    if (message.type !== 'timeoutNow') return;
    const terms = this.asked.get(node.id) ?? new Set();
    this.asked.set(node.id, terms.add(message.term));
  }

  sending(node: NodeView, _core: CoreView, message: Message): void {
    if (message.type !== 'requestVote' || !message.leadershipTransfer) return;
    if (!message.preVote && this.asked.get(node.id)?.has(message.term - 1) === true) return;
    throw new Violation(
      this.property,
      `${node.id} asks ${message.to} for a ${message.preVote ? 'pre-vote' : 'vote'} in term ${message.term} as if the leader of term ` +
        `${message.term - 1} had wished for it.`,
    );
  }

  ended(node: NodeView): void {
    this.asked.delete(node.id);
  }
}
