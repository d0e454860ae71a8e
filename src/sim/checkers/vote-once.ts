import type { Message, NodeId } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * Each server will vote for at most one candidate in a given term (§5.2), over crashes too: what the disk says of a term
 * never changes once it is set, and no two candidates hear of a vote in one term, whatever was forgotten in between.
 */
export class VoteOnce implements Checker {
  readonly property = 'A vote is set at most once a term (§5.2)';
  private readonly onDisk = new Map<string, NodeId>();
  private readonly given = new Map<string, NodeId>();

  persisted(node: NodeView): void {
    const { term, vote } = node.durable;
    if (vote === null) {
      const before = this.onDisk.get(nameOf(node, term));
      if (before !== undefined) this.fail(node, `wrote no vote in term ${term} over one for ${before}`);
    } else {
      this.note(this.onDisk, node, term, vote, 'wrote');
    }
  }

  sending(node: NodeView, _core: CoreView, message: Message): void {
    if (message.type === 'requestVoteResponse' && message.granted && !message.preVote)
      this.note(this.given, node, message.term, message.to, 'gave');
    // A candidate asks for votes when it has voted for itself.
    if (message.type === 'requestVote' && !message.preVote)
      this.note(this.given, node, message.term, node.id, 'gave');
  }

  private note(votes: Map<string, NodeId>, node: NodeView, term: number, vote: NodeId, verb: string): void {
    const name = nameOf(node, term);
    const before = votes.get(name);
    if (before === undefined) votes.set(name, vote);
    else if (before !== vote) this.fail(node, `${verb} its vote of term ${term} to ${vote}, after ${before}`);
  }

  private fail(node: NodeView, what: string): never {
    throw new Violation(this.property, `${node.id} ${what}.`);
  }
}

function nameOf(node: NodeView, term: number): string {
  return `${node.id}/${node.incarnation}/${term}`;
}
