import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LevelDirectory } from '../../src/storage/level-store.js';
import type { OrderedStore } from '../../src/storage/ordered-store.js';
import { MEBIBYTE, SmallDisk } from '../e2e/small-disk.js';

const ROUNDS = 12;
const KEYS = 32;
/** What another program leaves in a round; from below one write to beyond a table and a new log. */
const LEFT_BYTES = [0, 4096, 100_000, MEBIBYTE, 5 * MEBIBYTE, 20 * MEBIBYTE];

describe.skipIf(!SmallDisk.areAllowed)('a LevelDB whose disk fills up (needs root, to mount a tmpfs)', () => {
  it('says so, and holds every acknowledged write when it is opened again (row 30)', async () => {
    const path = mkdtempSync(join(tmpdir(), 'raftkv-disk-'));
    const disk = SmallDisk.mount(path, 128);
    try {
      const directory = await LevelDirectory.at(join(path, 'data'));
      const acknowledged = new Map<number, number>();
      let unknown: { key: number; number: number } | undefined;
      let number = 0;
      for (let round = 0; round < ROUNDS; round += 1) {
        const store = await directory.open('store');
        for (const [key, expected] of acknowledged) {
          const found = numberIn(store, key);
          if (key === unknown?.key) expect([expected, unknown.number]).toContain(found);
          else expect([key, found]).toEqual([key, expected]);
        }
        // What was in doubt is read now, so it is known from here on.
        if (unknown !== undefined) acknowledged.set(unknown.key, numberIn(store, unknown.key));
        unknown = undefined;
        disk.fill(LEFT_BYTES[round % LEFT_BYTES.length]);
        while (unknown === undefined) {
          const key = number % KEYS;
          number += 1;
          try {
            await store.write([{ kind: 'put', key: Buffer.of(key), value: valueWith(number) }]);
            acknowledged.set(key, number);
          } catch (error) {
            expect(error).toMatchObject({ code: 'no_space' });
            unknown = { key, number };
          }
        }
        await store.close();
        disk.release();
      }
    } finally {
      disk.unmount();
      rmSync(path, { recursive: true });
    }
  });
});

function valueWith(number: number): Uint8Array {
  const value = Buffer.alloc(1_000 + ((number * 7_919) % 300_000), number);
  value.writeUInt32BE(number);
  return value;
}

function numberIn(store: OrderedStore, key: number): number {
  const value = store.get(Buffer.of(key));
  return value === undefined ? 0 : Buffer.from(value).readUInt32BE();
}
