import { assert, present } from '../assert.js';
import { RaftkvError } from '../errors.js';
import type {
  KeyRange,
  Operation,
  OrderedStore,
  Pair,
  Scan,
  StoreDirectory,
  StoreSnapshot,
} from './ordered-store.js';

/**
 * The in-memory twin of the LevelDB store. What is in a {@link MemoryDisk} is what a disk would hold: a write enters
 * it when it completes, as a whole, and until then nobody sees any of it. A crash therefore only has to decide about
 * the writes that are still pending.
 */

/** What becomes of a write whose completion nobody will see: all of it is on disk, or nothing. */
export type WriteFate = 'lost' | 'durable';

/** A write that was handed to the disk and has neither completed nor failed. */
export interface PendingWrite {
  /** The name of the store. */
  readonly store: string;
  readonly operations: readonly Operation[];
  /** Puts the write on disk, where reads see it. Writes to one store reach it in the order of their making. */
  reach(): void;
  /** Resolves the promise of a write that has reached the disk. */
  settle(): void;
  /** Does both. */
  complete(): void;
  /** Rejects the write's promise; `fate` says what the disk holds afterwards (correctness row 30). */
  fail(error: Error, fate: WriteFate): void;
}

/** Called with every write; it decides when {@link PendingWrite.complete}, or its two halves, or `fail` is called. */
export type WriteScheduler = (write: PendingWrite) => void;

/** How long reads take. */
export interface ReadPace {
  /** A step of a scan ends with the pair with which it reaches so many bytes. */
  readonly stepBytes: number;
  /** Resolves when a read, or a step of one, may go on; undefined for at once. */
  wait(): Promise<void> | undefined;
}

const readAtOnce: ReadPace = { stepBytes: Number.POSITIVE_INFINITY, wait: () => undefined };

const completeAtOnce: WriteScheduler = (write) => queueMicrotask(() => write.complete());

/** What never settles: the process that waits for it has crashed. */
const never = new Promise<never>(() => {});

/** The disk of one simulated node. It outlives crashes; the stores opened from it do not. */
export class MemoryDisk {
  readonly #contents = new Map<string, Content>();
  readonly #schedule: WriteScheduler;
  readonly #pace: ReadPace;
  #pending: Write[] = [];
  #life = new Life();

  constructor(schedule: WriteScheduler = completeAtOnce, pace: ReadPace = readAtOnce) {
    this.#schedule = schedule;
    this.#pace = pace;
  }

  /** The data directory, for a process that lives until the next {@link crash}. */
  directory(): StoreDirectory {
    const submit = (write: Write) => {
      this.#pending.push(write);
      this.#schedule(write);
    };
    return new MemoryDirectory(this.#contents, this.#life, submit, this.#pace);
  }

  /** Writes whose promises have not settled, oldest first. */
  get pendingWrites(): readonly PendingWrite[] {
    this.#pending = this.#pending.filter((write) => write.pending);
    return this.#pending;
  }

  /**
   * Ends the process that uses this disk: no promise of its stores settles any more, and they read what they last
   * held. Each write that has not reached the disk is lost or durable as `fate` says; after a lost one, later writes to the
   * same store are lost too, because they stand behind it in one file.
   */
  crash(fate: (write: PendingWrite) => WriteFate = () => 'lost'): void {
    const cut = new Set<string>();
    this.#life.end();
    for (const name of this.#contents.keys()) {
      this.#contents.set(name, present(this.#contents.get(name), 'The store is there.').fork());
    }
    for (const write of this.pendingWrites as readonly Write[]) {
      if (write.hasReached) continue;
      if (cut.has(write.store) || fate(write) === 'lost') cut.add(write.store);
      else this.#contents.get(write.store)?.apply(write.operations);
    }
    for (const write of this.#pending) write.drop();
    this.#pending = [];
    this.#life = new Life();
  }

  /** What a store holds at the moment; nothing where there is no such store. */
  records(store: string): readonly Pair[] {
    return this.#contents.get(store)?.share() ?? [];
  }

  /** Changes what is on disk behind the back of the store, as damage does. A store that is open reads what it finds then. */
  tamper(store: string, operations: readonly Operation[]): void {
    present(this.#contents.get(store), `There is no store ${store}.`).apply(operations);
  }
}

/** The time between two crashes. */
class Life {
  ended = false;
  readonly #open = new Set<string>();

  end(): void {
    this.ended = true;
  }

  isOpen(name: string): boolean {
    return this.#open.has(name);
  }

  opened(name: string): void {
    this.#open.add(name);
  }

  closed(name: string): void {
    this.#open.delete(name);
  }
}

class MemoryDirectory implements StoreDirectory {
  readonly #contents: Map<string, Content>;
  readonly #life: Life;
  readonly #submit: (write: Write) => void;
  readonly #pace: ReadPace;

  constructor(contents: Map<string, Content>, life: Life, submit: (write: Write) => void, pace: ReadPace) {
    this.#contents = contents;
    this.#life = life;
    this.#submit = submit;
    this.#pace = pace;
  }

  async open(name: string): Promise<OrderedStore> {
    await this.#pace.wait();
    if (this.#life.ended) return never;
    if (this.#life.isOpen(name))
      throw new RaftkvError('storage_unusable', `The store ${name} is open already.`);
    let content = this.#contents.get(name);
    if (content === undefined) {
      content = new Content([]);
      this.#contents.set(name, content);
    }
    this.#life.opened(name);
    return new MemoryStore(name, content, this.#life, this.#submit, this.#pace);
  }

  async list(): Promise<readonly string[]> {
    await this.#pace.wait();
    if (this.#life.ended) return never;
    return [...this.#contents.keys()].sort();
  }

  async remove(name: string): Promise<void> {
    await this.#pace.wait();
    if (this.#life.ended) return never;
    assert(!this.#life.isOpen(name), `The store ${name} is open, so it cannot be removed.`);
    this.#contents.delete(name);
  }
}

class MemoryStore implements OrderedStore {
  readonly #name: string;
  readonly #content: Content;
  readonly #life: Life;
  readonly #submit: (write: Write) => void;
  readonly #pace: ReadPace;
  /** Writes in flight and views that are not closed. */
  #inUse = 0;
  #closed = false;
  #drained: (() => void) | undefined;

  constructor(name: string, content: Content, life: Life, submit: (write: Write) => void, pace: ReadPace) {
    this.#name = name;
    this.#content = content;
    this.#life = life;
    this.#submit = submit;
    this.#pace = pace;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    return find(this.#content.rows, key);
  }

  scan(range: KeyRange): Scan {
    this.#assertOpen();
    return new MemoryScan(this.#content.share(), range, this.#life, this.#acquire(), this.#pace);
  }

  snapshot(): StoreSnapshot {
    this.#assertOpen();
    const rows = this.#content.share();
    const release = this.#acquire();
    return {
      get: (key) => find(rows, key),
      scan: (range) => new MemoryScan(rows, range, this.#life, this.#acquire(), this.#pace),
      close: async () => (this.#life.ended ? never : release()),
    };
  }

  write(operations: Iterable<Operation>): Promise<void> {
    this.#assertOpen();
    if (this.#life.ended) return never;
    const release = this.#acquire();
    return new Promise((resolve, reject) => {
      this.#submit(new Write(this.#name, [...operations], this.#content, release, resolve, reject));
    });
  }

  /** Deleted records take no room. */
  async compact(): Promise<void> {
    this.#assertOpen();
  }

  async close(): Promise<void> {
    this.#assertOpen();
    this.#closed = true;
    if (this.#inUse > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    if (this.#life.ended) return never;
    this.#life.closed(this.#name);
  }

  #assertOpen(): void {
    assert(!this.#closed, `The store ${this.#name} is closed.`);
  }

  #acquire(): () => void {
    let held = true;
    this.#inUse += 1;
    return () => {
      if (!held) return;
      held = false;
      this.#inUse -= 1;
      if (this.#inUse === 0) this.#drained?.();
    };
  }
}

class Write implements PendingWrite {
  readonly store: string;
  readonly operations: readonly Operation[];
  pending = true;
  /** It is on disk, and its promise has not settled. */
  hasReached = false;
  readonly #content: Content;
  readonly #release: () => void;
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;

  constructor(
    store: string,
    operations: readonly Operation[],
    content: Content,
    release: () => void,
    resolve: () => void,
    reject: (error: Error) => void,
  ) {
    this.store = store;
    this.operations = operations;
    this.#content = content;
    this.#release = release;
    this.#resolve = resolve;
    this.#reject = reject;
    content.queue.push(this);
  }

  reach(): void {
    if (!this.pending || this.hasReached) return;
    this.#leaveQueue();
    this.hasReached = true;
    this.#content.apply(this.operations);
  }

  settle(): void {
    if (!this.pending) return;
    assert(this.hasReached, 'A write settles when it is on disk.');
    this.pending = false;
    this.#release();
    this.#resolve();
  }

  complete(): void {
    this.reach();
    this.settle();
  }

  fail(error: Error, fate: WriteFate): void {
    if (!this.pending) return;
    this.#leaveQueue();
    this.pending = false;
    if (fate === 'durable') this.#content.apply(this.operations);
    this.#release();
    this.#reject(error);
  }

  drop(): void {
    this.pending = false;
  }

  #leaveQueue(): void {
    assert(this.#content.queue[0] === this, 'Writes to one store complete in the order of their making.');
    this.#content.queue.shift();
  }
}

/** A pair, and its key as a string of one character a byte, whose order is the order of the bytes. */
interface Row extends Pair {
  readonly id: string;
}

/** Pairs in key order. Views share the array; the first write after a view was taken copies it. */
class Content {
  rows: Row[];
  /** Writes that have not completed, oldest first. */
  readonly queue: Write[] = [];
  #shared = false;

  constructor(rows: Row[]) {
    this.rows = rows;
  }

  share(): readonly Row[] {
    this.#shared = true;
    return this.rows;
  }

  /** The same pairs, on their own from now on. */
  fork(): Content {
    return new Content([...this.rows]);
  }

  apply(operations: readonly Operation[]): void {
    if (this.#shared) this.rows = [...this.rows];
    this.#shared = false;
    for (const operation of operations) {
      const id = idOf(operation.key);
      const at = position(this.rows, id);
      const found = this.rows[at]?.id === id ? 1 : 0;
      if (operation.kind === 'delete') {
        if (found === 1) this.rows.splice(at, 1);
      } else {
        const row = { id, key: operation.key, value: operation.value };
        if (found === 1) this.rows[at] = row;
        else if (at === this.rows.length) this.rows.push(row);
        else this.rows.splice(at, 0, row);
      }
    }
  }
}

class MemoryScan implements Scan {
  readonly #rows: readonly Row[];
  readonly #end: number;
  readonly #life: Life;
  readonly #release: () => void;
  readonly #pace: ReadPace;
  #at: number;
  #closed = false;

  constructor(rows: readonly Row[], range: KeyRange, life: Life, release: () => void, pace: ReadPace) {
    this.#rows = rows;
    this.#life = life;
    this.#release = release;
    this.#pace = pace;
    this.#at = range.gte === undefined ? 0 : position(rows, idOf(range.gte));
    this.#end = range.lt === undefined ? rows.length : position(rows, idOf(range.lt));
  }

  async next(countMax: number): Promise<readonly Pair[]> {
    assert(!this.#closed, 'The scan is closed.');
    await this.#pace.wait();
    if (this.#life.ended) return never;
    const from = this.#at;
    const end = Math.max(from, Math.min(this.#end, from + countMax));
    for (let bytes = 0; this.#at < end && bytes < this.#pace.stepBytes; this.#at += 1) {
      const row = present(this.#rows[this.#at], 'Within bounds.');
      bytes += row.key.length + row.value.length;
    }
    return this.#rows.slice(from, this.#at);
  }

  async close(): Promise<void> {
    if (this.#life.ended) return never;
    this.#closed = true;
    this.#release();
  }
}

function find(rows: readonly Row[], key: Uint8Array): Uint8Array | undefined {
  const id = idOf(key);
  const row = rows[position(rows, id)];
  return row?.id === id ? row.value : undefined;
}

function idOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

/** Where the first row with at least this id stands. */
function position(rows: readonly Row[], id: string): number {
  let low = 0;
  let high = rows.length;
  // Logs and change indexes append, so the end is looked at first.
  if (high > 0 && present(rows[high - 1], 'Within bounds.').id < id) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (present(rows[middle], 'Within bounds.').id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}
