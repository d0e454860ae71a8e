import { describe, expect, it } from 'vitest';
import { type KvOptions, type KvStateMachine, openKv } from '../../src/kv/state-machine.js';
import { STEP_SIZES } from '../../src/kv/step-sizes.js';
import type { WatchEvent } from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { perform } from './kit.js';
import { bytes, put, text } from './model.js';

/** A state to which something is applied before each step of a long read. */
async function changing(options: KvOptions, change: (kv: KvStateMachine, step: number) => Promise<unknown>) {
  let steps = 0;
  let isReading = false;
  const kv = await openKv(new MemoryDisk().directory(), 'state-1', {
    ...options,
    readTurn: async () => {
      if (isReading) await change(kv, ++steps);
    },
  });
  return {
    kv,
    stepsOf: async <Value>(read: Promise<Value>): Promise<[Value, number]> => {
      isReading = true;
      const value = await read;
      isReading = false;
      return [value, steps];
    },
  };
}

describe('what is applied between two steps of a long read', () => {
  it('is not in a listing, even where what it replaced is pruned meanwhile', async () => {
    const keyOf = (number: number) => `a/${String(number).padStart(3, '0')}`;
    const { kv, stepsOf } = await changing({ historyRevisions: 1 }, async (kv, step) => {
      await perform(kv, put(keyOf(500 - step), 'later'), put(keyOf(500 + step), 'later'), put('b', 'later'));
      await kv.flush();
    });
    for (let number = 0; number < 500; number += 1) await perform(kv, put(keyOf(number), 'before'));
    await kv.flush();
    const { revision } = kv;
    const [page, steps] = await stepsOf(
      kv.list({
        prefix: bytes('a/'),
        after: undefined,
        limit: 1_000,
        keysOnly: false,
        revision: undefined,
      }),
    );
    expect(steps).toBeGreaterThan(2);
    expect(kv.compactedRevision).toBeGreaterThan(revision);
    expect(page.revision).toBe(revision);
    expect(page.items.map(({ key, value }) => `${text(key)} ${text(value ?? bytes(''))}`)).toEqual(
      Array.from({ length: 500 }, (_, number) => `${keyOf(number)} before`),
    );
    await kv.close();
  });

  it('comes to a watch that reads the past after it, once and in order', async () => {
    const { kv, stepsOf } = await changing(
      {
        stepSizes: { ...STEP_SIZES, changes: 4 },
        window: { eventsMax: 1, bytesMax: 1 },
      },
      async (kv) => {
        // More than what is left of a step.
        if (kv.revision < 30) await perform(kv, put('k', 'later'), put('k', 'later'), put('k', 'later'));
      },
    );
    for (let count = 0; count < 7; count += 1) await perform(kv, put('k', 'before'));
    const watcher = kv.watch({
      key: bytes('k'),
      isPrefix: false,
      after: { revision: 0, number: Number.POSITIVE_INFINITY },
    });
    const seen: WatchEvent[] = [];
    while (seen.length < kv.revision) {
      const [events, steps] = await stepsOf(watcher.read());
      expect(steps).toBeGreaterThan(0);
      seen.push(...events);
    }
    expect(seen.map(({ revision }) => revision)).toEqual(
      Array.from({ length: kv.revision }, (_, at) => at + 1),
    );
    await kv.close();
  });
});
