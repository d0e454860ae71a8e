import { describe, expect, it } from 'vitest';
import { MemoryDisk, type PendingWrite } from '../../src/storage/memory-store.js';
import type { Operation } from '../../src/storage/ordered-store.js';
import { testOrderedStore } from './conformance.js';

testOrderedStore('memory', async () => ({
  directory: new MemoryDisk().directory(),
  dispose: async () => {},
}));

const key = (name: string): Uint8Array => Buffer.from(name);
const put = (name: string): Operation => ({ kind: 'put', key: key(name), value: key('value') });

/** Whether a promise has settled after everything that can go on by itself has gone on. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const mark = () => {
    done = true;
  };
  promise.then(mark, mark);
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  return done;
}

describe('the disk in memory', () => {
  it('row 2: shows and keeps a write only when the simulator completes it', async () => {
    const disk = new MemoryDisk(() => {});
    const store = await disk.directory().open('log');
    const written = store.write([put('a')]);
    expect(await settled(written)).toBe(false);
    expect(store.get(key('a'))).toBeUndefined();
    disk.pendingWrites[0]?.complete();
    await written;
    expect(store.get(key('a'))).toBeDefined();
    expect(disk.pendingWrites).toEqual([]);
  });

  it('row 2: a crash loses what was not synced, or keeps it as a whole, and nobody hears of it', async () => {
    for (const fate of ['lost', 'durable'] as const) {
      const disk = new MemoryDisk(() => {});
      const store = await disk.directory().open('log');
      const written = store.write([put('a'), put('b')]);
      const stale = disk.pendingWrites[0];
      disk.crash(() => fate);
      stale?.complete();
      expect(await settled(written)).toBe(false);
      expect(store.get(key('a'))).toBeUndefined();
      const again = await disk.directory().open('log');
      expect(again.get(key('a')) !== undefined).toBe(fate === 'durable');
      expect(again.get(key('b')) !== undefined).toBe(fate === 'durable');
    }
  });

  it('loses with a write those that stand behind it in the same store, and no other', async () => {
    const disk = new MemoryDisk(() => {});
    const directory = disk.directory();
    const log = await directory.open('log');
    const state = await directory.open('state');
    void log.write([put('first')]);
    void log.write([put('second')]);
    void state.write([put('other')]);
    const decisions: PendingWrite[] = [];
    disk.crash((write) => {
      decisions.push(write);
      return decisions.length === 1 ? 'lost' : 'durable';
    });
    const again = disk.directory();
    expect((await again.open('log')).get(key('second'))).toBeUndefined();
    expect((await again.open('state')).get(key('other'))).toBeDefined();
  });

  it('can show a write before its promise settles, and a crash in between keeps it', async () => {
    const disk = new MemoryDisk(() => {});
    const store = await disk.directory().open('state');
    const written = store.write([put('a')]);
    const [write] = disk.pendingWrites;
    write?.reach();
    expect(store.get(key('a'))).toBeDefined();
    expect(await settled(written)).toBe(false);
    expect(disk.pendingWrites).toHaveLength(1);
    disk.crash(() => 'lost');
    write?.settle();
    expect(await settled(written)).toBe(false);
    expect((await disk.directory().open('state')).get(key('a'))).toBeDefined();
  });

  it('takes its time for reads, and cuts scans into steps of some bytes', async () => {
    const waiting: (() => void)[] = [];
    const wait = () => new Promise<void>((resolve) => waiting.push(resolve));
    const disk = new MemoryDisk(undefined, { stepBytes: 12, wait });
    const proceed = async <Value>(task: Promise<Value>): Promise<Value> => {
      expect(await settled(task)).toBe(false);
      waiting.shift()?.();
      return task;
    };
    const store = await proceed(disk.directory().open('state'));
    await store.write(['a', 'b', 'c', 'd', 'e'].map(put));
    const scan = store.scan({ lt: key('e') });
    await store.write([{ kind: 'delete', key: key('b') }]);
    // Each pair has six bytes.
    expect(await proceed(scan.next(3))).toHaveLength(2);
    expect(await proceed(scan.next(1))).toHaveLength(1);
    expect(await proceed(scan.next(3))).toHaveLength(1);
    expect(await proceed(scan.next(3))).toHaveLength(0);
  });

  it('lets nothing of a crashed process reach the disk', async () => {
    const disk = new MemoryDisk();
    const directory = disk.directory();
    const store = await directory.open('log');
    disk.crash();
    expect(await settled(store.write([put('late')]))).toBe(false);
    expect(await settled(directory.open('another'))).toBe(false);
    expect(await settled(directory.remove('log'))).toBe(false);
    expect(await settled(store.close())).toBe(false);
    expect((await disk.directory().open('log')).get(key('late'))).toBeUndefined();
  });

  it('row 30: a failed write is on disk or not, as the simulator decides', async () => {
    for (const fate of ['lost', 'durable'] as const) {
      const disk = new MemoryDisk((write) => write.fail(new Error('The disk failed.'), fate));
      const store = await disk.directory().open('log');
      await expect(store.write([put('a')])).rejects.toThrow('The disk failed.');
      disk.crash();
      expect((await disk.directory().open('log')).get(key('a')) !== undefined).toBe(fate === 'durable');
    }
  });
});
