import { checksumOf, masked } from './checksum.js';
import { Damage } from './damage.js';
import { EndOfFile, PieceReader, type ReadPace } from './piece-reader.js';
import { FieldReader } from './varint.js';

/**
 * A table file of LevelDB, read without LevelDB, because classic-level cannot be told to check checksums:
 *
 * | bytes | part |
 * | --- | --- |
 * | n | blocks of records, each with a trailer: one byte for its compression, and the masked CRC-32C of both |
 * | n | the block of the filter, the same |
 * | n | the meta index: a block that says where the filter is |
 * | n | the index: a block that says where the blocks of records are |
 * | 48 | the footer: where both indexes are, padded with zeros to 40 bytes, and a magic number |
 *
 * These lie one behind the other, so with the checksums, the places and the footer each byte of the file is covered.
 */
const FOOTER_BYTES = 48;
const HANDLES_BYTES = 40;
const MAGIC = Buffer.from('57fb808b247547db', 'hex');
const TRAILER_BYTES = 5;
/** The head of a record in a block: three numbers of 32 bits. */
const HEAD_BYTES_MAX = 15;
/** Most blocks take about 4 KiB. */
const KEY_PIECE_BYTES = 8 * 1024;
const FILTER_PREFIX = 'filter.';

interface Handle {
  readonly offset: number;
  readonly size: number;
}

interface IndexEntry {
  /** As the index has it; valid until more of it is read. */
  readonly key: Buffer;
  readonly handle: Handle;
}

/** What a manifest says of a table. Keys are LevelDB's, with the sequence number, so no two tables have the same. */
export interface TableDescription {
  readonly size: number;
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
}

/** Checks one table after the other. Memory: two pieces, and a key. */
export class TableChecker {
  readonly #data: PieceReader;
  readonly #index: PieceReader;
  /** For the first and the last key, which lie apart from what is read then. */
  readonly #keys: PieceReader;

  constructor(pace: ReadPace = {}) {
    this.#data = new PieceReader(pace);
    this.#index = new PieceReader(pace);
    this.#keys = new PieceReader(pace, KEY_PIECE_BYTES);
  }

  /** Throws {@link Damage} where the first damaged place is found, and the error of the system where the file cannot be read. */
  async check(path: string, expected: TableDescription): Promise<void> {
    try {
      for (const reader of this.#readers()) await reader.open(path);
      await this.#check(expected);
    } catch (error) {
      throw error instanceof EndOfFile ? new Damage(error.offset, 'it ends there') : error;
    } finally {
      for (const reader of this.#readers()) await reader.close();
    }
  }

  #readers(): readonly PieceReader[] {
    return [this.#data, this.#index, this.#keys];
  }

  async #check(expected: TableDescription): Promise<void> {
    const { size } = this.#data;
    if (size !== expected.size)
      throw new Damage(
        Math.min(size, expected.size),
        `it has ${size} bytes, and the manifest says ${expected.size}`,
      );
    const { index, metaIndex } = await this.#readFooter();
    await this.#checkBlock(this.#index, index, 'the index');
    await this.#checkBlock(this.#index, metaIndex, 'the meta index');
    const { first, last } = await this.#checkBlocks(index, await this.#endOfData(metaIndex));
    if (Buffer.compare(await this.#firstKey(first), expected.smallest) !== 0)
      throw new Damage(first.offset, 'it begins with another key than the manifest says');
    if (Buffer.compare(await this.#lastKey(last), expected.largest) !== 0)
      throw new Damage(last.offset, 'it ends with another key than the manifest says');
  }

  async #readFooter(): Promise<{ readonly index: Handle; readonly metaIndex: Handle }> {
    const at = this.#index.size - FOOTER_BYTES;
    if (at < 0) throw new Damage(0, 'it is too short for a table');
    const footer = await this.#index.copy(at, FOOTER_BYTES);
    if (footer.compare(MAGIC, 0, MAGIC.length, HANDLES_BYTES) !== 0)
      throw new Damage(at + HANDLES_BYTES, 'its magic number is wrong');
    const fields = new FieldReader(footer, 0, HANDLES_BYTES);
    const metaIndex = readHandle(fields);
    const index = readHandle(fields);
    if (
      metaIndex === undefined ||
      index === undefined ||
      !footer.subarray(fields.at, HANDLES_BYTES).every(isZero)
    )
      throw new Damage(at, 'its footer is malformed');
    if (endOf(index) !== at || endOf(metaIndex) !== index.offset)
      throw new Damage(at, 'its footer says that the indexes are where they are not');
    return { index, metaIndex };
  }

  /** Where the blocks of records end: at the filter, if there is one. */
  async #endOfData(metaIndex: Handle): Promise<number> {
    let end = metaIndex.offset;
    for await (const entries of this.#entriesOf(metaIndex)) {
      for (const { key, handle } of entries) {
        if (!key.toString('latin1').startsWith(FILTER_PREFIX) || endOf(handle) !== end)
          throw new Damage(metaIndex.offset, 'its meta index names something unknown');
        await this.#checkBlock(this.#data, handle, 'the filter');
        end = handle.offset;
      }
    }
    return end;
  }

  /** Checks all blocks of records: each must begin where the one before it ends. */
  async #checkBlocks(index: Handle, end: number): Promise<{ readonly first: Handle; readonly last: Handle }> {
    let at = 0;
    let first: Handle | undefined;
    let last: Handle | undefined;
    for await (const entries of this.#entriesOf(index)) {
      for (const { handle } of entries) {
        if (handle.offset !== at || endOf(handle) > end) {
          throw new Damage(
            index.offset,
            `its index names a block at byte ${handle.offset} where one at byte ${at} belongs`,
          );
        }
        const checked = this.#checkBlock(this.#data, handle, 'a block');
        if (checked !== undefined) await checked;
        first ??= handle;
        last = handle;
        at = endOf(handle);
      }
    }
    if (first === undefined || last === undefined || at !== end)
      throw new Damage(index.offset, `its index ends with byte ${at}, and its records with byte ${end}`);
    return { first, last };
  }

  /** Undefined, which is the rule, where there is nothing to wait for. */
  #checkBlock(reader: PieceReader, { offset, size }: Handle, what: string): Promise<void> | undefined {
    const length = size + TRAILER_BYTES;
    if (length > reader.pieceBytes) return this.#checkLargeBlock(reader, { offset, size }, what);
    const check = () => {
      const block = reader.view(offset, length);
      checkTrailer(block.subarray(size), checksumOf(block.subarray(0, size + 1)), { offset, size }, what);
    };
    const reading = reader.ensure(offset, length);
    if (reading !== undefined) return reading.then(check);
    check();
    return undefined;
  }

  async #checkLargeBlock(reader: PieceReader, { offset, size }: Handle, what: string): Promise<void> {
    let checksum = 0;
    for (let done = 0; done <= size; ) {
      const part = Math.min(size + 1 - done, reader.pieceBytes);
      await reader.ensure(offset + done, part);
      checksum = checksumOf(reader.view(offset + done, part), checksum);
      done += part;
    }
    checkTrailer(await reader.copy(offset + size, TRAILER_BYTES), checksum, { offset, size }, what);
  }

  /** The entries of an index whose checksum is known to be right, as many at a time as a piece of the file has. */
  async *#entriesOf(index: Handle): AsyncGenerator<readonly IndexEntry[]> {
    const end = await endOfEntries(this.#index, index);
    for (let at = index.offset; at < end; ) {
      const length = Math.min(end - at, this.#index.pieceBytes);
      await this.#index.ensure(at, length);
      const fields = new FieldReader(this.#index.view(at, length));
      const entries: IndexEntry[] = [];
      let entry = readIndexEntry(fields);
      let used = 0;
      while (entry !== undefined) {
        entries.push(entry);
        used = fields.at;
        entry = readIndexEntry(fields);
      }
      // No key is nearly as long as a piece.
      if (used === 0) throw new Damage(index.offset, 'its index is malformed');
      yield entries;
      at += used;
    }
  }

  async #firstKey(block: Handle): Promise<Buffer> {
    const head = await headAt(this.#keys, block.offset, block.offset + block.size);
    return head === undefined ? NO_KEY : this.#keys.copy(block.offset + head.bytes, head.unshared);
  }

  /** Keys share their beginnings with those before them, from the last restart point on. */
  async #lastKey(block: Handle): Promise<Buffer> {
    const end = await endOfEntries(this.#keys, block);
    const lastRestartAt = block.offset + block.size - 8;
    let at = block.offset + (await this.#keys.copy(lastRestartAt, 4)).readUInt32LE();
    let key = NO_KEY;
    while (at < end) {
      const head = await headAt(this.#keys, at, end);
      if (head === undefined || head.shared > key.length) return NO_KEY;
      const rest = await this.#keys.copy(at + head.bytes, head.unshared);
      key = Buffer.concat([key.subarray(0, head.shared), rest]);
      at += head.bytes + head.unshared + head.valueBytes;
    }
    return key;
  }
}

const NO_KEY = Buffer.alloc(0);

function checkTrailer(trailer: Buffer, checksum: number, { offset }: Handle, what: string): void {
  if (trailer.readUInt32LE(1) !== masked(checksum))
    throw new Damage(offset, `${what} there does not match its checksum`);
  // LevelDB is told not to compress.
  if (trailer[0] !== 0) throw new Damage(offset, `${what} there is compressed, and raftkv never compresses`);
}

/** Behind the entries of a block: the restart points, of 4 bytes, and their number. */
async function endOfEntries(reader: PieceReader, { offset, size }: Handle): Promise<number> {
  if (size < 8) throw new Damage(offset, 'a block there is too short');
  const restarts = (await reader.copy(offset + size - 4, 4)).readUInt32LE();
  const end = offset + size - 4 * (restarts + 1);
  if (restarts === 0 || end < offset) throw new Damage(offset, 'a block there has no restart points');
  return end;
}

/** What comes before the key of a record: the bytes that it shares with the key before it, its other bytes, those of the value. */
async function headAt(reader: PieceReader, at: number, end: number) {
  const length = Math.min(HEAD_BYTES_MAX, end - at);
  const reading = reader.ensure(at, length);
  if (reading !== undefined) await reading;
  const fields = new FieldReader(reader.view(at, length));
  const shared = fields.varint();
  const unshared = fields.varint();
  const valueBytes = fields.varint();
  if (shared === undefined || unshared === undefined || valueBytes === undefined) return undefined;
  return at + fields.at + unshared + valueBytes > end
    ? undefined
    : { bytes: fields.at, shared, unshared, valueBytes };
}

/** Undefined where the bytes end before it does, and where it is malformed. */
function readIndexEntry(fields: FieldReader): IndexEntry | undefined {
  // Each key of an index stands for itself, and shares nothing with the one before it.
  if (fields.varint() !== 0) return undefined;
  const unshared = fields.varint();
  const valueBytes = fields.varint();
  const key = unshared === undefined ? undefined : fields.take(unshared);
  const value = valueBytes === undefined ? undefined : fields.take(valueBytes);
  const handle = value && readHandle(new FieldReader(value));
  return key === undefined || handle === undefined ? undefined : { key, handle };
}

function readHandle(fields: FieldReader): Handle | undefined {
  const offset = fields.varint();
  const size = fields.varint();
  return offset === undefined || size === undefined ? undefined : { offset, size };
}

/** Where the next part of the file begins. */
function endOf({ offset, size }: Handle): number {
  return offset + size + TRAILER_BYTES;
}

function isZero(byte: number): boolean {
  return byte === 0;
}
