import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { assert } from '../assert.js';
import type { Index, Term } from '../raft/types.js';
import { explainFileError } from './level-errors.js';
import { syncDirectory } from './sync-directory.js';

/** The file, beside LevelDB's directories. */
export const LOG_END_FILE = 'LOG-END';
/** A new one is complete before it gets its name, so a crash never leaves a part of it. */
const UNFINISHED_FILE = `${LOG_END_FILE}.new`;
/** Two slots in different sectors of 4 KiB, so a power loss spoils at most the one that was being written. */
const SLOT_OFFSETS = [0, 4096] as const;
/** Written as a whole at first: no later note needs room on the disk. */
const FILE_BYTES = 8192;
/**
 * | bytes | field |
 * | --- | --- |
 * | 1 | format version |
 * | 1 | 1 if the run that wrote it ended in order, 0 otherwise |
 * | 2 | zero |
 * | 4 | CRC-32 of all other bytes |
 * | 8 | number of this note, a double: the slot with the higher one is newer |
 * | 8 | generation of the count of writes, a double |
 * | 8 | number of writes to the log that were synced, a double |
 * | 8 | last index, a double |
 * | 8 | term, a double |
 * | 16 | beginning of the SHA-256 of the incarnation whose log it is |
 */
const SLOT_BYTES = 64;
const FORMAT_VERSION = 1;
const CRC_AT = 4;
const SERIAL_AT = 8;
const GENERATION_AT = 16;
const WRITES_AT = 24;
const INDEX_AT = 32;
const TERM_AT = 40;
const OWNER_AT = 48;

/** How far a log was on disk. */
export interface LogPosition {
  readonly incarnation: string;
  /** See `CountRecord`. */
  readonly generation: number;
  /** How many writes there were, counted over all runs; see `StateRecord.writes`. */
  readonly writes: number;
  readonly lastIndex: Index;
  readonly term: Term;
}

/** What the second place says; the owner is known by its hash only. */
export interface KnownEnd extends Omit<LogPosition, 'incarnation'> {
  readonly serial: number;
  readonly owner: Buffer;
  readonly endedInOrder: boolean;
}

/**
 * A second place that knows how far the log was durable (rule 29). LevelDB drops a damaged record at the end of its write-ahead log,
 * and the file then looks as if a power loss had interrupted a write. The two differ in one thing: the sync of a write that was
 * interrupted never returned. So each write to the log is noted here after its sync, and before anything relies on it.
 *
 * A note is not synced. It is in the system's page cache, which survives the end of the process. After a power loss it may be older
 * than the log, but never newer: it was made after the log was on disk. A log that ends before its note has lost something that it
 * promised; `checkLogEnd` compares the two.
 *
 * This file never keeps a node from starting. Without it, or where both notes are damaged, nothing is known, and the next write is
 * noted again.
 */
export class LogEnd {
  readonly #path: string;
  readonly #directory: string;
  readonly known: KnownEnd | undefined;
  /** Whether the file has content and no whole note. No crash leaves that. */
  readonly isDamaged: boolean;
  readonly #isComplete: boolean;
  readonly #slot = Buffer.alloc(SLOT_BYTES);
  /** The slot that is written next, which is the older one. */
  #next: 0 | 1;
  #serial: number;
  #file: FileHandle | undefined;
  #owner: { readonly incarnation: string; readonly hash: Buffer } | undefined;
  #last: LogPosition | undefined;

  private constructor(directory: string, bytes: Buffer) {
    this.#directory = directory;
    this.#path = join(directory, LOG_END_FILE);
    const [first, second] = SLOT_OFFSETS.map((offset) => slotIn(bytes, offset));
    const isFirstNewer = (first?.serial ?? 0) > (second?.serial ?? 0);
    this.#next = isFirstNewer ? 1 : 0;
    this.known = isFirstNewer ? first : second;
    this.isDamaged = this.known === undefined && bytes.some((byte) => byte !== 0);
    this.#isComplete = bytes.length === FILE_BYTES;
    this.#serial = this.known?.serial ?? 0;
  }

  /** Reads what earlier runs left in a data directory. Changes nothing. A file that is missing or damaged tells nothing. */
  static async in(dataDirectory: string): Promise<LogEnd> {
    const path = join(dataDirectory, LOG_END_FILE);
    try {
      return new LogEnd(dataDirectory, await readFile(path));
    } catch (error) {
      const isMissing = ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
      if (isMissing) return new LogEnd(dataDirectory, Buffer.alloc(0));
      throw explainFileError(error, path);
    }
  }

  /** What is known of the log of this incarnation; undefined where the note is of another one's. */
  of(incarnation: string): KnownEnd | undefined {
    return this.known?.owner.equals(hashOf(incarnation)) ? this.known : undefined;
  }

  /** Makes the file, or opens it. */
  async begin(): Promise<void> {
    try {
      if (!this.#isComplete) await this.#make();
      this.#file = await open(this.#path, 'r+');
    } catch (error) {
      throw explainFileError(error, this.#path);
    }
  }

  /**
   * Notes that the log is on disk as far as this. Synchronous: the copy to the page cache takes less time than a turn through
   * the thread pool. Throws where the file cannot be written.
   */
  note(position: LogPosition): void {
    this.#write(position, false);
  }

  /** Notes that this run ended in order, and closes. Never throws: that it did not is what the next start then says. */
  async end(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    try {
      if (this.#last !== undefined) this.#write(this.#last, true);
      await file.datasync();
    } catch {
      // The disk of a node that stops may have failed, and what the log holds is on disk already.
    }
    this.#file = undefined;
    await file.close().catch(() => {});
  }

  /** Closes the file as a crash would leave it. */
  abandon(): void {
    const file = this.#file;
    this.#file = undefined;
    void file?.close().catch(() => {});
  }

  #write(position: LogPosition, endedInOrder: boolean): void {
    const file = this.#file;
    assert(file !== undefined, 'The end of the log is noted after it was begun.');
    const { incarnation } = position;
    if (this.#owner?.incarnation !== incarnation) this.#owner = { incarnation, hash: hashOf(incarnation) };
    this.#serial += 1;
    this.#fill(position, this.#owner.hash, endedInOrder);
    try {
      writeSync(file.fd, this.#slot, 0, SLOT_BYTES, SLOT_OFFSETS[this.#next]);
    } catch (error) {
      throw explainFileError(error, this.#path);
    }
    this.#next = this.#next === 0 ? 1 : 0;
    this.#last = position;
  }

  #fill(position: Omit<LogPosition, 'incarnation'>, owner: Buffer, endedInOrder: boolean): void {
    const slot = this.#slot;
    slot.writeUInt8(FORMAT_VERSION, 0);
    slot.writeUInt8(endedInOrder ? 1 : 0, 1);
    slot.writeDoubleBE(this.#serial, SERIAL_AT);
    slot.writeDoubleBE(position.generation, GENERATION_AT);
    slot.writeDoubleBE(position.writes, WRITES_AT);
    slot.writeDoubleBE(position.lastIndex, INDEX_AT);
    slot.writeDoubleBE(position.term, TERM_AT);
    slot.set(owner, OWNER_AT);
    slot.writeUInt32BE(checksumOf(slot), CRC_AT);
  }

  /** What is known stays until the first note: one slot keeps it. */
  async #make(): Promise<void> {
    const unfinished = join(this.#directory, UNFINISHED_FILE);
    const bytes = Buffer.alloc(FILE_BYTES);
    if (this.known !== undefined) {
      const { owner, endedInOrder } = this.known;
      this.#fill(this.known, owner, endedInOrder);
      bytes.set(this.#slot, SLOT_OFFSETS[this.#next === 0 ? 1 : 0]);
    }
    const file = await open(unfinished, 'w', 0o600);
    try {
      await file.write(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, this.#path);
    await syncDirectory(this.#directory);
  }
}

function slotIn(bytes: Buffer, offset: number): KnownEnd | undefined {
  if (bytes.length < offset + SLOT_BYTES) return undefined;
  const slot = bytes.subarray(offset, offset + SLOT_BYTES);
  if (slot[0] !== FORMAT_VERSION || slot.readUInt32BE(CRC_AT) !== checksumOf(slot)) return undefined;
  return {
    serial: slot.readDoubleBE(SERIAL_AT),
    generation: slot.readDoubleBE(GENERATION_AT),
    writes: slot.readDoubleBE(WRITES_AT),
    lastIndex: slot.readDoubleBE(INDEX_AT),
    term: slot.readDoubleBE(TERM_AT),
    owner: Buffer.from(slot.subarray(OWNER_AT)),
    endedInOrder: slot[1] === 1,
  };
}

function checksumOf(slot: Buffer): number {
  return crc32(slot.subarray(CRC_AT + 4), crc32(slot.subarray(0, CRC_AT)));
}

function hashOf(incarnation: string): Buffer {
  return createHash('sha256')
    .update(incarnation)
    .digest()
    .subarray(0, SLOT_BYTES - OWNER_AT);
}
