import { describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { LiveWatch } from '../../src/kv/live-watch.js';
import { currentKey } from '../../src/kv/record-codec.js';
import { openKv } from '../../src/kv/state-machine.js';
import type { Command } from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { FakeClock } from '../node/fake-clock.js';
import { perform } from './kit.js';
import { bytes, put } from './model.js';

const MINUTE_MS = 60_000;
const raise: Command = { kind: 'raiseVersion', version: 2 };

/** A state, its store for whoever damages it, and a watch over it. */
async function watched() {
  const directory = new MemoryDisk().directory();
  const store = await directory.open('state-1');
  const kv = await openKv({ ...directory, open: async () => store }, 'state-1');
  await perform(kv, raise);
  const clock = new FakeClock();
  const told: string[] = [];
  const watch = new LiveWatch({
    clock,
    state: kv,
    onDamage: (error) => told.push(error.message),
    onError: (error) => told.push(`another error: ${error}`),
  });
  /** So many minutes, with all that is read in them. */
  const pass = async (minutes: number) => {
    for (let second = 0; second < 60 * minutes; second += 1) {
      await clock.pass(MINUTE_MS / 60);
      for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { store, kv, watch, told, pass };
}

describe('the check of the live records in the background (rule 29)', () => {
  it('passes over a whole state again and again, while it is written to, and tells nothing', async () => {
    const { kv, watch, told, pass } = await watched();
    watch.start();
    for (let minute = 0; minute < 4; minute += 1) {
      await perform(kv, put('a', `${minute}`), put(`b${minute}`, '1'));
      await kv.flush();
      await pass(1);
    }
    expect(watch.readRecords).toBeGreaterThan(0);
    await watch.stop();
    expect(told).toEqual([]);
  });

  it('finds a record that an older one took the place of under a running node, and tells of it once', async () => {
    const { store, kv, watch, told, pass } = await watched();
    await perform(kv, put('a', '1'));
    await kv.flush();
    const older = present(store.get(currentKey(bytes('a'))), 'It was put.');
    await perform(kv, put('a', '2'));
    await kv.flush();
    watch.start();
    await pass(3);
    expect(told).toEqual([]);
    await store.write([{ kind: 'put', key: currentKey(bytes('a')), value: older }]);
    await pass(5);
    expect(told).toEqual([
      expect.stringMatching(/^the key "a" has a value of revision 2, .*revision 1 is the newest/),
    ]);
    await watch.stop();
  });

  it('reads 500 records a second at most where a pass takes less than five hours', async () => {
    const { kv, watch, told, pass } = await watched();
    for (let key = 0; key < 5_000; key += 1) await perform(kv, put(`key ${key}`, '1'));
    await kv.flush();
    watch.start();
    // The first pass begins after five seconds.
    await pass(10 / 60);
    expect(watch.readRecords).toBeGreaterThan(0);
    expect(watch.readRecords).toBeLessThanOrEqual(5 * 500 + 1024);
    await pass(20 / 60);
    expect(watch.readRecords).toBeGreaterThanOrEqual(9_000);
    await watch.stop();
    expect(told).toEqual([]);
  });
});
