import { decodeCommand } from '../../kv/command-codec.js';
import type { Item } from '../../kv/types.js';
import { EntryKind, type Index, type NodeId } from '../../raft/types.js';
import { sameBytes, textOf } from '../bytes.js';
import { Violation } from './checker.js';
import type { StateMachineSafety } from './state-machine-safety.js';

/**
 * A stale read may show the past, never another past: the item is the one that the log up to the node's applied index
 * leaves under the key (§5.4.3; http-api.md, Reads).
 */
export class StaleReads {
  readonly property = 'A stale read shows the state at some index (§5.4.3)';
  /** Each key's values in the order of the log: where each came, and its revision; 0 for a deletion. */
  private readonly changes = new Map<
    string,
    { readonly index: Index; readonly revision: number; readonly value: Uint8Array }[]
  >();
  private readThrough: Index = 0;

  constructor(private readonly log: Pick<StateMachineSafety, 'at' | 'lastIndex'>) {}

  read(node: NodeId, key: Uint8Array, item: Item | undefined, appliedIndex: Index): void {
    this.follow();
    const changes = this.changes.get(textOf(key)) ?? [];
    const last = changes.findLast((change) => change.index <= appliedIndex);
    const revision = last?.revision ?? 0;
    const isSame =
      item === undefined
        ? revision === 0
        : item.modRevision === revision && sameBytes(item.value, last?.value ?? NO_VALUE);
    if (isSame) return;
    throw new Violation(
      this.property,
      `${node} has applied index ${appliedIndex} and shows revision ${item?.modRevision ?? 0} of ${textOf(key)}, where the ` +
        `log leaves revision ${revision}.`,
    );
  }

  private follow(): void {
    while (this.readThrough < this.log.lastIndex) {
      this.readThrough += 1;
      const applied = this.log.at(this.readThrough);
      if (applied?.entry.kind !== EntryKind.command || applied.result === undefined) continue;
      const { result } = applied;
      if (result.kind !== 'put' && result.kind !== 'delete') continue;
      const { command } = decodeCommand(applied.entry.payload);
      const index = this.readThrough;
      if (command.kind === 'put') {
        this.listOf(textOf(command.key)).push({ index, revision: result.revision, value: command.value });
      } else if (command.kind === 'delete') {
        this.listOf(textOf(command.key)).push({ index, revision: 0, value: NO_VALUE });
      } else if (command.kind === 'deletePrefix') {
        const prefix = textOf(command.prefix);
        for (const [key, changes] of this.changes) {
          if (key.startsWith(prefix)) changes.push({ index, revision: 0, value: NO_VALUE });
        }
      }
    }
  }

  private listOf(key: string) {
    const known = this.changes.get(key);
    if (known !== undefined) return known;
    const changes: { index: Index; revision: number; value: Uint8Array }[] = [];
    this.changes.set(key, changes);
    return changes;
  }
}

const NO_VALUE = new Uint8Array(0);
