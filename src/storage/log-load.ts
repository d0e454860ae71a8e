import { emptyConfiguration } from '../raft/configuration.js';
import type { Entry, HardState, Index, SnapshotMetadata, Term } from '../raft/types.js';
import {
  type CountRecord,
  countKey,
  identityKey,
  indexOfKey,
  logDamaged,
  logRange,
  type NodeIdentity,
  openEntries,
  openValue,
  type RepairRecord,
  repairKey,
  type StartRecord,
  type StateRecord,
  startKey,
  stateKey,
} from './log-records.js';
import type { OrderedStore, Pair } from './ordered-store.js';
import { TermRuns } from './term-runs.js';

/** Records read in one step of the scan; the store also bounds a step in bytes. */
const RECORDS_PER_STEP = 1024;

/** A record of the store: one for all entries of a write, because each record costs as much as the entries in it. */
export interface LogRecord {
  readonly first: Index;
  readonly last: Index;
}

/** What a node holds that never ran. */
const newHardState: HardState = { term: 0, vote: null, commit: 0 };
const newStart: StartRecord = { index: 0, term: 0, configuration: emptyConfiguration, stateDirectory: null };

export interface LoadedLog {
  readonly hardState: HardState;
  readonly compacted: SnapshotMetadata;
  readonly stateDirectory: string | undefined;
  readonly identity: NodeIdentity | undefined;
  readonly repair: RepairRecord | undefined;
  readonly entries: readonly Entry[];
  readonly records: LogRecord[];
  readonly terms: TermRuns;
  /** The generation of the count of writes, see {@link CountRecord}; 0 if none was ever counted. */
  readonly generation: number;
  /** The number of the last write; undefined if a program wrote it that does not count. */
  readonly writes: number | undefined;
}

/** Reads a log and checks that all of its records tell one story; see `LogStore.open`. */
export async function loadLog(store: OrderedStore): Promise<LoadedLog> {
  const stateBytes = store.get(stateKey);
  const startBytes = store.get(startKey);
  const identityBytes = store.get(identityKey);
  const repairBytes = store.get(repairKey);
  const countBytes = store.get(countKey);
  const state = stateBytes && openValue<StateRecord>(stateBytes, "The log's hard state");
  const start = startBytes ? openValue<StartRecord>(startBytes, "The record of the log's start") : newStart;
  const identity = identityBytes && openValue<NodeIdentity>(identityBytes, "The node's identity");
  if (state === undefined && (startBytes !== undefined || identity !== undefined)) {
    throw logDamaged('The log has no hard state.', { index: 0 });
  }
  if ((identity !== undefined) !== (state?.identified ?? false)) {
    throw logDamaged("The node's identity is missing.", { index: 0 });
  }
  if (start.index !== (state?.startIndex ?? 0)) {
    throw logDamaged(
      `The log starts after index ${start.index}, and its hard state says ${state?.startIndex}: a write is missing.`,
      { index: start.index },
    );
  }
  const reader = new LogReader(start.index, start.term);
  await readAll(store, (pair) => reader.add(pair));
  checkEnd(state, start, reader);
  return {
    hardState: state ? { term: state.term, vote: state.vote, commit: state.commit } : newHardState,
    compacted: { index: start.index, term: start.term, configuration: start.configuration },
    stateDirectory: start.stateDirectory ?? undefined,
    identity,
    repair: repairBytes && openValue<RepairRecord>(repairBytes, 'The record of the last repair'),
    entries: reader.entries,
    records: reader.records,
    terms: reader.terms,
    generation: countBytes ? openValue<CountRecord>(countBytes, 'The record of the count').generation : 0,
    writes: state?.writes,
  };
}

async function readAll(store: OrderedStore, add: (pair: Pair) => void): Promise<void> {
  const scan = store.scan(logRange);
  try {
    for (;;) {
      const pairs = await scan.next(RECORDS_PER_STEP);
      if (pairs.length === 0) return;
      for (const pair of pairs) add(pair);
    }
  } finally {
    await scan.close();
  }
}

/** The hard state names the end of the log as of its own write, so both are of one write, or one was lost. */
function checkEnd(state: StateRecord | undefined, start: StartRecord, reader: LogReader): void {
  const { lastIndex, lastTerm } = reader;
  if (state === undefined) {
    if (lastIndex > 0) throw logDamaged('The log has entries and no hard state.', { index: lastIndex });
    return;
  }
  if (state.lastIndex !== lastIndex || state.lastTerm !== lastTerm) {
    throw logDamaged(
      `The log ends at index ${lastIndex} of term ${lastTerm}, and its hard state says index ${state.lastIndex} of term ` +
        `${state.lastTerm} (commit index ${state.commit}): a write is missing.`,
      { index: Math.min(lastIndex, state.lastIndex) + 1 },
    );
  }
  if (state.commit > lastIndex || state.commit < start.index) {
    throw logDamaged(
      `The commit index ${state.commit} is outside the log, which has indexes ${start.index} to ${lastIndex}.`,
      { index: state.commit },
    );
  }
  if (state.term < lastTerm) {
    throw logDamaged(`The last entry has term ${lastTerm}, above the current term ${state.term}.`, {
      index: lastIndex,
    });
  }
}

/** Takes the records of the log in their order, and refuses the first that does not follow. */
class LogReader {
  readonly entries: Entry[] = [];
  readonly records: LogRecord[] = [];
  readonly terms: TermRuns;
  lastIndex: Index;
  lastTerm: Term;
  readonly #startIndex: Index;

  constructor(startIndex: Index, startTerm: Term) {
    this.#startIndex = startIndex;
    this.lastIndex = startIndex;
    this.lastTerm = startTerm;
    this.terms = new TermRuns(startIndex, startTerm);
  }

  add(pair: Pair): void {
    const first = indexOfKey(pair.key);
    const { previousTerm, entries } = openEntries(pair.value, first);
    const last = first + entries.length - 1;
    const expected = this.lastIndex + 1;
    if (last <= this.#startIndex) {
      throw logDamaged(`Index ${first} is still there after it was compacted: a deletion is missing.`, {
        index: first,
      });
    }
    // Only the first record may begin before the log does: a compaction leaves it as it is.
    const spans = this.records.length === 0 && first < expected;
    if (first !== expected && !spans) {
      throw logDamaged(`The log goes on with index ${first} where ${expected} belongs.`, {
        index: expected,
      });
    }
    if (!spans && previousTerm !== this.lastTerm) {
      throw logDamaged(
        `The record at index ${first} follows an entry of term ${previousTerm}, and the log has term ${this.lastTerm} ` +
          'there: a write is missing.',
        { index: first - 1 },
      );
    }
    this.#take(first, entries);
    this.records.push({ first, last });
  }

  #take(first: Index, entries: readonly Entry[]): void {
    const taken: Entry[] = [];
    for (const [offset, entry] of entries.entries()) {
      if (entry.index !== first + offset) {
        throw logDamaged(`Entry ${entry.index} stands where ${first + offset} belongs.`, {
          index: first + offset,
        });
      }
      if (entry.index < this.#startIndex) continue;
      const covered = entry.index === this.#startIndex;
      if (entry.term < this.lastTerm || (covered && entry.term !== this.lastTerm)) {
        throw logDamaged(`Entry ${entry.index} has term ${entry.term} after term ${this.lastTerm}.`, {
          index: entry.index,
        });
      }
      if (covered) continue;
      this.lastTerm = entry.term;
      this.lastIndex = entry.index;
      this.entries.push(entry);
      taken.push(entry);
    }
    this.terms.append(taken);
  }
}
