import { assert } from '../assert.js';
import type { ClusterVersion } from '../cluster-version.js';
import { RaftkvError } from '../errors.js';
import { decodeConfiguration } from '../raft/configuration.js';
import {
  type Configuration,
  type Entry,
  EntryKind,
  type Index,
  type SnapshotMetadata,
  type Term,
} from '../raft/types.js';
import type { StoreDirectory } from '../storage/ordered-store.js';
import { Admission } from './admission.js';
import { INDEX_BOUNDS, type IndexBounds } from './answer-index.js';
import { walkAttached } from './attachments.js';
import { BufferedStore, type StateOptions } from './buffered-store.js';
import { WINDOW_BOUNDS, type WindowBounds } from './change-window.js';
import { CommandExecutor } from './command-executor.js';
import { HISTORY_BYTES, HISTORY_REVISIONS, type HistoryBounds } from './history.js';
import type { Rest } from './live-records.js';
import { comparedInWords } from './live-sums.js';
import { readTransaction, walksAhead } from './read-transaction.js';
import { readItem, readPage } from './reader.js';
import type { Lease } from './record-codec.js';
import { checkedScan } from './snapshot-check.js';
import { encodeSnapshot } from './snapshot-stream.js';
import type { Turn } from './sorted-map.js';
import { SnapshotStaging } from './staging.js';
import { STEP_SIZES, type StepSizes } from './step-sizes.js';
import { branchesOf, measureWalks, walksPrefix } from './transaction.js';
import type {
  CommandKind,
  CommandResult,
  DeletePrefixCommand,
  IndexedSums,
  Item,
  LeaseId,
  LeaseInfo,
  ListRequest,
  ListResult,
  LogTime,
  Revision,
  TxnCommand,
  TxnReadOptions,
  WalkBounds,
  Watcher,
  WatchRequest,
} from './types.js';
import { WATCH_READS, WatchHub, type WatchReads } from './watch-hub.js';

/** The sums of the live records are remembered after each so many entries, so that members can compare theirs at the same index. */
const SUMS_ENTRIES = 1024;
/** How many of them: as far back as digests are. */
const SUMS_REMEMBERED = 16;

export interface KvOptions {
  /** Only tests shorten it. */
  readonly historyRevisions?: number;
  /** The same in bytes of superseded values. */
  readonly historyBytes?: number;
  /** What is kept in memory of answers under idempotency keys; only tests shorten it. */
  readonly answerIndex?: IndexBounds;
  /** What is kept in memory for watches; only tests shorten it. */
  readonly window?: WindowBounds;
  /** How much is done in one step; only the simulator has smaller ones. */
  readonly stepSizes?: StepSizes;
  /** What one read of a watch gives, and how many are served at once; only the simulator has less. */
  readonly watchReads?: WatchReads;
  /** Runs a task in another turn of the event loop; `setImmediate` unless time is simulated. */
  readonly soon?: (task: () => void) => void;
  /** Resolves when work that writes wait for goes on; in another turn of the event loop unless told otherwise. */
  readonly applyTurn?: Turn;
  /** Resolves when the next step of a client's long read may run; in another turn of the event loop unless told otherwise. */
  readonly readTurn?: Turn;
  /** Told of a replaced state that could not be closed or deleted: its directory only takes room until the next start. */
  readonly onBackgroundError?: (error: unknown) => void;
}

/** What is frozen for a follower: see `OutgoingSnapshot` of the shell. */
export interface KvSnapshot {
  readonly metadata: SnapshotMetadata;
  chunks(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** A snapshot that arrived as a whole: see `StagedSnapshot` of the shell. */
export interface KvStagedSnapshot {
  readonly metadata: SnapshotMetadata;
  readonly directory: string;
}

/** Opens the state in the named store, making an empty one when it is not there. */
export async function openKv(
  directory: StoreDirectory,
  name: string,
  options: KvOptions = {},
): Promise<KvStateMachine> {
  const store = await directory.open(name);
  try {
    const live = await BufferedStore.load(name, store, stateOptions(options));
    return new KvStateMachine(directory, live, options);
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Writes a snapshot to a store of its own and opens that, without any state that was there before. Rejects as `stageSnapshot` does. */
export async function restoreKv(
  directory: StoreDirectory,
  snapshot: SnapshotMetadata,
  chunks: AsyncIterable<Uint8Array>,
  options: KvOptions = {},
): Promise<KvStateMachine> {
  const staging = new SnapshotStaging(directory, stateOptions(options));
  const name = await staging.stage(snapshot, chunks);
  return new KvStateMachine(directory, staging.take(name), options);
}

/**
 * The replicated key-value store (the shell's `StateMachine`). It is a function of the log alone: no clock, no
 * randomness, no order of iteration that could differ, so that equal logs give equal states and equal digests.
 *
 * Reads see what is applied, on disk or not; `revision` reads the past, back to `compactedRevision`.
 */
export class KvStateMachine {
  readonly #directory: StoreDirectory;
  readonly #staging: SnapshotStaging;
  readonly #sizes: StepSizes;
  readonly #history: HistoryBounds;
  readonly #admission = new Admission();
  readonly #onBackgroundError: (error: unknown) => void;
  /** Watches on this state, whatever takes its place. */
  readonly #watches: WatchHub;
  #live: BufferedStore;
  #executor: CommandExecutor;
  /** After the last entries at which all members remember them, the newest first. */
  #earlierSums: readonly IndexedSums[] = [];
  /** Resolves when the states that were replaced are closed and deleted. */
  #retired: Promise<unknown> = Promise.resolve();

  constructor(directory: StoreDirectory, live: BufferedStore, options: KvOptions) {
    this.#directory = directory;
    this.#staging = new SnapshotStaging(directory, stateOptions(options));
    this.#sizes = options.stepSizes ?? STEP_SIZES;
    this.#live = live;
    const { historyRevisions: revisions = HISTORY_REVISIONS, historyBytes: bytes = HISTORY_BYTES } = options;
    this.#history = { revisions, bytes };
    this.#executor = new CommandExecutor(live, this.#history, this.#admission);
    this.#onBackgroundError = options.onBackgroundError ?? (() => {});
    this.#watches = new WatchHub(
      () => this.#live,
      options.soon ?? setImmediate,
      options.window ?? WINDOW_BOUNDS,
      options.watchReads ?? WATCH_READS,
    );
    live.follow((change) => this.#watches.record(change));
  }

  get appliedIndex(): Index {
    return this.#live.meta.appliedIndex;
  }

  get appliedTerm(): Term {
    return this.#live.meta.appliedTerm;
  }

  get flushedIndex(): Index {
    return this.#live.flushedIndex;
  }

  /** Bytes of memory, roughly, that the changes take which are not on disk. */
  get bufferedBytes(): number {
    return this.#live.bufferedBytes;
  }

  /** The configuration in force at `appliedIndex`. */
  get configuration(): Configuration {
    return this.#live.meta.configuration;
  }

  /** What every member speaks, as far as the log is applied: see src/cluster-version.ts. */
  get clusterVersion(): ClusterVersion {
    return this.#live.meta.clusterVersion;
  }

  get revision(): Revision {
    return this.#live.meta.revision;
  }

  /** The oldest revision that can be read. */
  get compactedRevision(): Revision {
    return this.#live.meta.compactedRevision;
  }

  /** Milliseconds of log time: how far the commands up to `appliedIndex` say that time has come. */
  get logTimeMs(): LogTime {
    return this.#live.meta.logTimeMs;
  }

  /** A rolling checksum of all changes and answers up to `appliedIndex`, 8 hexadecimal digits: equal on all members. */
  get digest(): string {
    return this.#live.digest.toString(16).padStart(8, '0');
  }

  /** The digest as a number where it can be compared with those of other members; null below cluster version 2. */
  get comparableDigest(): number | null {
    return this.#live.meta.clusterVersion >= 2 ? this.#live.digest : null;
  }

  /** The name of the store that holds the live state. */
  get storeName(): string {
    return this.#live.name;
  }

  /** Decodes and checks a command before it may enter the log; see {@link Admission.refuse}. */
  refuse(payload: Uint8Array): string | null {
    return this.#admission.refuse(payload);
  }

  /** The same before this node proposes a command; see {@link Admission.refuseProposal}. */
  refuseProposal(
    payload: Uint8Array,
    raisingTo: ClusterVersion | null,
    takes: (kind: CommandKind) => boolean,
  ): RaftkvError | null {
    return this.#admission.refuseProposal(payload, this.clusterVersion, raisingTo, takes);
  }

  /**
   * Decodes the command of the next entry, and finds the keys under its prefixes or of its lease, which cannot be done
   * synchronously. Only then is there something to wait for.
   */
  prepare(entry: Entry): Promise<void> | undefined {
    this.#assertNext(entry);
    return entry.kind === EntryKind.command ? this.#executor.prepare(entry) : undefined;
  }

  apply(entry: Entry): CommandResult | undefined {
    this.#assertNext(entry);
    const { meta } = this.#live;
    const result = entry.kind === EntryKind.command ? this.#executor.execute(entry) : undefined;
    if (entry.kind === EntryKind.configuration) meta.configuration = decodeConfiguration(entry.payload);
    meta.appliedIndex = entry.index;
    meta.appliedTerm = entry.term;
    if (entry.index % SUMS_ENTRIES === 0) this.#rememberSums();
    return result;
  }

  flush(): Promise<void> {
    return this.#live.flush();
  }

  /** The key's item, or undefined; as of `revision` if given. Throws `compacted` or `bad_request`. */
  get(key: Uint8Array, revision?: Revision): Item | undefined {
    if (revision === undefined) return this.#live.newest(key);
    return readItem(this.#live.layers(), key, this.#readable(revision));
  }

  /** One page, of one revision even while changes are applied. Throws `compacted` or `bad_request`. */
  async list(request: ListRequest): Promise<ListResult> {
    const revision = this.#readable(request.revision);
    const layers = this.#live.freezeForReads();
    try {
      return await readPage(layers, request, revision);
    } finally {
      await layers.close();
    }
  }

  /**
   * Answers a transaction that changes nothing, as of `revision` if given, without the log. Throws `compacted`, `bad_request`,
   * or the reason of the signal.
   */
  async readTxn(command: TxnCommand, { revision, signal }: TxnReadOptions = {}): Promise<CommandResult> {
    const readable = this.#readable(revision);
    if (!walksAhead(command)) {
      return readTransaction(this.#live.layers(), command, readable, signal);
    }
    const layers = this.#live.freezeForReads();
    try {
      return await readTransaction(layers, command, readable, signal);
    } finally {
      await layers.close();
    }
  }

  /**
   * How many keys a command passes over that walks prefixes, as this member has them; undefined where they exceed the bounds. Throws the
   * reason of the signal.
   */
  async measureWalks(
    command: TxnCommand | DeletePrefixCommand,
    bounds: WalkBounds,
    signal?: AbortSignal,
  ): Promise<number | undefined> {
    const branches = branchesOf(command);
    if (!branches.flat().some(walksPrefix)) return 0;
    // A repeat gets the first answer, however much there is to pass over by now.
    const { idempotency } = command;
    if (idempotency && this.#live.answers.find(idempotency, this.logTimeMs).result !== undefined) return 0;
    const layers = this.#live.freezeForReads();
    try {
      return await measureWalks(layers, branches, bounds, signal);
    } finally {
      await layers.close();
    }
  }

  /** A lease, unless it is gone or going. */
  lease(lease: LeaseId): LeaseInfo | undefined {
    const found = this.#live.leases.usable(lease);
    return found && infoOf(found, this.logTimeMs);
  }

  /** Up to `limit` leases after an id, in the order of ids. */
  leases(after: LeaseId, limit: number): readonly LeaseInfo[] {
    return this.#live.leases.list(after, limit).map((lease) => infoOf(lease, this.logTimeMs));
  }

  /** Up to `limit` keys that are attached to a lease, in byte order; changes that are applied meanwhile may show or not. */
  async leaseKeys(lease: LeaseId, limit: number): Promise<readonly Uint8Array[]> {
    const layers = this.#live.freezeForReads();
    try {
      const keys: Uint8Array[] = [];
      for await (const found of walkAttached(layers, lease)) {
        keys.push(...found);
        if (keys.length >= limit) break;
      }
      return keys.slice(0, limit);
    } finally {
      await layers.close();
    }
  }

  /** Up to `limit` leases that are to be expired at this log time, the first of them first. */
  dueLeases(nowMs: LogTime, limit: number): readonly { lease: LeaseId; generation: number }[] {
    return this.#live.leases.due(nowMs, limit).map(({ lease, generation }) => ({ lease, generation }));
  }

  /** When the first lease is to be expired, in log time; undefined when there is none. */
  get nextLeaseDueMs(): LogTime | undefined {
    return this.#live.leases.nextDueMs;
  }

  get leaseCount(): number {
    return this.#live.leases.count;
  }

  /** How many keys exist; see {@link BufferedStore.countKeys}. */
  countKeys(): number | undefined {
    return this.#live.countKeys();
  }

  /** Reads the records of all keys on disk and checks them; see {@link BufferedStore.checkLive}. */
  checkLive(rest: Rest, pieceRecords?: number): Promise<void> {
    return this.#live.checkLive(rest, pieceRecords);
  }

  /**
   * The sums of the records of all keys after the last entry that was applied, and after some before it that are the same on all members; the
   * newest first, and only those that are known.
   */
  liveSums(): readonly IndexedSums[] {
    const now = this.#sumsNow();
    return now === undefined ? this.#earlierSums : [now, ...this.#earlierSums];
  }

  /** Where the records of this state differ from those of another member, a sentence; '' where it is not known. */
  compareLiveSums(theirs: readonly IndexedSums[]): string {
    return comparedInWords(this.liveSums(), theirs);
  }

  #sumsNow(): IndexedSums | undefined {
    const totals = this.#live.liveTotals;
    return totals && { index: this.appliedIndex, sums: [...totals.sums] };
  }

  #rememberSums(): void {
    const now = this.#sumsNow();
    this.#earlierSums = [
      ...(now === undefined ? [] : [now]),
      ...this.#earlierSums.slice(0, SUMS_REMEMBERED - 1),
    ];
  }

  /** Begins a watch on what is applied here. Throws `compacted` when events that it should have are gone. */
  watch(request: WatchRequest): Watcher {
    return this.#watches.watch(request);
  }

  /** Whoever watches gets this error, and no more events: nothing will be applied here any more. */
  endWatches(error: Error): void {
    this.#watches.end(error);
  }

  /** Applies and flushes go on while the snapshot is read (correctness row 25). */
  async takeSnapshot(): Promise<KvSnapshot> {
    await this.#live.flush();
    const { disk, meta } = this.#live.freezeDisk();
    // The content itself says what it is of, so the two cannot differ, whatever was flushed meanwhile.
    const { appliedIndex: index, appliedTerm: term, configuration } = meta;
    const metadata = { index, term, configuration };
    return {
      metadata,
      chunks: () => encodeSnapshot(metadata, () => checkedScan(disk), this.#sizes.chunkBytes),
      close: () => disk.close(),
    };
  }

  async stageSnapshot(
    snapshot: SnapshotMetadata,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<KvStagedSnapshot> {
    const name = await this.#staging.stage(snapshot, chunks);
    return { metadata: snapshot, directory: name };
  }

  activate(staged: KvStagedSnapshot): void {
    const { metadata, directory } = staged;
    assert(
      metadata.index >= this.appliedIndex,
      () => `A snapshot of index ${metadata.index} is behind the applied index, ${this.appliedIndex}.`,
    );
    const replaced = this.#live;
    this.#earlierSums = [];
    this.#live = this.#staging.take(directory);
    this.#executor = new CommandExecutor(this.#live, this.#history, this.#admission);
    this.#live.follow((change) => this.#watches.record(change));
    this.#watches.replaced(replaced.revision);
    const retire = () => replaced.abandon().then(() => this.#directory.remove(replaced.name));
    this.#retired = Promise.all([this.#retired, retire().catch(this.#onBackgroundError)]);
  }

  discard(staged: KvStagedSnapshot): Promise<void> {
    return this.#staging.discard(staged.directory);
  }

  /** Waits for open snapshots of states that were replaced, too. */
  async close(): Promise<void> {
    await this.#live.close();
    await this.#retired;
  }

  /** Closes the store without what is not on disk, after a write has failed. */
  async abandon(): Promise<void> {
    await this.#live.abandon();
    await this.#retired;
  }

  #assertNext(entry: Entry): void {
    assert(
      entry.index === this.appliedIndex + 1,
      () => `Entry ${entry.index} does not follow the applied index, ${this.appliedIndex}.`,
    );
  }

  #readable(revision: Revision | undefined): Revision {
    const newest = this.revision;
    if (revision === undefined) return newest;
    if (revision > newest) {
      throw new RaftkvError(
        'bad_request',
        `Revision ${revision} is not there yet: the newest is ${newest}.`,
        {
          revision: newest,
        },
      );
    }
    if (revision < this.compactedRevision) {
      throw new RaftkvError(
        'compacted',
        `Revision ${revision} is not kept any more. The oldest that can be read is ${this.compactedRevision}.`,
        { compactedRevision: this.compactedRevision },
      );
    }
    return revision;
  }
}

function stateOptions(options: KvOptions): StateOptions {
  const { answerIndex = INDEX_BOUNDS, soon = setImmediate } = options;
  const turn: Turn = () => new Promise((resolve) => soon(resolve));
  const { applyTurn = turn, readTurn = turn, stepSizes: sizes = STEP_SIZES } = options;
  return { answerIndex, soon, applyTurn, readTurn, sizes };
}

function infoOf({ lease, ttlMs, expiresAtMs, generation, own }: Lease, logTimeMs: LogTime): LeaseInfo {
  return { lease, ttlMs, remainingMs: Math.max(0, expiresAtMs - logTimeMs), generation, own };
}
