import { crc32 } from 'node:zlib';
import { RaftkvError } from '../errors.js';
import { decodeConfiguration, encodeConfiguration } from '../raft/configuration.js';
import type { SnapshotMetadata } from '../raft/types.js';
import type { Pair, Scan } from '../storage/ordered-store.js';

/**
 * A snapshot on its way (§7). It is a stream of frames, and where it is cut into chunks means nothing:
 *
 * | bytes | frame |
 * | --- | --- |
 * | 1 | tag |
 * | 4 | length of the first part |
 * | 4 | length of the second part |
 * | n | both parts |
 *
 * One header (the format version and the metadata, as JSON), any number of pairs (key and value), and one trailer
 * (the number of pairs and the CRC-32 of everything before the trailer). Integers are big-endian.
 */
const FORMAT_VERSION = 1;
const FRAME_HEAD_BYTES = 9;
const TAG_HEADER = 1;
const TAG_PAIR = 2;
const TAG_TRAILER = 3;
const TRAILER_BYTES = 10;
/** A frame that says it is longer than this is damaged: keys and values are bounded far below. */
const FRAME_BYTES_MAX = 1024 * 1024 * 1024;

/** Pairs read in one step; the store also bounds a step in bytes. */
const PAIRS_PER_STEP = 512;

/**
 * The stream for a state whose pairs the scan gives, which is opened with the first pull: a stream that nobody reads holds nothing. What
 * the scan throws ends the stream before its last chunk, so nobody takes it for whole.
 */
export async function* encodeSnapshot(
  metadata: SnapshotMetadata,
  open: () => Scan,
  chunkBytes: number,
): AsyncGenerator<Uint8Array> {
  const scan = open();
  try {
    let checksum = 0;
    let pairCount = 0;
    let frames = [encodeFrame(TAG_HEADER, encodeHeader(metadata), new Uint8Array(0))];
    let bytes = frames[0]?.length ?? 0;
    const cut = () => {
      const chunk = Buffer.concat(frames, bytes);
      checksum = crc32(chunk, checksum);
      frames = [];
      bytes = 0;
      return chunk;
    };
    for (;;) {
      const pairs = await scan.next(PAIRS_PER_STEP);
      if (pairs.length === 0) break;
      for (const { key, value } of pairs) {
        const frame = encodeFrame(TAG_PAIR, key, value);
        if (bytes > 0 && bytes + frame.length > chunkBytes) yield cut();
        frames.push(frame);
        bytes += frame.length;
        pairCount += 1;
      }
    }
    yield cut();
    const trailer = Buffer.alloc(TRAILER_BYTES);
    trailer.writeUIntBE(pairCount, 0, 6);
    trailer.writeUInt32BE(checksum, 6);
    yield encodeFrame(TAG_TRAILER, trailer, new Uint8Array(0));
  } finally {
    await scan.close();
  }
}

/**
 * Reads a stream and gives its pairs in lists of at least `bytesMin` bytes and at most a chunk more, the last one apart. Throws when the stream
 * is damaged, incomplete, or of another snapshot than `expected`: only when the generator has ended is it known whole.
 */
export async function* decodeSnapshot(
  expected: SnapshotMetadata,
  chunks: AsyncIterable<Uint8Array>,
  bytesMin: number,
): AsyncGenerator<readonly Pair[]> {
  const checker = new StreamChecker(expected);
  let pairs: Pair[] = [];
  let bytes = 0;
  for await (const frames of readFrames(chunks)) {
    for (const frame of frames) {
      const pair = checker.take(frame);
      if (pair === undefined) continue;
      pairs.push(pair);
      bytes += frame.all.length;
    }
    if (bytes < bytesMin) continue;
    yield pairs;
    pairs = [];
    bytes = 0;
  }
  checker.assertEnded();
  if (pairs.length > 0) yield pairs;
}

/** Follows a stream frame by frame and refuses the first that does not belong. */
class StreamChecker {
  readonly #expected: SnapshotMetadata;
  #stage: 'header' | 'pairs' | 'end' = 'header';
  #checksum = 0;
  #pairCount = 0;

  constructor(expected: SnapshotMetadata) {
    this.#expected = expected;
  }

  /** The pair that the frame holds, or undefined for the header and the trailer. */
  take(frame: Frame): Pair | undefined {
    if (this.#stage === 'end') throw damaged('it goes on after its end');
    if (this.#stage === 'header') {
      if (frame.tag !== TAG_HEADER) throw damaged('it does not begin with a header');
      checkHeader(frame.first, this.#expected);
      this.#stage = 'pairs';
    } else if (frame.tag === TAG_TRAILER) {
      this.#checkTrailer(frame.first);
      this.#stage = 'end';
    } else if (frame.tag !== TAG_PAIR) {
      throw damaged(`it has a frame of the unknown kind ${frame.tag}`);
    }
    this.#checksum = crc32(frame.all, this.#checksum);
    if (frame.tag !== TAG_PAIR) return undefined;
    this.#pairCount += 1;
    return { key: frame.first, value: frame.second };
  }

  assertEnded(): void {
    if (this.#stage !== 'end') throw damaged('it ends too early');
  }

  #checkTrailer(trailer: Buffer): void {
    if (trailer.length !== TRAILER_BYTES) throw damaged(`its trailer has ${trailer.length} bytes`);
    const pairCount = trailer.readUIntBE(0, 6);
    if (pairCount !== this.#pairCount) throw damaged(`it has ${this.#pairCount} pairs and says ${pairCount}`);
    if (trailer.readUInt32BE(6) !== this.#checksum) throw damaged('it does not match its checksum');
  }
}

interface Frame {
  readonly tag: number;
  readonly first: Buffer;
  readonly second: Buffer;
  readonly all: Buffer;
}

/** The frames that each chunk completes. */
async function* readFrames(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Frame[]> {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let needed = FRAME_HEAD_BYTES;
  for await (const chunk of chunks) {
    waiting.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    waitingBytes += chunk.length;
    if (waitingBytes < needed) continue;
    const bytes = waiting.length === 1 ? (waiting[0] ?? Buffer.alloc(0)) : Buffer.concat(waiting);
    const frames: Frame[] = [];
    let offset = 0;
    for (;;) {
      const left = bytes.length - offset;
      needed = left < FRAME_HEAD_BYTES ? FRAME_HEAD_BYTES : frameBytes(bytes, offset);
      if (left < needed) break;
      frames.push(toFrame(bytes.subarray(offset, offset + needed)));
      offset += needed;
    }
    yield frames;
    const rest = bytes.subarray(offset);
    waiting = rest.length === 0 ? [] : [rest];
    waitingBytes = rest.length;
  }
  if (waitingBytes > 0) throw damaged('it ends within a frame');
}

function frameBytes(bytes: Buffer, offset: number): number {
  const length = FRAME_HEAD_BYTES + bytes.readUInt32BE(offset + 1) + bytes.readUInt32BE(offset + 5);
  if (length > FRAME_BYTES_MAX) throw damaged(`it has a frame of ${length} bytes`);
  return length;
}

function toFrame(all: Buffer): Frame {
  const secondAt = FRAME_HEAD_BYTES + all.readUInt32BE(1);
  return {
    tag: all.readUInt8(0),
    first: all.subarray(FRAME_HEAD_BYTES, secondAt),
    second: all.subarray(secondAt),
    all,
  };
}

function encodeFrame(tag: number, first: Uint8Array, second: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + first.length + second.length);
  frame[0] = tag;
  frame.writeUInt32BE(first.length, 1);
  frame.writeUInt32BE(second.length, 5);
  frame.set(first, FRAME_HEAD_BYTES);
  frame.set(second, FRAME_HEAD_BYTES + first.length);
  return frame;
}

function encodeHeader({ index, term, configuration }: SnapshotMetadata): Buffer {
  const bytes = Buffer.from(encodeConfiguration(configuration)).toString();
  return Buffer.from(JSON.stringify({ version: FORMAT_VERSION, index, term, configuration: bytes }));
}

function checkHeader(bytes: Buffer, expected: SnapshotMetadata): void {
  let header: { version?: unknown; index?: unknown; term?: unknown; configuration?: unknown };
  try {
    header = JSON.parse(bytes.toString());
  } catch {
    throw damaged('its header cannot be read');
  }
  if (header.version !== FORMAT_VERSION) {
    throw new RaftkvError(
      'storage_unusable',
      `The snapshot has format ${header.version}; this version of raftkv reads format ${FORMAT_VERSION}. Upgrade this ` +
        'node.',
    );
  }
  if (header.index !== expected.index || header.term !== expected.term) {
    throw damaged(
      `it is of index ${header.index} and term ${header.term}, where ${expected.index} and ${expected.term} were announced`,
    );
  }
  const configuration = decodeConfiguration(Buffer.from(String(header.configuration)));
  if (!Buffer.from(encodeConfiguration(configuration)).equals(encodeConfiguration(expected.configuration))) {
    throw damaged('its configuration is not the one that was announced');
  }
}

/** @param what Completes the sentence. */
export function damaged(what: string): RaftkvError {
  return new RaftkvError(
    'storage_damaged',
    `The snapshot that arrived is not whole: ${what}. It was dropped.`,
  );
}
