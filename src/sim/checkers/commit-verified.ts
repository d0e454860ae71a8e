import type { Index, Message, NodeId } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * A follower sets its commit index to the minimum of the leader's and the index of the last entry that this very append
 * verified (Figure 2, AppendEntries, rule 5; correctness row 10): what its log holds beyond that may be another leader's.
 */
export class CommitVerified implements Checker {
  readonly property = 'A follower commits only what the append verified (Figure 2)';
  private readonly commitIndexes = new Map<NodeId, Index>();

  started(node: NodeView, core: CoreView): void {
    this.commitIndexes.set(node.id, core.commitIndex);
  }

  stepped(node: NodeView, core: CoreView): void {
    this.commitIndexes.set(node.id, core.commitIndex);
  }

  received(node: NodeView, core: CoreView, message: Message): void {
    const before = this.commitIndexes.get(node.id) ?? 0;
    this.commitIndexes.set(node.id, core.commitIndex);
    if (message.type !== 'appendEntries') return;
    const verified = message.previousIndex + message.entries.length;
    if (core.commitIndex <= Math.max(before, Math.min(message.commitIndex, verified))) return;
    throw new Violation(
      this.property,
      `${node.id} went from commit index ${before} to ${core.commitIndex} by an append of ${message.from} that ends at ` +
        `${verified} and names ${message.commitIndex}.`,
    );
  }
}
