import type { CommandResult } from '../../kv/types.js';
import type { Entry } from '../../raft/types.js';
import { type Checker, type NodeView, sameEntry, Violation } from './checker.js';

/** What was applied at an index, wherever that was first. */
interface Applied {
  readonly entry: Entry;
  readonly digest: string;
}

/**
 * If a server has applied a log entry at a given index to its state machine, no other server will ever apply a different
 * log entry for the same index (Figure 3, §5.4.3). And because applying is deterministic, the state after an index is the
 * same everywhere, however it was reached (correctness rows 22 and 24): the digests say so.
 */
export class StateMachineSafety implements Checker {
  readonly property = 'State Machine Safety (§5.4.3)';
  private readonly entries: (Applied | undefined)[] = [];

  applied(node: NodeView, entry: Entry, _result: CommandResult | undefined, digest: string): void {
    const { index } = entry;
    const first = this.entries[index];
    if (first === undefined) {
      this.entries[index] = { entry, digest };
    } else if (!sameEntry(first.entry, entry)) {
      throw new Violation(
        this.property,
        `${node.id} applies an entry of term ${entry.term} at index ${index}, where one of term ${first.entry.term} was ` +
          'applied before.',
      );
    } else if (first.digest !== digest) {
      throw new Violation(
        this.property,
        `The digest after index ${index} is ${digest} on ${node.id} and ${first.digest} elsewhere.`,
      );
    }
  }
}
