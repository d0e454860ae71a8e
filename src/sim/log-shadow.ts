import type { HardState } from '../raft/types.js';
import { openValue, type StateRecord, stateKey } from '../storage/log-records.js';
import type { Operation, Pair } from '../storage/ordered-store.js';
import { sameBytes, textOf } from './bytes.js';
import { isEntriesKey } from './durable-log.js';
import type { Prng } from './prng.js';

/** The records of a log's store as they are on the disk, so that some of them can be lost or changed behind the back of the store. */
export class LogShadow {
  private readonly records = new Map<string, Extract<Operation, { kind: 'put' }>>();
  /** What was under a key before, when that was something else. */
  private readonly earlier = new Map<string, Extract<Operation, { kind: 'put' }>>();
  private state: Extract<Operation, { kind: 'put' }> | null = null;
  /** What takes the last write back, if all that it did was to add entries. */
  private undo: readonly Operation[] = [];

  /** One atomic write is on disk. */
  follow(operations: readonly Operation[]): void {
    const stateBefore = this.state;
    let added: Operation | null = null;
    let isAppend = operations.length === 2;
    for (const operation of operations) {
      if (isEntriesKey(operation.key)) {
        const key = textOf(operation.key);
        const before = this.records.get(key);
        if (before !== undefined) this.earlier.set(key, before);
        if (operation.kind === 'delete') this.records.delete(key);
        else {
          isAppend &&= !this.records.has(key);
          this.records.set(key, operation);
          added = { kind: 'delete', key: operation.key };
        }
      } else if (operation.kind === 'put' && sameBytes(operation.key, stateKey)) this.state = operation;
    }
    this.undo = isAppend && added !== null && stateBefore !== null ? [added, stateBefore] : [];
  }

  /**
   * What makes the disk look as if the last write had never been. Empty when that write did more than add entries: a vote
   * that is forgotten could be given twice, and no other node could make up for that.
   */
  cut(): readonly Operation[] {
    const [, before] = this.undo;
    if (this.state === null || before?.kind !== 'put') return [];
    return keepsVote(hardStateOf(before), hardStateOf(this.state)) ? this.undo : [];
  }

  /** What loses a record of entries, changes a bit of it, or brings an earlier one back. Empty when there is none. */
  damage(random: Prng): readonly Operation[] {
    const stale = random.pick([...this.records].flatMap(([key, record]) => this.staleOf(key, record)));
    if (stale !== undefined && random.chance(0.5)) return [stale];
    const record = random.pick([...this.records.values()]);
    if (record === undefined) return [];
    if (random.chance(0.5)) return [{ kind: 'delete', key: record.key }];
    return [withFlippedBit(record, random)];
  }

  private staleOf(key: string, { value }: Pair): readonly Operation[] {
    const earlier = this.earlier.get(key);
    return earlier === undefined || sameBytes(earlier.value, value) ? [] : [earlier];
  }
}

export function withFlippedBit({ key, value }: Pair, random: Prng): Operation {
  const changed = Uint8Array.from(value);
  const at = random.integer(0, changed.length - 1);
  changed[at] = (changed[at] ?? 0) ^ (1 << random.integer(0, 7));
  return { kind: 'put', key, value: changed };
}

function hardStateOf(operation: Extract<Operation, { kind: 'put' }>): HardState {
  return openValue<StateRecord>(operation.value, 'The simulated hard state');
}

function keepsVote(before: HardState, after: HardState): boolean {
  return before.term === after.term && before.vote === after.vote;
}
