import { decodeCommand } from '../../kv/command-codec.js';
import { decodeResult, encodeResult } from '../../kv/result-codec.js';
import type { CommandResult, Item, Revision } from '../../kv/types.js';
import { type Entry, EntryKind, type Index } from '../../raft/types.js';
import { sameBytes } from '../bytes.js';
import type { KnownLog } from '../known-states.js';
import { ReferenceStore } from '../reference-store.js';
import { type Checker, type NodeView, Violation } from './checker.js';

/**
 * Every command of the log gives on every node what a plain store gives that is told the same in the same order (§2, replicated state
 * machines; correctness rows 20, 22, 24 and 27): however the node came by its state, and whatever of it is in buffers, on disk or
 * in a snapshot.
 */
export class ReferenceModel implements Checker, KnownLog {
  readonly property = 'Every command gives the same result as the reference model (§2; docs/http-api.md)';
  readonly store: ReferenceStore;
  /** What each index must give, encoded; undefined where there is nothing to give. */
  private readonly results: (Uint8Array | undefined)[] = [undefined];
  /** The store's revision after each index. */
  private readonly revisions: Revision[] = [0];

  constructor(historyRevisions: number, historyBytes: number) {
    this.store = new ReferenceStore(historyRevisions, historyBytes);
  }

  applied(node: NodeView, { index, kind, payload }: Entry, result: CommandResult | undefined): void {
    if (index === this.results.length) {
      this.results.push(kind === EntryKind.command ? this.perform(payload) : undefined);
      this.revisions.push(this.store.revision);
    }
    const expected = this.results[index];
    const given = result && encodeResult(result);
    if (expected === given || (expected && given && sameBytes(expected, given))) return;
    throw new Violation(
      this.property,
      `${node.id} answers the command at index ${index} with ${JSON.stringify(result)}, and it should be ` +
        `${this.describe(index)}.`,
    );
  }

  /** How far the log was applied by anybody. */
  get lastIndex(): Index {
    return this.results.length - 1;
  }

  revisionAt(index: Index): Revision {
    return this.revisions[index] ?? 0;
  }

  itemAt(key: string, index: Index): Item | undefined {
    return this.store.itemAt(key, this.revisionAt(index));
  }

  private perform(payload: Uint8Array): Uint8Array {
    const { command, logTimeMs } = decodeCommand(payload);
    return encodeResult(this.store.apply(command, logTimeMs));
  }

  private describe(index: Index): string {
    const expected = this.results[index];
    return expected === undefined ? 'nothing' : JSON.stringify(decodeResult(expected));
  }
}
