import { describe, expect, it } from 'vitest';
import type { KvStateMachine } from '../../src/kv/state-machine.js';
import {
  type Command,
  DELETED_KEY_BYTES_MAX,
  DELETED_KEYS_MAX,
  LEASES_MAX,
  type TxnOperation,
} from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { deletePrefix, deletion, follower, open, perform, performAt, reopen } from './kit.js';
import { bytes, commandEntry, plain, put, text } from './model.js';

const grant = (ttlMs: number): Command => ({ kind: 'leaseGrant', ttlMs });
const keepAlive = (lease: number, ttlMs?: number): Command =>
  ttlMs === undefined ? { kind: 'leaseKeepAlive', lease } : { kind: 'leaseKeepAlive', lease, ttlMs };
const revoke = (lease: number): Command => ({ kind: 'leaseRevoke', lease });
const expire = (lease: number, generation = 1): Command => ({ kind: 'leaseExpire', lease, generation });
const attach = (key: string, lease: number): Command => ({ ...put(key, ''), lease }) as Command;
const withTtl = (key: string, ttlMs: number): Command => ({ ...put(key, ''), ttlMs }) as Command;
const set = (key: string, lease?: number): TxnOperation => ({
  kind: 'put',
  key: bytes(key),
  value: bytes(''),
  contentType: '',
  ...(lease !== undefined && { lease }),
});
const all = (...success: TxnOperation[]): Command => ({ kind: 'txn', compare: [], success, failure: [] });

describe('a lease', () => {
  it('deletes its keys at one revision when it is revoked', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    expect(await perform(kv, grant(5))).toEqual({ kind: 'lease', revision: 0, lease: 1, ttlMs: 5 });
    expect(await perform(kv, grant(7))).toEqual({ kind: 'lease', revision: 0, lease: 2, ttlMs: 7 });
    await perform(kv, attach('a', 1), attach('b', 2), attach('c', 1), attach('d', 1));
    await kv.flush();
    await perform(kv, attach('d', 2), put('c', ''), attach('b', 1));
    expect(plain(kv.get(bytes('a')))).toMatchObject({ key: 'a', lease: 1 });
    expect(plain(kv.get(bytes('c')))).not.toHaveProperty('lease');
    expect(plain(kv.get(bytes('c'), 3))).toMatchObject({ lease: 1 });
    expect((await kv.leaseKeys(1, 10)).map(text)).toEqual(['a', 'b']);
    expect((await kv.leaseKeys(1, 1)).map(text)).toEqual(['a']);
    const revoked = { kind: 'leaseRevoked', revision: 8, lease: 1, deleted: 2, remaining: false };
    expect(await perform(kv, revoke(1))).toEqual(revoked);
    expect([kv.get(bytes('a')), kv.get(bytes('b')), kv.leaseCount]).toEqual([undefined, undefined, 1]);
    expect(await perform(kv, revoke(1))).toEqual({ kind: 'leaseNotFound', revision: 8, lease: 1 });
    expect(await perform(kv, revoke(2))).toMatchObject({ revision: 9, deleted: 1 });
    await kv.flush();
    expect((await reopen(disk, kv)).leaseCount).toBe(0);
  });

  it('leaves nothing of itself on disk', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk, 'state-1', 1);
    await perform(kv, grant(5), attach('a', 1), withTtl('b', 5));
    await kv.flush();
    await perform(kv, revoke(1), put('b', ''));
    await kv.close();
    const store = await disk.directory().open('state-1');
    const tags = (await store.scan({}).next(1000)).map(({ key }) => text(key)[0]);
    expect(tags.filter((tag) => tag === 'l' || tag === 'k')).toEqual([]);
  });

  it('is unknown to a put that names one which is not there, and then nothing changes', async () => {
    const kv = await open(new MemoryDisk());
    const { digest } = kv;
    const notFound = { kind: 'leaseNotFound', revision: 0, lease: 1 };
    expect(await perform(kv, attach('a', 1))).toEqual(notFound);
    expect(await perform(kv, all(set('b'), set('a', 1)))).toEqual(notFound);
    expect(await perform(kv, keepAlive(1))).toEqual(notFound);
    expect(await perform(kv, expire(1))).toEqual(notFound);
    expect([kv.revision, kv.digest]).toEqual([0, digest]);
  });

  it('row 20: expires only in the generation that the leader saw, and not before its time in the log', async () => {
    const kv = await open(new MemoryDisk());
    await performAt(kv, 100, grant(30));
    await performAt(kv, 100, attach('a', 1));
    const kept = { kind: 'leaseKept', revision: 1 };
    expect(await performAt(kv, 129, expire(1))).toEqual(kept);
    await performAt(kv, 129, keepAlive(1));
    // A leader that was paused saw it run out, and its successor heard that it was renewed.
    expect(await performAt(kv, 500, expire(1, 1))).toEqual(kept);
    expect([kv.dueLeases(158, 10), kv.nextLeaseDueMs]).toEqual([[], 159]);
    expect(kv.dueLeases(159, 10)).toEqual([{ lease: 1, generation: 2 }]);
    expect(kv.lease(1)).toEqual({ lease: 1, ttlMs: 30, remainingMs: 0, generation: 2, own: false });
    expect(await performAt(kv, 500, expire(1, 2))).toMatchObject({ kind: 'leaseRevoked', deleted: 1 });
    expect([kv.nextLeaseDueMs, kv.lease(1), kv.get(bytes('a'))]).toEqual([undefined, undefined, undefined]);
  });

  it('runs on in log time over restarts and snapshots', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    await performAt(kv, 100, grant(30));
    await performAt(kv, 110, keepAlive(1, 50));
    await performAt(kv, 115, grant(10));
    await performAt(kv, 120, { kind: 'tick' });
    await kv.flush();
    const expected = [
      { lease: 1, ttlMs: 50, remainingMs: 40, generation: 2, own: false },
      { lease: 2, ttlMs: 10, remainingMs: 5, generation: 1, own: false },
    ];
    const other = await follower(new MemoryDisk(), kv);
    const goesOn = async (each: KvStateMachine) => {
      expect(each.leases(0, 10)).toEqual(expected);
      expect(each.leases(1, 10)).toEqual(expected.slice(1));
      expect(each.nextLeaseDueMs).toBe(125);
      expect(await performAt(each, 126, expire(2))).toMatchObject({ kind: 'leaseRevoked' });
      // Ids are never given twice.
      expect(await performAt(each, 126, grant(1))).toMatchObject({ lease: 3 });
      return each.digest;
    };
    const digest = await goesOn(kv);
    expect(await goesOn(other)).toBe(digest);
    expect(await goesOn(await reopen(disk, kv))).toBe(digest);
  });

  it('is part of the digest, also where no key changes', async () => {
    const digests = new Set<string>();
    const variants: [number, Command][][] = [
      [[1, grant(5)]],
      [[2, grant(5)]],
      [[1, grant(6)]],
      [
        [1, grant(5)],
        [1, keepAlive(1)],
      ],
      [
        [1, grant(5)],
        [1, revoke(1)],
      ],
      [
        [1, grant(5)],
        [1, put('a', '')],
      ],
      [
        [1, grant(5)],
        [1, attach('a', 1)],
      ],
    ];
    for (const variant of variants) {
      const kv = await open(new MemoryDisk());
      for (const [time, command] of variant) await performAt(kv, time, command);
      digests.add(kv.digest);
    }
    expect(digests.size).toBe(variants.length);
  });

  it("of a key's own goes with what the key was", async () => {
    const kv = await open(new MemoryDisk());
    expect(await perform(kv, withTtl('a', 5))).toEqual({ kind: 'put', revision: 1, created: true, lease: 1 });
    expect(kv.lease(1)).toMatchObject({ own: true, ttlMs: 5 });
    expect(await perform(kv, withTtl('a', 6))).toMatchObject({ created: false, lease: 2 });
    expect([kv.lease(1), kv.leaseCount]).toEqual([undefined, 1]);
    await perform(kv, put('a', ''));
    expect(kv.leaseCount).toBe(0);
    for (const end of [
      deletion('a'),
      deletePrefix('a'),
      all(set('a')),
      all({ kind: 'delete', key: bytes('a') }),
    ]) {
      await perform(kv, withTtl('a', 5), end);
      expect(kv.leaseCount).toBe(0);
    }
    await perform(kv, grant(9), withTtl('a', 5));
    await perform(kv, attach('a', kv.leases(0, 10)[0]?.lease ?? 0));
    expect(kv.leases(0, 10)).toMatchObject([{ ttlMs: 9, own: false }]);
    const last = await perform(kv, withTtl('b', 5));
    const own = last?.kind === 'put' ? (last.lease ?? 0) : 0;
    expect(await perform(kv, revoke(own))).toMatchObject({ deleted: 1, remaining: false });
    expect(kv.leaseCount).toBe(1);
  });

  it("of a key's own becomes one like any other when a put names it, even in the branch that ends its key", async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, withTtl('a', 5), attach('b', 1), deletion('a'));
    expect(kv.lease(1)).toMatchObject({ own: false });
    expect((await kv.leaseKeys(1, 10)).map(text)).toEqual(['b']);
    await perform(kv, withTtl('a', 5), all(set('a'), set('c', 2)));
    expect(kv.lease(2)).toMatchObject({ own: false });
    expect((await kv.leaseKeys(2, 10)).map(text)).toEqual(['c']);
    await perform(kv, withTtl('a', 5), attach('a', 3));
    expect(kv.lease(3)).toMatchObject({ own: false });
    // What the branch took back named nothing.
    await perform(kv, withTtl('a', 5), all(set('a', 4), set('a')));
    expect(kv.lease(4)).toBeUndefined();
  });

  it('with more keys than one command may delete ends in parts, and nothing can renew it meanwhile', async () => {
    const disk = new MemoryDisk();
    let kv = await open(disk);
    await performAt(kv, 1, grant(10));
    for (let key = 0; key < DELETED_KEYS_MAX + 1; key += 1)
      await perform(kv, attach(`k/${100_000 + key}`, 1));
    const { revision } = kv;
    expect(await performAt(kv, 11, expire(1))).toEqual({
      kind: 'leaseRevoked',
      revision: revision + 1,
      lease: 1,
      deleted: DELETED_KEYS_MAX,
      remaining: true,
    });
    await kv.flush();
    kv = await reopen(disk, kv);
    expect((await kv.leaseKeys(1, 10)).map(text)).toEqual([`k/${100_000 + DELETED_KEYS_MAX}`]);
    expect([kv.lease(1), kv.leases(0, 10), kv.leaseCount]).toEqual([undefined, [], 1]);
    expect([kv.nextLeaseDueMs, kv.dueLeases(11, 1)]).toEqual([11, [{ lease: 1, generation: 1 }]]);
    expect(await perform(kv, keepAlive(1))).toMatchObject({ kind: 'leaseNotFound' });
    expect(await perform(kv, attach('new', 1))).toMatchObject({ kind: 'leaseNotFound' });
    expect(await perform(kv, all(set('new', 1)))).toMatchObject({ kind: 'leaseNotFound' });
    expect(await perform(kv, revoke(1))).toMatchObject({ deleted: 1, remaining: false });
    expect([kv.leaseCount, kv.nextLeaseDueMs]).toEqual([0, undefined]);
  });

  it('ends in parts, too, when its keys are long together', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, grant(10));
    const name = 'k'.repeat(4_000);
    const count = Math.floor(DELETED_KEY_BYTES_MAX / 4_004);
    for (let key = 0; key <= count; key += 1) await perform(kv, attach(`${name}${1_000 + key}`, 1));
    expect(await performAt(kv, 5, revoke(1))).toMatchObject({ deleted: count, remaining: true });
    // Whoever revokes it goes on, and counts what it deletes; should it be gone, the leader finishes.
    expect([kv.dueLeases(5_004, 1), kv.nextLeaseDueMs]).toEqual([[], 5_005]);
    expect(await performAt(kv, 5_004, expire(1))).toMatchObject({ kind: 'leaseKept' });
    expect(await performAt(kv, 5_005, expire(1))).toMatchObject({ deleted: 1, remaining: false });
  });

  it('is waited for only where it ends', async () => {
    const kv = await open(new MemoryDisk());
    await performAt(kv, 1, grant(10));
    expect(kv.prepare(commandEntry(2, keepAlive(1), 5))).toBeUndefined();
    expect(kv.prepare(commandEntry(2, expire(1), 10))).toBeUndefined();
    expect(kv.prepare(commandEntry(2, expire(2), 11))).toBeUndefined();
    await expect(kv.prepare(commandEntry(2, expire(1), 11))).resolves.toBeUndefined();
  });

  it('is refused when there are too many', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, withTtl('own', 5));
    for (let count = 1; count < LEASES_MAX; count += 1) kv.apply(commandEntry(kv.appliedIndex + 1, grant(5)));
    const { digest } = kv;
    expect(await perform(kv, grant(5))).toEqual({ kind: 'tooManyLeases', revision: 1 });
    expect(await perform(kv, withTtl('other', 5))).toEqual({ kind: 'tooManyLeases', revision: 1 });
    expect([kv.digest, kv.leaseCount]).toEqual([digest, LEASES_MAX]);
    // It takes the place of the one that the key had.
    expect(await perform(kv, withTtl('own', 5))).toMatchObject({ kind: 'put', lease: LEASES_MAX + 1 });
    expect(kv.leaseCount).toBe(LEASES_MAX);
  });

  it('row 29: is missed when its record is lost', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    await perform(kv, grant(5), grant(5));
    await kv.close();
    disk.crash();
    const lost = Buffer.from([0x6c, 0, 0, 0, 0, 0, 1]);
    disk.tamper('state-1', [{ kind: 'delete', key: lost }]);
    await expect(open(disk)).rejects.toMatchObject({ code: 'storage_damaged' });
  });
});
