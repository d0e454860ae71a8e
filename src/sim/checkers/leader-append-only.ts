import type { Entry, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/** A leader never overwrites or deletes entries in its log; it only appends new ones (Figure 3, §5.3). */
export class LeaderAppendOnly implements Checker {
  readonly property = 'Leader Append-Only (§5.3)';
  private readonly logs = new Map<NodeId, { readonly term: Term; readonly entries: readonly Entry[] }>();

  stepped(node: NodeView, core: CoreView): void {
    if (core.role !== 'leader') {
      this.logs.delete(node.id);
      return;
    }
    const { firstIndex, lastIndex, term } = core;
    const entries = core.entries(firstIndex, lastIndex);
    const before = this.logs.get(node.id);
    this.logs.set(node.id, { term, entries });
    if (before?.term !== term) return;
    for (const entry of before.entries) {
      // Compaction forgets a beginning that is applied; it deletes nothing from the log's point of view (§7).
      if (entry.index < firstIndex) continue;
      if (entries[entry.index - firstIndex] !== entry) {
        throw new Violation(
          this.property,
          `${node.id} leads term ${term} and changed or dropped its own entry ${entry.index}.`,
        );
      }
    }
  }

  ended(node: NodeView): void {
    this.logs.delete(node.id);
  }
}
