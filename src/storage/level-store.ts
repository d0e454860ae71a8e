import { mkdir, open as openFile, readdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { ClassicLevel } from 'classic-level';
import { assert } from '../assert.js';
import { RaftkvError, StorageDamaged } from '../errors.js';
import { bytesIn } from './disk-bytes.js';
import {
  explainFileError,
  explainOpenError,
  explainReadError,
  explainWriteError,
  storeOf,
} from './level-errors.js';
import type {
  KeyRange,
  Operation,
  OrderedStore,
  Pair,
  Scan,
  StoreDirectory,
  StoreSnapshot,
} from './ordered-store.js';
import { checkStore, type Finding } from './store-check.js';
import { assertNotInUse } from './store-lock.js';
import { syncDirectory } from './sync-directory.js';

/** LevelDB's cache of uncompressed blocks, per store. */
const CACHE_BYTES = 32 * 1024 * 1024;
/** What LevelDB collects in memory before it writes a table; a longer log means a longer recovery at open. */
const WRITE_BUFFER_BYTES = 16 * 1024 * 1024;
/** One step of a scan returns when its pairs exceed this, however many were asked for. */
const SCAN_STEP_BYTES = 256 * 1024;
/** Making an operation and handing it to LevelDB takes about 5 µs; after so many the event loop gets a turn. */
const OPERATIONS_PER_TURN = 1024;

/** A range is compacted where it takes at most so many times what is deleted of it. */
const COMPACTED_PER_GARBAGE = 8;
/** What is compacted in one step, which a stop of the node waits for. */
const COMPACTED_AT_ONCE_BYTES = 16 * 1024 * 1024;
/** How often a range is halved for that at most: keys may be spread so that halves do not help. */
const HALVINGS_MAX = 64;

/** The file that says that a directory is ours. Its content is the version of the directory's layout. */
export const MARKER = 'RAFTKV';
const LAYOUT_VERSION = 1;
const STORE_NAME = /^[a-z][a-z0-9-]*$/;
const LEVELDB_FILE = /^(CURRENT|LOCK|LOG|LOG\.old|MANIFEST-\d+|\d+\.(ldb|sst|log|dbtmp))$/;
/** What a file system puts at the root of a volume by itself. */
const IGNORED = new Set(['lost+found']);

/** How the files of a store are checked before LevelDB opens them. */
export interface FileChecks {
  /** Whether a store can have a key that begins with these bytes, see `StoreCheckOptions`. */
  readonly ownsKey?: (store: string, beginning: Uint8Array) => boolean;
  readonly onBegin?: (store: string) => void;
  /** Told of each piece that was read. `totalBytes` counts files too that need not be read. */
  readonly onProgress?: (store: string, readBytes: number, totalBytes: number) => void;
  /** The files are whole. */
  readonly onEnd?: (store: string, readBytes: number) => void;
  /** Told of a record that its writer did not finish. LevelDB drops it. */
  readonly onTorn?: (path: string, finding: Finding) => void;
}

/**
 * A data directory with one LevelDB for each store. A directory that holds anything without our marker is refused and
 * left as it is, so that a mistyped path never mixes two programs' files. Nothing is written before the first
 * {@link LevelDirectory.open}: looking at an unused path leaves no trace.
 */
export class LevelDirectory implements StoreDirectory {
  readonly #path: string;
  readonly #checks: FileChecks | null;

  private constructor(path: string, checks: FileChecks | null) {
    this.#path = path;
    this.#checks = checks;
  }

  /**
   * Looks at the directory, which need not exist. Throws `storage_unusable` when it cannot be used.
   *
   * @param checks null where the files of the stores have been checked already.
   */
  static async at(path: string, checks: FileChecks | null = {}): Promise<LevelDirectory> {
    const directory = new LevelDirectory(path, checks);
    await directory.#check();
    return directory;
  }

  /** Throws `storage_damaged` where a file of the store is not as LevelDB wrote it. */
  async open(name: string): Promise<OrderedStore> {
    assertName(name);
    const location = join(this.#path, name);
    try {
      await this.#mark();
      await makeDirectory(location, this.#path);
    } catch (error) {
      throw explainFileError(error, this.#path);
    }
    await this.#checkFiles(name, location);
    const level = new ClassicLevel<Uint8Array, Uint8Array>(location, {
      ...ENCODINGS,
      compression: false,
      cacheSize: CACHE_BYTES,
      writeBufferSize: WRITE_BUFFER_BYTES,
    });
    try {
      await level.open();
    } catch (error) {
      throw explainOpenError(error, location);
    }
    return new LevelStore(level);
  }

  /** Only directories that hold nothing but LevelDB's files are stores; a copy kept there by hand is not listed. */
  async list(): Promise<readonly string[]> {
    const names: string[] = [];
    try {
      for (const entry of await entriesOf(this.#path)) {
        if (!entry.isDirectory() || !STORE_NAME.test(entry.name)) continue;
        const files = await readdir(join(this.#path, entry.name));
        if (files.every((file) => LEVELDB_FILE.test(file))) names.push(entry.name);
      }
    } catch (error) {
      throw explainFileError(error, this.#path);
    }
    return names.sort();
  }

  async remove(name: string): Promise<void> {
    assertName(name);
    try {
      await rm(join(this.#path, name), { recursive: true, force: true });
    } catch (error) {
      throw explainFileError(error, this.#path);
    }
  }

  /** LevelDB itself reads no checksum of a table, and drops damaged records of its logs in silence (correctness rule 29). */
  async #checkFiles(name: string, location: string): Promise<void> {
    const checks = this.#checks;
    if (checks === null) return;
    const totalBytes = await bytesIn(location);
    checks.onBegin?.(name);
    let readBytes = 0;
    const options = {
      ownsKey: (beginning: Uint8Array) => checks.ownsKey?.(name, beginning) ?? true,
      afterPiece: (bytes: number) => {
        readBytes += bytes;
        checks.onProgress?.(name, readBytes, totalBytes);
        return undefined;
      },
    };
    try {
      for await (const finding of checkStore(location, options)) {
        if (finding.kind === 'damage') throw damagedFile(location, finding);
        checks.onTorn?.(join(location, finding.file), finding);
      }
      checks.onEnd?.(name, readBytes);
    } catch (error) {
      // The files of a store that another process uses change while they are read.
      await assertNotInUse(location);
      throw explainFileError(error, location);
    }
  }

  async #check(): Promise<void> {
    let version: string | undefined;
    let foreign: string[];
    try {
      const names = (await entriesOf(this.#path)).map((entry) => entry.name);
      foreign = names.filter((name) => !IGNORED.has(name));
      if (names.includes(MARKER)) version = await readFile(join(this.#path, MARKER), 'utf8');
    } catch (error) {
      throw explainFileError(error, this.#path);
    }
    // A marker without content was cut off by a crash before anything else was written.
    if (version === '' && foreign.length === 1) return;
    if (version === undefined && foreign.length > 0) {
      throw new RaftkvError(
        'storage_unusable',
        `The directory ${this.#path} holds files that are not raftkv's (${foreign.slice(0, 3).join(', ')}). ` +
          'Name an empty directory or one that raftkv made. Nothing was changed.',
      );
    }
    if (version !== undefined && version.trim() !== `${LAYOUT_VERSION}`) {
      throw new RaftkvError(
        'storage_unusable',
        `The directory ${this.#path} has layout ${version.trim()}; this version of raftkv reads layout ` +
          `${LAYOUT_VERSION}. Start the version that wrote it, or a newer one. Nothing was changed.`,
      );
    }
  }

  /** Makes the directory and its marker, durably: what is stored below is only as safe as the way to it. */
  async #mark(): Promise<void> {
    const highestMade = await mkdir(this.#path, { recursive: true });
    const marker = join(this.#path, MARKER);
    if ((await readFile(marker, 'utf8').catch(ignoreMissing))?.length) return;
    const file = await openFile(marker, 'w');
    try {
      await file.writeFile(`${LAYOUT_VERSION}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await syncDirectory(this.#path);
    await syncAbove(this.#path, highestMade ?? this.#path);
  }
}

const ENCODINGS = { keyEncoding: 'view', valueEncoding: 'view' } as const;

class LevelStore implements OrderedStore {
  readonly #level: ClassicLevel<Uint8Array, Uint8Array>;
  /** Writes in flight and views that are not closed: LevelDB must outlive them. */
  #inUse = 0;
  #drained: (() => void) | undefined;

  constructor(level: ClassicLevel<Uint8Array, Uint8Array>) {
    this.#level = level;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    try {
      return this.#level.getSync(key);
    } catch (error) {
      throw explainReadError(error, this.#level.location);
    }
  }

  scan(range: KeyRange): Scan {
    return this.#scan(range);
  }

  snapshot(): StoreSnapshot {
    const release = this.#acquire();
    const view = this.#level.snapshot();
    // With the encodings in it, abstract-level does not copy it for each read. What a copy leaves behind (about 350 bytes, with
    // Node 20) stays until the next full collection, which listing a million keys shows.
    const options = { ...ENCODINGS, snapshot: view };
    let closing: Promise<void> | undefined;
    return {
      get: (key) => {
        try {
          return this.#level.getSync(key, options);
        } catch (error) {
          throw explainReadError(error, this.#level.location);
        }
      },
      scan: (range) => this.#scan(range, view),
      close: () => {
        closing ??= view.close().finally(release);
        return closing;
      },
    };
  }

  async write(operations: Iterable<Operation>): Promise<void> {
    const release = this.#acquire();
    try {
      // A chained batch costs a seventh of an array of operations on this thread.
      const batch = this.#level.batch();
      let untilTurn = OPERATIONS_PER_TURN;
      for (const operation of operations) {
        if (operation.kind === 'put') batch.put(operation.key, operation.value);
        else batch.del(operation.key);
        untilTurn -= 1;
        if (untilTurn === 0) {
          untilTurn = OPERATIONS_PER_TURN;
          await setImmediate();
        }
      }
      await batch.write({ sync: true });
    } catch (error) {
      throw explainWriteError(error, this.#level.location);
    } finally {
      release();
    }
  }

  async compact({ gte, lt }: Required<KeyRange>, garbageBytes: number): Promise<void> {
    const release = this.#acquire();
    try {
      const bytes = await this.#level.approximateSize(gte, lt);
      // All of the range is written anew.
      if (garbageBytes * COMPACTED_PER_GARBAGE >= bytes) await this.#compact(gte, lt, bytes, HALVINGS_MAX);
    } finally {
      release();
    }
  }

  /** Compacts a range in parts, which ends early when the store is to be closed. */
  async #compact(gte: Uint8Array, lt: Uint8Array, bytes: number, halvingsMax: number): Promise<void> {
    const middle = bytes > COMPACTED_AT_ONCE_BYTES && halvingsMax > 0 ? keyBetween(gte, lt) : undefined;
    if (this.#drained !== undefined) return;
    if (middle === undefined) {
      await this.#level.compactRange(gte, lt);
      return;
    }
    for (const [from, to] of [
      [gte, middle],
      [middle, lt],
    ] as const) {
      const part = await this.#level.approximateSize(from, to);
      if (part > 0) await this.#compact(from, to, part, halvingsMax - 1);
    }
  }

  async close(): Promise<void> {
    if (this.#inUse > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    await this.#level.close();
  }

  #scan(range: KeyRange, snapshot?: ReturnType<ClassicLevel['snapshot']>): Scan {
    const release = this.#acquire();
    const iterator = this.#level.iterator({
      ...range,
      highWaterMarkBytes: SCAN_STEP_BYTES,
      // A scan passes once; it must not push out what point reads come back to.
      fillCache: false,
      ...(snapshot === undefined ? {} : { snapshot }),
    });
    let closing: Promise<void> | undefined;
    return {
      next: async (countMax) => {
        try {
          const pairs = await iterator.nextv(countMax);
          return pairs.map(([key, value]): Pair => ({ key, value }));
        } catch (error) {
          throw explainReadError(error, this.#level.location);
        }
      },
      close: () => {
        closing ??= iterator.close().finally(release);
        return closing;
      },
    };
  }

  #acquire(): () => void {
    this.#inUse += 1;
    return () => {
      this.#inUse -= 1;
      if (this.#inUse === 0) this.#drained?.();
    };
  }
}

const FRACTION_BYTES = 6;

/** A key about in the middle between two, taken for fractions; undefined where they are too close. */
function keyBetween(least: Uint8Array, most: Uint8Array): Uint8Array | undefined {
  let common = 0;
  while (common < least.length && least[common] === most[common]) common += 1;
  const fraction = (key: Uint8Array) => {
    const digits = Buffer.alloc(FRACTION_BYTES);
    digits.set(key.subarray(common, common + FRACTION_BYTES));
    return digits.readUIntBE(0, FRACTION_BYTES);
  };
  const from = fraction(least);
  const middle = Math.floor((from + fraction(most)) / 2);
  if (middle === from) return undefined;
  const key = Buffer.alloc(common + FRACTION_BYTES);
  key.set(least.subarray(0, common));
  key.writeUIntBE(middle, common, FRACTION_BYTES);
  return key;
}

function assertName(name: string): void {
  assert(STORE_NAME.test(name), `"${name}" is not a name for a store.`);
}

async function entriesOf(path: string) {
  return (await readdir(path, { withFileTypes: true }).catch(ignoreMissing)) ?? [];
}

/** LevelDB syncs its files but not the entry of its own directory in the one above. */
async function makeDirectory(path: string, parent: string): Promise<void> {
  const made = await mkdir(path, { recursive: true });
  if (made !== undefined) await syncDirectory(parent);
}

/** The error for damage that was found in a file: it names the file, and which of the two stores of a node it belongs to. */
export function damagedFile(location: string, { file, offset, what }: Finding): StorageDamaged {
  const store = storeOf(location);
  const which = store === 'other' ? `The store ${basename(location)}` : `The node's ${store}`;
  const path = join(location, file);
  return new StorageDamaged(store, `${which} is damaged: ${path}, at byte ${offset}: ${what}.`, {
    data: { path, offset },
  });
}

/** Makes durable that there is a directory at `path`, of which the part from `highestMade` on is new. */
async function syncAbove(path: string, highestMade: string): Promise<void> {
  const end = dirname(resolve(highestMade));
  for (let above = dirname(resolve(path)); ; above = dirname(above)) {
    await syncDirectory(above).catch(ignoreUnsyncable);
    if (above === end || above === dirname(above)) return;
  }
}

/** A directory above ours may be one that this process may not read, or of a kind that cannot be synced: it was there before. */
function ignoreUnsyncable(error: NodeJS.ErrnoException): undefined {
  if (!['EACCES', 'EPERM', 'EROFS', 'EINVAL', 'ENOTSUP'].includes(error.code ?? '')) throw error;
  return undefined;
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}
