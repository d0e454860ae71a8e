import { describe, expect, it } from 'vitest';
import type { KvStateMachine } from '../../src/kv/state-machine.js';
import type { Command } from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { deletePrefix, deletion, follower, open, perform, reopen, waitingDisk } from './kit.js';
import { bytes, put } from './model.js';

const raise: Command = { kind: 'raiseVersion', version: 2 };
const txn = (...success: Extract<Command, { kind: 'txn' }>['success'][number][]): Command => ({
  kind: 'txn',
  compare: [],
  success,
  failure: [],
});
const putIn = (key: string) =>
  ({ kind: 'put', key: bytes(key), value: bytes('x'), contentType: '' }) as const;
const deleteIn = (key: string) => ({ kind: 'delete', key: bytes(key) }) as const;

/** What is counted in the end. */
async function counted(kv: KvStateMachine): Promise<number> {
  for (;;) {
    const keys = kv.countKeys();
    if (keys !== undefined) return keys;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('the number of keys', () => {
  it.each([
    ['puts count once for each key', [put('a', '1'), put('a', '2'), put('b', '1')], 2],
    ['deletions count for keys that exist', [put('a', '1'), deletion('a'), deletion('a'), deletion('b')], 0],
    ['a key counts again after its deletion', [put('a', '1'), deletion('a'), put('a', '1')], 1],
    ['a counter is a key', [{ kind: 'add', key: bytes('a'), delta: 1, initial: 0 }], 1],
    ['a prefix takes its keys away', [put('a', '1'), put('b1', '1'), put('b2', '1'), deletePrefix('b')], 1],
    [
      'a transaction that deletes a key and puts it anew changes nothing',
      [put('a', '1'), txn(deleteIn('a'), putIn('a'))],
      1,
    ],
    ['a transaction that puts a key and deletes it changes nothing', [txn(putIn('a'), deleteIn('a'))], 0],
    ['a transaction counts each of its keys', [put('a', '1'), txn(deleteIn('a'), putIn('b'), putIn('c'))], 2],
  ] satisfies [string, Command[], number][])('is exact: %s', async (_title, commands, keys) => {
    for (const version of [[], [raise]]) {
      const disk = new MemoryDisk();
      const kv = await open(disk);
      await perform(kv, ...version, ...commands);
      expect(kv.countKeys()).toBe(keys);
      await kv.flush();
      expect(kv.countKeys()).toBe(keys);
      expect(await counted(await follower(new MemoryDisk(), kv))).toBe(keys);
    }
  });

  it('goes with the keys of a lease', async () => {
    const kv = await open(new MemoryDisk());
    await perform(
      kv,
      { kind: 'leaseGrant', ttlMs: 1000 },
      { kind: 'put', key: bytes('a'), value: bytes('1'), contentType: '', lease: 1 },
      put('b', '1'),
    );
    await perform(kv, { kind: 'leaseRevoke', lease: 1 });
    expect(kv.countKeys()).toBe(1);
  });

  it('is there at once after a restart and in a snapshot from cluster version 2 on', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    await perform(kv, raise, put('a', '1'), put('b', '1'), put('c', '1'), deletion('b'));
    await kv.flush();
    await perform(kv, put('lost', '1'));
    expect((await follower(new MemoryDisk(), kv)).countKeys()).toBe(3);
    await kv.flush();
    await perform(kv, put('not flushed', '1'));
    expect((await reopen(disk, kv)).countKeys()).toBe(3);
  });

  it('is counted after a restart below cluster version 2, past tombstones and beside changes', async () => {
    const disk = new MemoryDisk();
    const before = await open(disk);
    await perform(before, put('a', '1'), put('b', '1'), put('c', '1'), deletion('b'));
    await before.flush();
    const kv = await reopen(disk, before);
    await perform(kv, put('d', '1'));
    expect(kv.countKeys()).toBeUndefined();
    await perform(kv, put('e', '1'), deletion('a'));
    await kv.flush();
    await perform(kv, put('f', '1'));
    expect(await counted(kv)).toBe(4);
    await perform(kv, raise, put('g', '1'));
    await kv.flush();
    expect((await reopen(disk, kv)).countKeys()).toBe(5);
  });

  it.each([
    ['before', false],
    ['after', true],
  ])('is exact where the counting begins %s a flush in flight is on disk', async (_title, isWritten) => {
    const { disk, finish, finishWrites } = waitingDisk();
    const before = await finish(open(disk));
    await perform(before, put('a', '1'), put('b', '1'));
    await finish(before.flush());
    const kv = await finish(reopen(disk, before));
    await perform(kv, put('c', '1'));
    const flushed = kv.flush();
    while (disk.pendingWrites.length === 0) await Promise.resolve();
    // The write is on disk; that the state does not know so yet.
    if (isWritten) finishWrites();
    expect(kv.countKeys()).toBeUndefined();
    await perform(kv, put('d', '1'), put('e', '1'), deletion('a'));
    await finish(flushed);
    expect(await finish(counted(kv))).toBe(4);
    await finish(kv.flush());
    expect(kv.countKeys()).toBe(4);
  });

  it('ends its counting with the state', async () => {
    const disk = new MemoryDisk();
    const before = await open(disk);
    await perform(before, ...Array.from({ length: 2_000 }, (_, place) => put(`k${place}`, '1')));
    await before.flush();
    const kv = await reopen(disk, before);
    expect(kv.countKeys()).toBeUndefined();
    await kv.close();
    expect(kv.countKeys()).toBeUndefined();
  });
});
