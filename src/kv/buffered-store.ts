import type { Index } from '../raft/types.js';
import type { KeyRange, Operation, OrderedStore, StoreSnapshot } from '../storage/ordered-store.js';
import type { IndexBounds } from './answer-index.js';
import { checkChanges } from './change-index.js';
import { stateDamaged } from './damage.js';
import { Garbage } from './garbage.js';
import { GenerationCache } from './generation-cache.js';
import { pruneHistory } from './history.js';
import { Answers } from './idempotency.js';
import { Leases } from './leases.js';
import { LiveRecords, type Rest } from './live-records.js';
import type { LiveTotals } from './live-sums.js';
import { decodeMeta, emptyMeta, encodeMeta, type Meta, type MutableMeta, metaKey } from './meta-codec.js';
import { type PastStep, pastEvents } from './past-events.js';
import { currentVersion, type Layers, readItemOf, toItem } from './reader.js';
import {
  type Current,
  currentKey,
  decodeCurrent,
  tombstoneKey,
  tombstoneRange,
  type Version,
} from './record-codec.js';
import type { KeyId, Turn } from './sorted-map.js';
import type { StepSizes } from './step-sizes.js';
import type { Item, Revision } from './types.js';
import { type BufferedChange, type BufferedKey, keyId, WriteBuffer } from './write-buffer.js';

/** Bytes of current records that are kept in memory after they were used; and twice as many at most. */
const CACHED_CURRENT_BYTES = 12 * 1024 * 1024;
/** Bytes of values that are kept in memory after they were read; and twice as many at most. */
const CACHED_VALUE_BYTES = 8 * 1024 * 1024;
/** What a record takes on disk beside its key, about, where it is small. */
const RECORD_BYTES = 48;
/** A view that does not change, until it is closed. */
export type FrozenLayers = Layers & { readonly close: () => Promise<void> };

/** Times an odd number, different numbers of 32 bits stay different. */
const ODD_FACTOR = 0x9e3779b1;

/** What a state is opened with. */
export interface StateOptions {
  /** Bounds of the index of answers. */
  readonly answerIndex: IndexBounds;
  /** Runs a task in another turn of the event loop. */
  readonly soon: (task: () => void) => void;
  /** Resolves when work that writes wait for goes on: commands that are prepared, sorting, pruning. */
  readonly applyTurn: Turn;
  /** Resolves when the next step of a read may run. */
  readonly readTurn: Turn;
  readonly sizes: StepSizes;
}

/**
 * A state on disk and the changes on their way there.
 *
 * Invariants:
 * - `meta` tells of the disk and both buffers together, but for the digest of answers and the totals of keys that exist, which the
 *   buffers and the live records have; the record on disk tells of the disk alone, because both change in one batch (correctness row 22);
 * - one flush is in flight at a time (row 31), and while it is, its buffer does not change and is still read;
 * - after a flush has failed, every other one fails too (row 30).
 */
export class BufferedStore {
  /** The name of the store in its directory. */
  readonly name: string;
  /** Brought forward, in place, with every entry that is applied. */
  readonly meta: MutableMeta;
  readonly leases: Leases;
  readonly answers: Answers;
  readonly #store: OrderedStore;
  /**
   * What is on disk for keys that were asked for or changed lately, because those are again: reading a record takes longer
   * than all the rest of an apply. What was never there is not remembered, nor what was removed since (a tombstone that is
   * found here and not on disk says the same as none).
   */
  readonly #currents = new GenerationCache<Current>(CACHED_CURRENT_BYTES);
  /** What was read lately of those keys. A version never changes, so one that is not the current one is only useless. */
  readonly #versions = new GenerationCache<Version>(CACHED_VALUE_BYTES, ({ value }) => value.length);
  #active: WriteBuffer;
  #onChange: (change: BufferedChange) => void = () => {};
  #flushing: WriteBuffer | undefined;
  #flushedIndex: Index;
  #prunedRevision: Revision;
  #inFlight: Promise<void> | undefined;
  #following: Promise<void> | undefined;
  /** Closed or abandoned: nothing more is flushed. */
  #ended = false;
  /** Whether there is history to prune, even where nothing else is to be flushed. */
  #isPruningDue = false;
  /** Whether there may be tombstones on disk that stand apart. Without any, a key that is not found is looked for once. */
  #hasTombstones: boolean;
  readonly #live: LiveRecords;
  /** What waits for a moment without a flush in flight. */
  #whenStill: (() => void)[] = [];
  readonly #garbage = new Garbage();
  #isCompacting = false;
  /** Bytes of versions that were dropped from history and are not pruned yet. */
  #droppedBytes = 0;
  readonly #soon: (task: () => void) => void;
  readonly #applyTurn: Turn;
  readonly #readTurn: Turn;
  readonly #sizes: StepSizes;
  #failure: { readonly error: unknown } | undefined;

  private constructor(
    name: string,
    store: OrderedStore,
    meta: Meta,
    { answerIndex, soon, applyTurn, readTurn, sizes }: StateOptions,
    hasTombstones: boolean,
  ) {
    this.name = name;
    this.#store = store;
    this.#hasTombstones = hasTombstones;
    this.#soon = soon;
    this.#applyTurn = applyTurn;
    this.#readTurn = readTurn;
    this.#sizes = sizes;
    this.meta = { ...meta };
    this.#active = new WriteBuffer(meta.answersDigest);
    this.leases = new Leases(this.meta, (lease, record) => this.#active.setLease(lease, record));
    this.answers = new Answers(this.meta, store, () => this.#active.answers, answerIndex);
    this.#flushedIndex = meta.appliedIndex;
    this.#prunedRevision = meta.prunedRevision;
    this.#live = new LiveRecords(meta.live, (begun) => this.#freezeFlushed(begun));
  }

  /**
   * Reads where a state stands and checks it. Throws `storage_damaged`, or `storage_unusable` for a newer format.
   *
   * @param live Of the keys that exist, where all records were just read; otherwise as the state says.
   */
  static async load(
    name: string,
    store: OrderedStore,
    options: StateOptions,
    live?: LiveTotals,
  ): Promise<BufferedStore> {
    const record = store.get(metaKey);
    if (record === undefined) {
      await assertEmpty(name, store);
      return new BufferedStore(name, store, emptyMeta, options, false);
    }
    const kept = decodeMeta(record);
    const meta = live === undefined ? kept : { ...kept, live };
    await checkChanges(store, meta);
    const tombstones = tombstoneRange(new Uint8Array(0), undefined);
    const state = new BufferedStore(name, store, meta, options, !(await isEmpty(store, tombstones)));
    await state.answers.load();
    await state.leases.load(store);
    return state;
  }

  /**
   * Of all that was applied: the checksums of changes and of answers. What differs in both alike would cancel out if they were
   * only laid over each other, since checksums are linear; a product is not.
   */
  get digest(): number {
    return (this.meta.digest ^ Math.imul(this.#active.answers.digest, ODD_FACTOR)) >>> 0;
  }

  /** Whether each version's size is noted in the current record of its key; see history.ts. */
  get notesSizes(): boolean {
    return this.meta.clusterVersion >= 2;
  }

  /** The digest begins anew, of what is applied from here on. */
  restartDigest(): void {
    this.meta.digest = 0;
    this.#active.answers.restartDigest();
  }

  get flushedIndex(): Index {
    return this.#flushedIndex;
  }

  get bufferedBytes(): number {
    return this.#active.bytes + (this.#flushing?.bytes ?? 0);
  }

  add(change: BufferedChange): void {
    this.#active.add(change);
    this.#onChange(change);
  }

  /** What a key is now, tombstones included; undefined for a key that never was, or was forgotten. */
  current(id: KeyId, key: Uint8Array): Current | undefined {
    const buffered = this.#buffered(id);
    if (buffered !== undefined) return buffered.current;
    const cached = this.#currents.get(id);
    if (cached !== undefined) return cached;
    const record =
      this.#store.get(currentKey(key)) ??
      (this.#hasTombstones ? this.#store.get(tombstoneKey(key)) : undefined);
    if (record === undefined) return undefined;
    const current = decodeCurrent(record);
    this.#currents.set(id, current);
    return current;
  }

  /** The newest item under a key. */
  newest(key: Uint8Array): Item | undefined {
    const id = keyId(key);
    const current = this.current(id, key);
    if (current === undefined || current.deleted) return undefined;
    const cached = this.#versions.get(id);
    if (cached?.modRevision === current.modRevision) return toItem(key, current, cached.value);
    const version = currentVersion(this.layers(), { id, key, current });
    // A value that is still in a buffer is a part of a larger message, which the cache would keep as a whole.
    if (this.#buffered(id) === undefined) this.#versions.set(id, version);
    return toItem(key, current, version.value);
  }

  /** How many keys exist. Where that is not known it is undefined, and the keys are counted in the background. */
  countKeys(): number | undefined {
    const { onDisk } = this.#live;
    if (onDisk !== undefined)
      return onDisk.keys + this.#active.added.keys + (this.#flushing?.added.keys ?? 0);
    // A record that cannot be read is reported to whoever needs it.
    this.#live.count().catch(() => {});
    return undefined;
  }

  /** The keys that exist and the sums of their records, of all that is applied; undefined where they are not known. */
  get liveTotals(): LiveTotals | undefined {
    const applied = this.#live.onDisk?.plus(this.#active.added);
    return this.#flushing === undefined ? applied : applied?.plus(this.#flushing.added);
  }

  /**
   * Reads the records of all keys from disk and compares them with each other and with what the state keeps of them. Ends without a
   * result where the state does. Throws `storage_damaged`.
   */
  checkLive(rest: Rest, pieceRecords?: number): Promise<void> {
    return this.#live.check(rest, pieceRecords);
  }

  /** A view of exactly what the last flush left; undefined once nothing is flushed any more. */
  #freezeFlushed(begun: () => void): Promise<StoreSnapshot | undefined> {
    return new Promise((resolve) => {
      const freeze = () => {
        if (this.#ended || this.#failure !== undefined) {
          resolve(undefined);
          return;
        }
        begun();
        resolve(this.#store.snapshot());
      };
      if (this.#flushing === undefined || this.#failure !== undefined) freeze();
      else this.#whenStill.push(freeze);
    });
  }

  /** Tells of every change from now on. */
  follow(onChange: (change: BufferedChange) => void): void {
    this.#onChange = onChange;
  }

  // As watches see it ----------------------------------------------------------------------------------------------

  get revision(): Revision {
    return this.meta.revision;
  }

  get compactedRevision(): Revision {
    return this.meta.compactedRevision;
  }

  async *eventsFrom(revision: Revision, isAskedFor: (id: KeyId) => boolean): AsyncGenerator<PastStep> {
    const layers = this.freezeForReads();
    try {
      yield* pastEvents(layers, revision, isAskedFor);
    } finally {
      await layers.close();
    }
  }

  itemAt(key: Uint8Array, revision: Revision): Item | undefined {
    return readItemOf(this.layers(), key, revision);
  }

  /** What is applied up to now, for reads that end before anything else is applied. */
  layers(): Layers {
    return this.#layersOver(this.#store);
  }

  /** The same, frozen, for commands that are prepared. The caller must call `close`. */
  freeze(): FrozenLayers {
    const disk = this.#store.snapshot();
    return { ...this.#layersOver(disk), close: () => disk.close() };
  }

  /** The same, frozen, for clients that read. The caller must call `close`. */
  freezeForReads(): FrozenLayers {
    return { ...this.freeze(), step: this.#readTurn };
  }

  /** A frozen view of the disk alone, with what it says of itself. The caller must close it. */
  freezeDisk() {
    const disk = this.#store.snapshot();
    const record = disk.get(metaKey);
    return { disk, meta: record === undefined ? emptyMeta : decodeMeta(record) };
  }

  /** Resolves when everything that was applied before the call is on disk. */
  flush(): Promise<void> {
    if (this.#inFlight === undefined) return this.#startFlush();
    // The one in flight may have begun before the last entry was applied; the one after it has not begun.
    this.#following ??= this.#inFlight.then(() => {
      this.#following = undefined;
      return this.flush();
    });
    return this.#following;
  }

  /** Flushes what is applied and closes the store. */
  async close(): Promise<void> {
    try {
      await this.flush();
      await this.#inFlight;
    } finally {
      this.#ended = true;
      await this.#store.close();
    }
  }

  /** Closes the store as it is, without what is not on disk: another state has taken its place. */
  async abandon(): Promise<void> {
    this.#ended = true;
    this.#active = new WriteBuffer(0);
    // Whoever called for the flush hears of its failure.
    await this.#inFlight?.catch(() => {});
    await this.#store.close();
  }

  async #startFlush(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#ended || (this.#flushedIndex === this.meta.appliedIndex && !this.#isPruningDue)) return;
    this.#inFlight = this.#flushActive();
    await this.#inFlight;
  }

  async #flushActive(): Promise<void> {
    const buffer = this.#active;
    const answersDigest = buffer.answers.digest;
    const live = this.#live.onDisk?.plus(buffer.added);
    const meta: Meta = { ...this.meta, answersDigest, live };
    this.#active = new WriteBuffer(answersDigest);
    this.#flushing = buffer;
    try {
      const { revision, compactedRevision } = meta;
      const layers = { ...this.#layersOver(this.#store), buffers: [buffer], revision, compactedRevision };
      const pruning = await pruneHistory(layers, this.#prunedRevision, buffer.changeCount);
      const departure = await this.answers.leave(meta, buffer.answers);
      const { prunedRevision } = pruning;
      const { prunedAnswer, filedAnswer } = departure;
      const value = encodeMeta({ ...meta, prunedRevision, prunedAnswer, filedAnswer });
      const note: Operation = { kind: 'put', key: metaKey, value };
      const tombstonesApart = meta.clusterVersion >= 2;
      this.#hasTombstones ||= tombstonesApart && buffer.deletes;
      const changes = buffer.operations(tombstonesApart, this.#sizes.journalBytes);
      await this.#store.write(inTurn(pruning.operations, departure.operations, changes, [note]));
      this.#prunedRevision = prunedRevision;
      // What this flush brought, and history has dropped already, was not there to be pruned.
      this.#isPruningDue = pruning.isCut || buffer.firstRevision <= compactedRevision;
      this.#flushedIndex = meta.appliedIndex;
      this.#live.flushed(buffer);
      const bytes = pruning.operations.length === 0 ? 0 : this.#droppedBytes / pruning.operations.length;
      for (const { key } of pruning.operations) this.#garbage.add(key, bytes + key.length + RECORD_BYTES);
      if (bytes > 0) this.#droppedBytes = 0;
      for (const [id, { key, current }] of buffer.keys.entries()) {
        this.#currents.set(id, current);
        if (tombstonesApart && current.deleted) {
          this.#garbage.add(currentKey(key), key.length + RECORD_BYTES);
        }
      }
      this.answers.flushed(buffer.answers, departure);
      this.#flushing = undefined;
      if (this.#isPruningDue) this.#soon(() => this.#pruneOn());
      else this.#compact();
    } catch (error) {
      this.#failure = { error };
      throw error;
    } finally {
      this.#inFlight = undefined;
      for (const task of this.#whenStill.splice(0)) task();
    }
  }

  /** Space returns although nothing is written. A failure is heard of by the next flush that somebody waits for. */
  #pruneOn(): void {
    if (this.#isPruningDue && !this.#ended) this.flush().catch(() => {});
  }

  /** History was dropped by its size, and will be pruned. */
  dropped(bytes: number): void {
    this.#droppedBytes += bytes;
  }

  /** Gives room back, one part of the store after the other, while everything else goes on. */
  #compact(): void {
    if (this.#isCompacting || this.#ended) return;
    const ranges = this.#garbage.take();
    if (ranges.length === 0) return;
    this.#isCompacting = true;
    const compactAll = async () => {
      for (const range of ranges) if (!this.#ended) await this.#store.compact(range, range.bytes);
    };
    // What cannot be compacted only takes room; a disk that fails is heard of by the next flush.
    compactAll()
      .catch(() => {})
      .finally(() => {
        this.#isCompacting = false;
        this.#compact();
      });
  }

  #buffered(id: KeyId): BufferedKey | undefined {
    return this.#active.keys.get(id) ?? this.#flushing?.keys.get(id);
  }

  #layersOver(disk: Layers['disk']): Layers {
    const buffers = this.#flushing === undefined ? [this.#active] : [this.#active, this.#flushing];
    const { revision, compactedRevision } = this.meta;
    const turn = this.#applyTurn;
    return { buffers, disk, revision, compactedRevision, turn, step: turn, sizes: this.#sizes };
  }
}

function* inTurn(...groups: readonly Iterable<Operation>[]): Generator<Operation> {
  // Delegating with `yield*` takes longer, and a flush has tens of thousands of operations.
  for (const group of groups) for (const operation of group) yield operation;
}

/** A store without the record that every flush writes was never flushed, so it holds nothing. */
async function assertEmpty(name: string, store: OrderedStore): Promise<void> {
  if (!(await isEmpty(store, {}))) throw stateDamaged(`The store ${name} has no record of how far it came.`);
}

async function isEmpty(store: OrderedStore, range: KeyRange): Promise<boolean> {
  const scan = store.scan(range);
  try {
    return (await scan.next(1)).length === 0;
  } finally {
    await scan.close();
  }
}
