import type { CommandResult } from '../../kv/types.js';
import type { Entry } from '../../raft/types.js';
import { type Checker, type NodeView, Violation } from './checker.js';

/**
 * What a node applies is on its own disk (types.ts, `Ready.committed`; correctness rows 2 and 3): its state must never tell
 * of more than its log holds after a crash, and a write that completed must not be taken for a later one.
 */
export class AppliedIsDurable implements Checker {
  readonly property = 'Only entries on disk are applied (Ready, slot 4)';

  applied(node: NodeView, entry: Entry, _result: CommandResult | undefined): void {
    const { durable } = node;
    if (entry.index <= durable.startIndex || durable.termAt(entry.index) === entry.term) return;
    throw new Violation(
      this.property,
      `${node.id} applies entry ${entry.index} of term ${entry.term}, and the disk has ` +
        `${durable.termAt(entry.index) === undefined ? 'nothing' : `term ${durable.termAt(entry.index)}`} there.`,
    );
  }
}
