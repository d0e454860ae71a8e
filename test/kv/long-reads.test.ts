import { describe, expect, it } from 'vitest';
import { openKv } from '../../src/kv/state-machine.js';
import type { TxnCommand } from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import type { StoreDirectory } from '../../src/storage/ordered-store.js';
import { deletePrefix, perform } from './kit.js';
import { bytes, put } from './model.js';
import { observedStores } from './observed-stores.js';

/** Long reads of clients go on in slices, each of which waits for its turn; what writes wait for does not. */

const COUNT = 1_500;
/** What a slice of a walk looks at. */
const SLICE_MAX = 128;

/** Counts the records that are read from views of the disk, and gives turns one at a time. */
class Turns {
  reads = 0;
  #waiting: (() => void)[] = [];

  readonly ask = (): Promise<void> => new Promise((resolve) => this.#waiting.push(resolve));

  /** Gives turns until the promises are settled. Returns how many there were, and the most that was read in one. */
  async untilSettled(promises: readonly Promise<unknown>[]): Promise<{ turns: number; mostRead: number }> {
    let isSettled = false;
    void Promise.allSettled(promises).then(() => {
      isSettled = true;
    });
    let turns = 0;
    let mostRead = 0;
    for (;;) {
      const before = this.reads;
      const proceed = this.#waiting.shift();
      if (proceed !== undefined) turns += 1;
      proceed?.();
      await new Promise((resolve) => setImmediate(resolve));
      mostRead = Math.max(mostRead, this.reads - before);
      if (isSettled) return { turns, mostRead };
    }
  }

  over(directory: StoreDirectory): StoreDirectory {
    return observedStores(directory, { viewRead: () => (this.reads += 1) });
  }
}

async function filled() {
  const turns = new Turns();
  const kv = await openKv(turns.over(new MemoryDisk().directory()), 'state-1', { readTurn: turns.ask });
  await perform(kv, { kind: 'raiseVersion', version: 2 });
  for (let number = 0; number < COUNT; number += 1) await perform(kv, put(`a/${number}`, 'x'));
  await kv.flush();
  turns.reads = 0;
  return { kv, turns };
}

const getsOf = (count: number): TxnCommand => ({
  kind: 'txn',
  compare: [],
  success: Array.from({ length: count }, () => ({ kind: 'getPrefix', prefix: bytes('a/') })),
  failure: [],
});

describe('long reads', () => {
  it('do one slice in each turn that they get, however many there are at a time', async () => {
    const { kv, turns } = await filled();
    const list = () =>
      kv.list({ prefix: bytes('a/'), after: undefined, limit: 1_000, keysOnly: false, revision: undefined });
    const watcher = () =>
      kv.watch({
        key: bytes('a/'),
        isPrefix: true,
        after: { revision: 0, number: Number.POSITIVE_INFINITY },
      });
    const reads = [
      list(),
      list(),
      kv.readTxn(getsOf(3)),
      kv.readTxn(getsOf(1)),
      watcher().read(),
      watcher().read(),
    ];
    const { mostRead, turns: given } = await turns.untilSettled(reads);
    expect(turns.reads).toBeGreaterThan(5 * COUNT);
    expect(mostRead).toBeLessThanOrEqual(SLICE_MAX);
    expect(given).toBeGreaterThanOrEqual(turns.reads / SLICE_MAX);
    await kv.close();
  });

  it('look at a slice of keys in each turn before a transaction is proposed', async () => {
    const { kv, turns } = await filled();
    const checks = [getsOf(3), getsOf(20)].map((gets) =>
      kv.measureWalks(gets, { existing: 20_000, deleted: 0 }),
    );
    const { turns: given } = await turns.untilSettled(checks);
    expect(await Promise.all(checks)).toEqual([3 * COUNT, undefined]);
    // One walk of the disk each, and the rest from memory.
    expect(given).toBeGreaterThanOrEqual((3 * COUNT) / SLICE_MAX);
    await kv.close();
  });

  it('do not hold up what is applied', async () => {
    const { kv, turns } = await filled();
    const read = kv.readTxn(getsOf(2));
    // No turn is given meanwhile.
    expect(await perform(kv, getsOf(1))).toMatchObject({ kind: 'txn', succeeded: true });
    expect(await perform(kv, deletePrefix('a/'))).toMatchObject({ kind: 'delete', deleted: COUNT });
    await kv.flush();
    await turns.untilSettled([read]);
    // Of the revision at which it began.
    expect(await read).toMatchObject({ kind: 'txn', results: [{}, {}] });
    await kv.close();
  });

  it('end with the reason of their signal in the next turn that they get', async () => {
    const { kv, turns } = await filled();
    const left = new AbortController();
    const read = kv.readTxn(getsOf(3), { signal: left.signal });
    left.abort(new Error('The client has left.'));
    const { mostRead } = await turns.untilSettled([read.catch(() => {})]);
    await expect(read).rejects.toThrow('The client has left.');
    expect(mostRead).toBe(0);
    await kv.close();
  });
});
