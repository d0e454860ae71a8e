import { assert, present } from '../assert.js';
import { encodeEntries } from '../raft/entry-codec.js';
import type { Entry, HardState, Index, Persist, SnapshotMetadata } from '../raft/types.js';
import type { LogPosition } from './log-end.js';
import { checkLogEnd, type KnownEnds } from './log-end-check.js';
import { type LoadedLog, type LogRecord, loadLog } from './log-load.js';
import {
  type CountRecord,
  countKey,
  identityKey,
  logKey,
  type NodeIdentity,
  openEntries,
  type RepairRecord,
  repairKey,
  type StateRecord,
  sealEntries,
  sealValue,
  startKey,
  stateKey,
} from './log-records.js';
import type { Operation, OrderedStore } from './ordered-store.js';
import type { TermRuns } from './term-runs.js';

export type { NodeIdentity, RepairRecord } from './log-records.js';

/** The second place that knows how far a log is on disk: `LogEnd`. */
export interface DurableEnd extends KnownEnds {
  note(position: LogPosition): void;
}

/**
 * The Raft log and its hard state on disk (correctness rows 2, 22, 23, 29).
 *
 * Invariants, between writes:
 * - the records are contiguous, and all of them end after the compacted point;
 * - only the first record may begin at or before the compacted point: a compaction never rewrites a record;
 * - each record says the term before its first entry, and the state record says where the log begins and ends, so
 *   that a batch which the disk lost between two others is found at the next open;
 * - one write is in flight at a time (row 31), and none follows one that failed (row 30).
 */
export class LogStore {
  readonly #store: OrderedStore;
  readonly #end: DurableEnd | undefined;
  readonly #terms: TermRuns;
  #generation: number;
  /** Of this generation; undefined while the last write is one that an earlier program made, or there is none. */
  #writes: number | undefined;
  #records: LogRecord[];
  #entries: readonly Entry[];
  #hardState: HardState;
  #compacted: SnapshotMetadata;
  #stateDirectory: string | undefined;
  #identity: NodeIdentity | undefined;
  #repair: RepairRecord | undefined;
  #writing = false;
  #failed = false;

  private constructor(store: OrderedStore, loaded: LoadedLog, end: DurableEnd | undefined) {
    this.#store = store;
    this.#end = end;
    this.#generation = loaded.generation;
    this.#writes = loaded.writes;
    this.#terms = loaded.terms;
    this.#records = loaded.records;
    this.#entries = loaded.entries;
    this.#hardState = loaded.hardState;
    this.#compacted = loaded.compacted;
    this.#stateDirectory = loaded.stateDirectory;
    this.#identity = loaded.identity;
    this.#repair = loaded.repair;
  }

  /**
   * Loads the log and checks it as a whole. Throws `storage_damaged`, naming the index, when anything in it disagrees,
   * and `storage_unusable` when a newer version wrote it. A tail that was cut off looks like a write that never finished; only
   * the second place knows that its sync had returned (rule 29).
   *
   * @param end Where each write is noted after its sync. Without it, or where it knows nothing of this log, a lost tail passes.
   */
  static async open(store: OrderedStore, end?: DurableEnd): Promise<LogStore> {
    const loaded = await loadLog(store);
    if (end !== undefined) checkLogEnd(loaded, end);
    return new LogStore(store, loaded, end);
  }

  /**
   * Makes the second place know this log before the node takes part in anything. A log that an earlier program wrote last gets one write
   * for that, so that its count is on disk before anybody relies on a write of this program.
   */
  async noteEnd(): Promise<void> {
    if (this.#identity === undefined) return;
    if (this.#writes === undefined) await this.#commit([]);
    else this.#note();
  }

  /** How far the log is on disk; undefined before it has an identity, and before a write was counted. */
  get position(): LogPosition | undefined {
    if (this.#identity === undefined || this.#writes === undefined) return undefined;
    return {
      incarnation: this.#identity.incarnation,
      generation: this.#generation,
      writes: this.#writes,
      lastIndex: this.lastIndex,
      term: this.#hardState.term,
    };
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  /** The point before the first entry; index 0, term 0 and the empty configuration for a new log. */
  get compacted(): SnapshotMetadata {
    return this.#compacted;
  }

  /**
   * The entries after {@link compacted} as the open, or the bootstrap, left them. Released by the first write: from
   * then on the core holds the log.
   */
  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** The store that holds the live state, or undefined if none was named yet. */
  get stateDirectory(): string | undefined {
    return this.#stateDirectory;
  }

  get identity(): NodeIdentity | undefined {
    return this.#identity;
  }

  /** The last time that a snapshot took the place of a damaged state; undefined if none ever did. */
  get repair(): RepairRecord | undefined {
    return this.#repair;
  }

  /** The compacted point when there are no entries. */
  get lastIndex(): Index {
    return this.#records[this.#records.length - 1]?.last ?? this.#compacted.index;
  }

  /** Writes who this node is, before anything is said to anybody (architecture: identity and bootstrap). */
  async writeIdentity(identity: NodeIdentity): Promise<void> {
    this.#identity = identity;
    await this.#commit([{ kind: 'put', key: identityKey, value: sealValue(identity) }]);
  }

  /** The first write of a new member, as one: who it is, its first log, and the store of its state. */
  async writeBootstrap(
    identity: NodeIdentity,
    hardState: HardState,
    entries: readonly Entry[],
    stateDirectory: string,
  ): Promise<void> {
    assert(this.lastIndex === 0 && this.#hardState.term === 0, 'Only a new log can be bootstrapped.');
    this.#identity = identity;
    this.#stateDirectory = stateDirectory;
    const plan = new WritePlan(this.lastIndex, this.#compacted.index);
    plan.add({ sequence: 0, hardState, snapshot: null, compact: null, truncateFrom: null, entries });
    const operations = this.#perform(plan, true);
    operations.push({ kind: 'put', key: identityKey, value: sealValue(identity) });
    this.#entries = entries;
    await this.#commit(operations);
  }

  /**
   * Names another state in place of one that was damaged, with the record of that, as one write. Term and vote stay, and so does the
   * log, unless it lacks the entry at which the state ends; then the state takes its place, as a snapshot does (§7).
   *
   * @param snapshot The point that the state stands for; null where the log holds its entry.
   */
  async replaceState(
    stateDirectory: string,
    repair: RepairRecord,
    snapshot: SnapshotMetadata | null,
  ): Promise<void> {
    const plan = new WritePlan(this.lastIndex, this.#compacted.index);
    if (snapshot !== null) {
      const term = Math.max(this.#hardState.term, snapshot.term);
      const vote = term > this.#hardState.term ? null : this.#hardState.vote;
      const hardState = { term, vote, commit: snapshot.index };
      plan.add({ sequence: 0, hardState, snapshot, compact: null, truncateFrom: null, entries: [] });
      this.#entries = [];
    }
    this.#stateDirectory = stateDirectory;
    this.#repair = repair;
    const operations = this.#perform(plan, true);
    operations.push({ kind: 'put', key: repairKey, value: sealValue(repair) });
    await this.#commit(operations);
  }

  /**
   * Performs batches, in their order, as one atomic synced write. `stateDirectory` is named exactly when one of them
   * installs a snapshot. After a rejection the batches may or may not be on disk: the caller ends the process (row 30).
   */
  async write(batch: Persist | readonly Persist[], stateDirectory?: string): Promise<void> {
    const plan = new WritePlan(this.lastIndex, this.#compacted.index);
    for (const persist of Array.isArray(batch) ? (batch as readonly Persist[]) : [batch as Persist])
      plan.add(persist);
    assert(
      plan.installs === (stateDirectory !== undefined),
      'A snapshot and its state directory go together.',
    );
    if (stateDirectory !== undefined) this.#stateDirectory = stateDirectory;
    this.#entries = [];
    await this.#commit(this.#perform(plan, plan.start !== undefined));
  }

  /** Brings what is known in memory to where the plan leads, and returns the operations that bring the disk there. */
  #perform(plan: WritePlan, writeStart: boolean): Operation[] {
    assert(!this.#writing, 'One write to the log is in flight at a time.');
    const operations: Operation[] = [];
    this.#cutEnd(plan, operations);
    if (plan.start !== undefined) this.#cutStart(plan.start, operations);
    this.#append(plan, operations);
    this.#setHardState(plan.hardState ?? this.#hardState);
    if (writeStart) {
      const value = sealValue({ ...this.#compacted, stateDirectory: this.#stateDirectory ?? null });
      operations.push({ kind: 'put', key: startKey, value });
    }
    return operations;
  }

  /** Drops what a conflict (§5.3) or a snapshot (§7) took away; a record across the cut keeps its beginning. */
  #cutEnd(plan: WritePlan, operations: Operation[]): void {
    const { keepThrough } = plan;
    if (keepThrough >= this.lastIndex) return;
    // Nothing of a record that begins before the compacted point is left to keep when the cut is at that point.
    const nothingKept = keepThrough <= this.#compacted.index;
    let spanning = this.#records[this.#records.length - 1];
    while (spanning !== undefined && (nothingKept || spanning.first > keepThrough)) {
      operations.push({ kind: 'delete', key: logKey(spanning.first) });
      this.#records.pop();
      spanning = this.#records[this.#records.length - 1];
    }
    if (spanning !== undefined && spanning.last > keepThrough) {
      const key = logKey(spanning.first);
      const record = present(
        this.#store.get(key),
        () => `The record at index ${spanning.first} was written.`,
      );
      const { previousTerm, entries } = openEntries(record, spanning.first);
      const kept = entries.slice(0, keepThrough - spanning.first + 1);
      operations.push({ kind: 'put', key, value: sealEntries(previousTerm, [encodeEntries(kept)]) });
      this.#records[this.#records.length - 1] = { first: spanning.first, last: keepThrough };
    }
    this.#terms.truncateFrom(keepThrough + 1);
  }

  /** Drops the records that a compaction, or a snapshot, covers as a whole. */
  #cutStart(start: SnapshotMetadata, operations: Operation[]): void {
    const kept = this.#records.findIndex((record) => record.last > start.index);
    for (const record of this.#records.splice(0, kept === -1 ? this.#records.length : kept)) {
      operations.push({ kind: 'delete', key: logKey(record.first) });
    }
    if (this.#records.length === 0) this.#terms.reset(start.index, start.term);
    else this.#terms.compact(start.index);
    this.#compacted = start;
  }

  #append(plan: WritePlan, operations: Operation[]): void {
    const parts = plan.tail.filter((part) => part.length > 0);
    const first = parts[0]?.[0]?.index;
    if (first === undefined) return;
    assert(
      first === this.lastIndex + 1,
      () => `Entry ${first} does not follow the last index, ${this.lastIndex}.`,
    );
    const previousTerm = this.#terms.at(first - 1);
    let next = first;
    for (const part of parts) {
      for (const entry of part) {
        assert(entry.index === next, () => `Entry ${entry.index} stands where ${next} belongs.`);
        next += 1;
      }
      this.#terms.append(part);
    }
    operations.push({
      kind: 'put',
      key: logKey(first),
      value: sealEntries(previousTerm, parts.map(encodeEntries)),
    });
    this.#records.push({ first, last: next - 1 });
  }

  #setHardState(next: HardState): void {
    const before = this.#hardState;
    assert(next.term >= before.term, () => `The term never goes back, from ${before.term} to ${next.term}.`);
    assert(
      next.term > before.term || before.vote === null || next.vote === before.vote,
      () => `The vote of term ${next.term} is set once.`,
    );
    // What is compacted is committed, whether or not the hard state was rewritten since.
    const commit = Math.max(next.commit, before.commit, this.#compacted.index);
    assert(
      commit <= this.lastIndex,
      () => `The commit index ${commit} is beyond the last index, ${this.lastIndex}.`,
    );
    assert(next.term >= this.#terms.at(this.lastIndex), 'No entry has a term above the current one.');
    this.#hardState = { term: next.term, vote: next.vote, commit };
  }

  async #commit(operations: Operation[]): Promise<void> {
    assert(!this.#writing, 'One write to the log is in flight at a time.');
    assert(!this.#failed, 'Nothing is written to a log after a write to it has failed.');
    const { lastIndex } = this;
    const isCounted = this.#writes !== undefined;
    const writes = (this.#writes ?? 0) + 1;
    const state: StateRecord = {
      ...this.#hardState,
      startIndex: this.#compacted.index,
      lastIndex,
      lastTerm: this.#terms.at(lastIndex),
      identified: this.#identity !== undefined,
      writes,
    };
    if (!isCounted) {
      this.#generation += 1;
      const count: CountRecord = { generation: this.#generation };
      operations.push({ kind: 'put', key: countKey, value: sealValue(count) });
    }
    operations.push({ kind: 'put', key: stateKey, value: sealValue(state) });
    this.#writing = true;
    this.#failed = true;
    await this.#store.write(operations);
    this.#writes = writes;
    // Before anybody hears that it is on disk. Where it cannot be noted, the write has failed.
    this.#note();
    this.#writing = false;
    this.#failed = false;
  }

  #note(): void {
    const { position } = this;
    if (position !== undefined) this.#end?.note(position);
  }
}

/** What several batches come to when each is performed after the other: the later one wins. */
class WritePlan {
  /** The last index that stays of what is on disk. */
  keepThrough: Index;
  /** The new compacted point; undefined if it does not move. */
  start: SnapshotMetadata | undefined;
  /** Whether a snapshot replaces the log, rather than a compaction cutting it. */
  installs = false;
  hardState: HardState | undefined;
  /** Entries to write, contiguous over the parts; the arrays are the core's own, whose bytes are made already. */
  tail: (readonly Entry[])[] = [];
  #startIndex: Index;

  constructor(lastIndex: Index, startIndex: Index) {
    this.keepThrough = lastIndex;
    this.#startIndex = startIndex;
  }

  add(persist: Persist): void {
    if (persist.hardState !== null) this.hardState = persist.hardState;
    if (persist.snapshot !== null) {
      // Every index that was there is gone; what the log goes on with is in the tail.
      this.keepThrough = 0;
      this.tail = [];
      this.start = persist.snapshot;
      this.installs = true;
      this.#startIndex = persist.snapshot.index;
    }
    if (persist.compact !== null) this.#compact(persist.compact);
    if (persist.truncateFrom !== null) this.#truncate(persist.truncateFrom);
    if (persist.entries.length > 0) this.tail.push(persist.entries);
  }

  #compact(point: SnapshotMetadata): void {
    assert(
      point.index >= this.#startIndex,
      () => `A compaction at ${point.index} is behind the start of the log.`,
    );
    this.start = point;
    this.#startIndex = point.index;
    this.tail = this.tail
      .filter((part) => (part[part.length - 1]?.index ?? 0) > point.index)
      .map((part) =>
        (part[0]?.index ?? 0) > point.index ? part : part.filter((entry) => entry.index > point.index),
      );
  }

  #truncate(from: Index): void {
    assert(from > this.#startIndex, () => `Index ${from} is compacted, so it cannot be truncated.`);
    this.tail = this.tail
      .filter((part) => (part[0]?.index ?? from) < from)
      .map((part) =>
        (part[part.length - 1]?.index ?? 0) < from ? part : part.filter((entry) => entry.index < from),
      );
    if (!this.installs) this.keepThrough = Math.min(this.keepThrough, from - 1);
  }
}
