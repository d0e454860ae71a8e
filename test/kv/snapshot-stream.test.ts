import { describe, expect, it } from 'vitest';
import { decodeSnapshot, encodeSnapshot } from '../../src/kv/snapshot-stream.js';
import { emptyConfiguration } from '../../src/raft/configuration.js';
import type { Pair } from '../../src/storage/ordered-store.js';

const metadata = { index: 7, term: 2, configuration: emptyConfiguration };
const FRAME_HEAD_BYTES = 9;
const TRAILER_BYTES = 10;
const CHUNK_BYTES = 64;

const pairs: readonly Pair[] = Array.from({ length: 20 }, (_, at) => ({
  key: Buffer.from(`key-${at}`),
  value: Buffer.alloc(at, at),
}));

async function encoded(chunkBytes = CHUNK_BYTES): Promise<Buffer[]> {
  let left = pairs;
  const scan = {
    next: async (countMax: number) => {
      const step = left.slice(0, Math.min(countMax, 3));
      left = left.slice(step.length);
      return step;
    },
    close: async () => {},
  };
  const chunks: Buffer[] = [];
  for await (const chunk of encodeSnapshot(metadata, () => scan, chunkBytes)) chunks.push(Buffer.from(chunk));
  return chunks;
}

async function decoded(chunks: readonly Uint8Array[], expected = metadata): Promise<readonly Pair[]> {
  async function* stream() {
    yield* chunks;
  }
  const found: Pair[] = [];
  for await (const some of decodeSnapshot(expected, stream(), 50)) found.push(...some);
  return found;
}

/** The whole stream, with other bytes in its trailer. */
async function withTrailer(change: (trailer: Buffer) => void): Promise<Buffer[]> {
  const whole = Buffer.concat(await encoded());
  change(whole.subarray(whole.length - TRAILER_BYTES));
  return [whole];
}

describe('a snapshot on its way', () => {
  it('arrives as it left, however it is cut', async () => {
    for (const chunkBytes of [1, CHUNK_BYTES, 1e6])
      expect(await decoded(await encoded(chunkBytes))).toEqual(pairs);
    const bytes = [...Buffer.concat(await encoded())].map((byte) => Buffer.of(byte));
    expect(await decoded(bytes)).toEqual(pairs);
  });

  it('is refused where any bit of a key or a value differs', async () => {
    const whole = Buffer.concat(await encoded());
    const key = whole.indexOf('key-13');
    for (const at of [key + 4, key + 8, whole.length - TRAILER_BYTES - FRAME_HEAD_BYTES - 1]) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 4;
      await expect(decoded([changed])).rejects.toThrow('it does not match its checksum');
    }
  });

  it('is refused where its trailer says something else', async () => {
    const checksum = await withTrailer((trailer) => trailer.writeUInt32BE(trailer.readUInt32BE(6) ^ 1, 6));
    await expect(decoded(checksum)).rejects.toThrow('it does not match its checksum');
    const count = await withTrailer((trailer) => trailer.writeUIntBE(pairs.length + 1, 0, 6));
    await expect(decoded(count)).rejects.toThrow('it has 20 pairs and says 21');
  });

  it('is refused where a part of it is missing or more comes', async () => {
    const chunks = await encoded();
    await expect(decoded(chunks.slice(0, -1))).rejects.toThrow('it ends too early');
    await expect(decoded([])).rejects.toThrow('it ends too early');
    await expect(decoded([...chunks.slice(0, 2), ...chunks.slice(3)])).rejects.toThrow('is not whole');
    await expect(decoded([...chunks, Buffer.concat(chunks)])).rejects.toThrow('it goes on after its end');
    const whole = Buffer.concat(chunks);
    await expect(decoded([whole.subarray(0, whole.length - 1)])).rejects.toThrow('it ends within a frame');
  });

  it('is refused where it is of another index, term or configuration than was announced', async () => {
    const chunks = await encoded();
    await expect(decoded(chunks, { ...metadata, index: 8 })).rejects.toThrow('of index 7 and term 2');
    await expect(decoded(chunks, { ...metadata, term: 3 })).rejects.toThrow('of index 7 and term 2');
    const configuration = { ...emptyConfiguration, learners: ['n1'] };
    await expect(decoded(chunks, { ...metadata, configuration })).rejects.toThrow('its configuration is not');
  });
});
