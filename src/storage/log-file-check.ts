import { checksumOf, masked, unmasked } from './checksum.js';
import { Damage } from './damage.js';
import { PieceReader, type ReadPace } from './piece-reader.js';

/**
 * A file in LevelDB's log format: its write-ahead logs and manifests. It consists of blocks of 32 KiB, and no fragment of a record
 * crosses the end of a block; where less than a head is left of one, zeros are.
 *
 * | bytes | part of a fragment |
 * | --- | --- |
 * | 4 | masked CRC-32C of all from the kind on |
 * | 2 | length of the content |
 * | 1 | kind: the whole of a record, its first part, one in the middle, its last |
 * | n | content |
 */
export const BLOCK_BYTES = 32 * 1024;
const HEAD_BYTES = 7;
const KIND_AT = 6;

const Kind = { full: 1, first: 2, middle: 3, last: 4 } as const;
type Kind = (typeof Kind)[keyof typeof Kind];

/** Where a file ends that its writer did not finish. */
export interface TornTail {
  /** Where the record begins that is not whole; nothing whole comes after it. */
  readonly offset: number;
  readonly what: string;
}

/** Told of each whole record: where it begins, and as much of it as is asked for. May throw {@link Damage}. */
export type TakeRecord = (content: Buffer, offset: number) => void;

/**
 * Reads a file from its beginning. Each record was synced before the next was begun, so a power loss can only spoil the last one:
 * that is a torn tail, which is returned. Anything else that is not as LevelDB wrote it is thrown as {@link Damage}:
 *
 * - a record that is not whole, and one that was begun after it is;
 * - a fragment in which just one bit is wrong, wherever it is: no unfinished write looks like that.
 *
 * @param keepBytes How much of each record `take` needs, in bytes.
 */
export async function checkLogFile(
  path: string,
  keepBytes: number,
  take: TakeRecord,
  pace: ReadPace = {},
): Promise<TornTail | undefined> {
  const reader = new PieceReader(pace);
  try {
    await reader.open(path);
    return await new LogFileWalk(reader, keepBytes, take).run();
  } finally {
    await reader.close();
  }
}

/** What stands at a place of a block. */
type Fragment =
  | { readonly kind: Kind; readonly content: Buffer; readonly end: number }
  /** `end` is where the next one would begin, if the length is right; undefined where that is beyond the block. */
  | { readonly kind: undefined; readonly what: string; readonly end: number | undefined };

class LogFileWalk {
  readonly #reader: PieceReader;
  readonly #keepBytes: number;
  readonly #take: TakeRecord;
  /** Where the record begins that is being read; undefined between records. */
  #recordAt: number | undefined;
  #parts: Buffer[] = [];
  #kept = 0;

  constructor(reader: PieceReader, keepBytes: number, take: TakeRecord) {
    this.#reader = reader;
    this.#keepBytes = keepBytes;
    this.#take = take;
  }

  async run(): Promise<TornTail | undefined> {
    const { size } = this.#reader;
    for (let blockAt = 0; blockAt < size; blockAt += BLOCK_BYTES) {
      const block = await this.#blockAt(blockAt);
      let at = 0;
      while (at + HEAD_BYTES <= BLOCK_BYTES && at < block.length) {
        const fragment = fragmentAt(block, at);
        if (fragment.kind === undefined) return await this.#judge(blockAt, at, fragment);
        this.#add(fragment.kind, fragment.content, blockAt + at);
        at = fragment.end;
      }
      if (!isZeros(block.subarray(at)))
        throw new Damage(blockAt + at, 'the end of the block there is not filled with zeros');
    }
    return this.#recordAt === undefined
      ? undefined
      : { offset: this.#recordAt, what: 'the record there has no end' };
  }

  #add(kind: Kind, content: Buffer, offset: number): void {
    const begins = kind === Kind.full || kind === Kind.first;
    if (begins === (this.#recordAt !== undefined)) {
      throw new Damage(
        this.#recordAt ?? offset,
        begins ? 'the record there has no end, and another follows' : 'the record there has no beginning',
      );
    }
    this.#recordAt ??= offset;
    if (this.#kept < this.#keepBytes) {
      // A copy: what a reader gives is valid until it reads on.
      const part = Buffer.from(content.subarray(0, this.#keepBytes - this.#kept));
      this.#parts.push(part);
      this.#kept += part.length;
    }
    if (kind !== Kind.full && kind !== Kind.last) return;
    this.#take(Buffer.concat(this.#parts), this.#recordAt);
    this.#recordAt = undefined;
    this.#parts = [];
    this.#kept = 0;
  }

  async #judge(
    blockAt: number,
    at: number,
    { what, end }: Fragment & { readonly kind: undefined },
  ): Promise<TornTail> {
    const block = await this.#blockAt(blockAt);
    if (isOneBitOff(block, at)) throw new Damage(blockAt + at, `${what}: one bit is wrong`);
    if (await this.#isFollowed(blockAt, at, end)) throw new Damage(blockAt + at, what);
    return { offset: this.#recordAt ?? blockAt + at, what };
  }

  /** Whether a whole fragment that begins a record comes after the place. */
  async #isFollowed(blockAt: number, at: number, next: number | undefined): Promise<boolean> {
    const { size } = this.#reader;
    if (next !== undefined && beginsRecord(await this.#blockAt(blockAt), next)) return true;
    for (let later = blockAt + BLOCK_BYTES; later < size; later += BLOCK_BYTES) {
      if (beginsRecord(await this.#blockAt(later), 0)) return true;
    }
    // The length may be what is damaged, so a record may begin at any byte. A value may hold what looks like one, so from there on
    // all must be whole.
    for (let byte = at + 1; byte < (await this.#blockAt(blockAt)).length; byte += 1) {
      const { kind } = fragmentAt(await this.#blockAt(blockAt), byte);
      if ((kind === Kind.full || kind === Kind.first) && (await this.#isWholeFrom(blockAt, byte)))
        return true;
    }
    return false;
  }

  async #isWholeFrom(firstBlockAt: number, firstAt: number): Promise<boolean> {
    let at = firstAt;
    for (let blockAt = firstBlockAt; blockAt < this.#reader.size; blockAt += BLOCK_BYTES) {
      const block = await this.#blockAt(blockAt);
      while (at + HEAD_BYTES <= BLOCK_BYTES && at < block.length) {
        const fragment = fragmentAt(block, at);
        if (fragment.kind === undefined) return false;
        at = fragment.end;
      }
      at = 0;
    }
    return true;
  }

  async #blockAt(offset: number): Promise<Buffer> {
    const length = Math.min(BLOCK_BYTES, this.#reader.size - offset);
    const reading = this.#reader.ensure(offset, length);
    if (reading !== undefined) await reading;
    return this.#reader.view(offset, length);
  }
}

/** Whether the fragments from here to the end of the block, as far as they are whole, begin a record. */
function beginsRecord(block: Buffer, from: number): boolean {
  for (let at = from; at + HEAD_BYTES <= block.length; ) {
    const fragment = fragmentAt(block, at);
    if (fragment.kind === undefined) return false;
    if (fragment.kind === Kind.full || fragment.kind === Kind.first) return true;
    at = fragment.end;
  }
  return false;
}

function fragmentAt(block: Buffer, at: number): Fragment {
  if (at + HEAD_BYTES > block.length)
    return { kind: undefined, what: 'the file ends within a record', end: undefined };
  const length = block.readUInt16LE(at + 4);
  const end = at + HEAD_BYTES + length;
  if (end > block.length) {
    const what =
      end > BLOCK_BYTES ? 'the record there has an impossible length' : 'the file ends within a record';
    return { kind: undefined, what, end: undefined };
  }
  const kind = block[at + KIND_AT] ?? 0;
  if (kind < Kind.full || kind > Kind.last)
    return { kind: undefined, what: 'the record there is of no known kind', end };
  if (block.readUInt32LE(at) !== masked(checksumOf(block.subarray(at + KIND_AT, end))))
    return { kind: undefined, what: 'the record there does not match its checksum', end };
  return { kind: kind as Kind, content: block.subarray(at + HEAD_BYTES, end), end };
}

const POLYNOMIAL = 0x82f63b78;

/**
 * Whether the fragment would be whole if one bit of it were another. A checksum tells that: it is linear, so what is wrong with it
 * depends only on which bit it is.
 */
function isOneBitOff(block: Buffer, at: number): boolean {
  if (at + HEAD_BYTES > block.length) return false;
  const stored = block.readUInt32LE(at);
  const length = block.readUInt16LE(at + 4);
  for (let bit = 0; bit < 16; bit += 1) {
    const end = at + HEAD_BYTES + (length ^ (1 << bit));
    if (end <= block.length && masked(checksumOf(block.subarray(at + KIND_AT, end))) === stored) return true;
  }
  const end = at + HEAD_BYTES + length;
  if (end > block.length) return false;
  const checksum = checksumOf(block.subarray(at + KIND_AT, end));
  if (isPowerOfTwo((masked(checksum) ^ stored) >>> 0)) return true;
  const wrong = (checksum ^ unmasked(stored)) >>> 0;
  let ofBit = POLYNOMIAL;
  for (let bits = 8 * (length + 1); bits > 0; bits -= 1) {
    if (ofBit === wrong) return true;
    ofBit = (ofBit & 1) === 0 ? ofBit >>> 1 : ((ofBit >>> 1) ^ POLYNOMIAL) >>> 0;
  }
  return false;
}

function isPowerOfTwo(bits: number): boolean {
  return bits !== 0 && (bits & (bits - 1)) === 0;
}

function isZeros(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}
