import type { Message } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * Servers update persistent state on stable storage before responding to RPCs (Figure 2, "Persistent state"; correctness
 * row 2). Checked when a message leaves, against the bytes on the disk: the term it names, the vote it gives or counts on,
 * the entries it acknowledges. Pre-votes alone may name a term that is nowhere on disk. A leader promises the most: it was
 * elected with its own vote, so that is on disk before it leads.
 */
export class DurableBeforeAnswer implements Checker {
  readonly property = 'State is on disk before the response that depends on it (Figure 2)';

  stepped(node: NodeView, core: CoreView): void {
    const { durable } = node;
    if (core.role !== 'leader' || (durable.term === core.term && durable.vote === node.id)) return;
    throw new Violation(
      this.property,
      `${node.id} leads term ${core.term}, and the disk has a vote for ${durable.vote} in term ${durable.term}.`,
    );
  }

  sending(node: NodeView, core: CoreView, message: Message): void {
    const { durable } = node;
    const isPreVoteRequest = message.type === 'requestVote' && message.preVote;
    const isPreVoteGrant = message.type === 'requestVoteResponse' && message.preVote && message.granted;
    if (!isPreVoteRequest && !isPreVoteGrant && message.term > durable.term) {
      this.fail(node, message, `names term ${message.term}, and the disk is in term ${durable.term}`);
    }
    if (message.type === 'requestVote' && !message.preVote) this.checkVote(node, message, node.id);
    if (message.type === 'requestVoteResponse' && message.granted && !message.preVote)
      this.checkVote(node, message, message.to);
    if (message.type === 'appendEntriesResponse' && message.success)
      this.checkMatch(node, core, message, message.matchIndex);
  }

  private checkVote(node: NodeView, message: Message, vote: string): void {
    const { durable } = node;
    if (durable.term === message.term && durable.vote === vote) return;
    // A later term on disk: the answer is stale, and the vote was checked when that term's state replaced it.
    if (durable.term > message.term) return;
    this.fail(node, message, `rests on a vote for ${vote}, and the disk has one for ${durable.vote}`);
  }

  private checkMatch(node: NodeView, core: CoreView, message: Message, matchIndex: number): void {
    const { durable } = node;
    if (matchIndex <= durable.startIndex) return;
    const onDisk = durable.termAt(matchIndex);
    const inLog = core.termAt(matchIndex);
    // A newer leader replaced what this answer speaks of, and one write carried both: to the old leader it is the same as
    // if the entry had been on disk for a moment. That nothing committed is replaced is for Leader Completeness to say.
    const isOvertaken = message.term < core.term && (inLog === undefined || inLog > message.term);
    const isCompacted = matchIndex < core.firstIndex - 1;
    if (isOvertaken || (onDisk !== undefined && (onDisk === inLog || isCompacted))) return;
    this.fail(
      node,
      message,
      `acknowledges index ${matchIndex} of term ${inLog}, and the disk has ${onDisk === undefined ? 'nothing' : `term ${onDisk}`} there`,
    );
  }

  private fail(node: NodeView, message: Message, what: string): never {
    throw new Violation(this.property, `The ${message.type} of ${node.id} to ${message.to} ${what}.`);
  }
}
