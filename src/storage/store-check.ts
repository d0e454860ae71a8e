import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Damage } from './damage.js';
import { checkLogFile, type TornTail } from './log-file-check.js';
import { type Manifest, readManifest } from './manifest.js';
import { EndOfFile, type ReadPace } from './piece-reader.js';
import { TableChecker } from './table-check.js';
import { FieldReader } from './varint.js';

const CURRENT = 'CURRENT';
export const CURRENT_CONTENT = /^(MANIFEST-\d{6,})\n$/;
const NUMBERED = /^(\d{6,})\.(ldb|sst|log)$/;

/** A record of a write-ahead log begins with the number of its first change, in 8 bytes, and how many there are, in 4. */
const BATCH_HEAD_BYTES = 12;
/** Enough for the head, and for the beginning of the first key. */
const BATCH_BYTES_KEPT = 64;

/** Something in a store's files that is not as LevelDB wrote it. */
export interface Finding {
  /**
   * `torn`: the last record of a write-ahead log, or of a manifest, was not finished, as a crash or a power loss in the middle of a write leaves it.
   * LevelDB drops that record.
   */
  readonly kind: 'damage' | 'torn';
  /** The name of the file within the store's directory. */
  readonly file: string;
  /** Where in the file, in bytes. */
  readonly offset: number;
  /** Completes the sentence "FILE is damaged at byte OFFSET: …". */
  readonly what: string;
}

export interface StoreCheckOptions extends ReadPace {
  /** Whether the store can have a key that begins with these bytes (which may be all of it): files of another store are told by it. */
  readonly ownsKey?: ((beginning: Uint8Array) => boolean) | undefined;
}

/**
 * Reads all files on which a store rests, and gives what is damaged: CURRENT, the manifest, the write-ahead logs and the tables. They
 * must not change meanwhile. Of each file the first damaged place is found. What a store's directory holds beside them means
 * nothing: LevelDB's own messages (LOG), its lock, and files that were replaced and not deleted yet.
 */
export async function* checkStore(
  location: string,
  options: StoreCheckOptions = {},
): AsyncGenerator<Finding> {
  const names = await readdir(location);
  if (!names.includes(CURRENT)) {
    if (names.some((name) => NUMBERED.test(name))) yield missing(CURRENT);
    return;
  }
  const manifestName = CURRENT_CONTENT.exec(await readFile(join(location, CURRENT), 'latin1'))?.[1];
  if (manifestName === undefined) {
    yield { kind: 'damage', file: CURRENT, offset: 0, what: 'it does not name a manifest' };
    return;
  }
  if (!names.includes(manifestName)) {
    yield missing(manifestName);
    return;
  }
  let manifest: Manifest;
  try {
    manifest = await readManifest(join(location, manifestName), options);
  } catch (error) {
    yield findingOf(error, manifestName);
    return;
  }
  if (manifest.torn !== undefined) yield torn(manifestName, manifest.torn);
  yield* checkTables(location, new Set(names), manifest, options);
  yield* checkLogs(location, names, manifest, options);
}

async function* checkTables(
  location: string,
  names: ReadonlySet<string>,
  { tables }: Manifest,
  options: StoreCheckOptions,
): AsyncGenerator<Finding> {
  const checker = new TableChecker(options);
  for (const [number, table] of [...tables].toSorted(([one], [other]) => one - other)) {
    const name = [nameOf(number, 'ldb'), nameOf(number, 'sst')].find((one) => names.has(one));
    if (name === undefined) {
      yield missing(nameOf(number, 'ldb'));
      continue;
    }
    try {
      await checker.check(join(location, name), table);
    } catch (error) {
      yield findingOf(error, name);
    }
  }
}

/** Changes are numbered, so the logs go on from the manifest and from one record to the next. */
async function* checkLogs(
  location: string,
  names: readonly string[],
  { logNumber, lastSequence }: Manifest,
  options: StoreCheckOptions,
): AsyncGenerator<Finding> {
  const logs = names.filter(
    (name) => name.endsWith('.log') && NUMBERED.test(name) && numberOf(name) >= logNumber,
  );
  // The directory was synced with the manifest that names the first of them.
  if (logNumber > 0 && !logs.some((name) => numberOf(name) === logNumber))
    yield missing(nameOf(logNumber, 'log'));
  const batches = new BatchCheck(lastSequence, options);
  for (const name of logs.toSorted((one, other) => numberOf(one) - numberOf(other))) {
    try {
      const tail = await checkLogFile(
        join(location, name),
        BATCH_BYTES_KEPT,
        (head, offset) => batches.add(head, offset),
        options,
      );
      if (tail !== undefined) yield torn(name, tail);
    } catch (error) {
      yield findingOf(error, name);
      return;
    }
  }
}

class BatchCheck {
  /** The number of the next change; undefined before the first. */
  #next: number | undefined;
  readonly #lastSequence: number;
  readonly #options: StoreCheckOptions;

  constructor(lastSequence: number, options: StoreCheckOptions) {
    this.#lastSequence = lastSequence;
    this.#options = options;
  }

  add(head: Buffer, offset: number): void {
    if (head.length < BATCH_HEAD_BYTES) throw new Damage(offset, 'the record there is too short');
    const sequence = Number(head.readBigUInt64LE());
    // The manifest may have been written after the log was begun, but not before what the log goes on from.
    const isMissing = this.#next === undefined ? sequence > this.#lastSequence + 1 : sequence !== this.#next;
    if (isMissing)
      throw new Damage(
        offset,
        `change ${this.#next ?? this.#lastSequence + 1} is missing before the record there`,
      );
    this.#next = sequence + head.readUInt32LE(8);
    const beginning = firstKey(head);
    if (beginning !== undefined && this.#options.ownsKey?.(beginning) === false)
      throw new Damage(offset, 'the record there belongs to another store');
  }
}

/** The first key of a batch, as far as it was kept. */
function firstKey(head: Buffer): Buffer | undefined {
  const fields = new FieldReader(head, BATCH_HEAD_BYTES + 1);
  const length = fields.varint();
  return length === undefined ? undefined : head.subarray(fields.at, fields.at + length);
}

function nameOf(number: number, extension: string): string {
  return `${String(number).padStart(6, '0')}.${extension}`;
}

function numberOf(name: string): number {
  return Number.parseInt(name, 10);
}

function missing(file: string): Finding {
  return { kind: 'damage', file, offset: 0, what: 'it is missing' };
}

function torn(file: string, { offset, what }: TornTail): Finding {
  return { kind: 'torn', file, offset, what };
}

/** A file that cannot be read is as good as damaged; what else goes wrong is thrown. */
export function findingOf(error: unknown, file: string): Finding {
  if (error instanceof Damage) return { kind: 'damage', file, offset: error.offset, what: error.what };
  if (error instanceof EndOfFile)
    return { kind: 'damage', file, offset: error.offset, what: 'it ends there' };
  if (error instanceof Error && 'code' in error && error.code === 'EIO')
    return { kind: 'damage', file, offset: 0, what: 'the disk cannot read it' };
  throw error;
}
