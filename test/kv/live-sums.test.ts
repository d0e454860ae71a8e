import { describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { LIVE_BUCKETS, LiveTotals } from '../../src/kv/live-sums.js';
import { decodeMeta, encodeMeta, metaKey } from '../../src/kv/meta-codec.js';
import { currentKey, type KeyState, versionKey } from '../../src/kv/record-codec.js';
import { encodeSnapshot } from '../../src/kv/snapshot-stream.js';
import type { KvStateMachine } from '../../src/kv/state-machine.js';
import type { Command } from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import type { Operation, OrderedStore } from '../../src/storage/ordered-store.js';
import { deletion, findingsIn, open, perform } from './kit.js';
import { bytes, put } from './model.js';

const raise: Command = { kind: 'raiseVersion', version: 2 };
const state: KeyState = {
  createRevision: 5,
  modRevision: 9,
  version: 3,
  deleted: false,
  contentType: 'text/plain',
  lease: 4,
};

function totalsOf(...keys: readonly (readonly [string, KeyState])[]): LiveTotals {
  const totals = new LiveTotals();
  for (const [key, of] of keys) totals.addKey(bytes(key), of);
  return totals;
}

/** Reads everything in pieces of so many records, at once. */
const check = (kv: KvStateMachine, pieceRecords?: number) => kv.checkLive(async () => {}, pieceRecords);

describe('the sums of the live records', () => {
  it.each([
    ['createRevision', 6],
    ['modRevision', 10],
    ['modRevision', 9 + 2 ** 32],
    ['version', 4],
    ['lease', 0],
    ['contentType', 'text/plaim'],
    ['deleted', true],
  ])('differ where a record has another %s (%s)', (field, value) => {
    const [one, other] = [totalsOf(['a', state]), totalsOf(['a', { ...state, [field]: value }])];
    expect(one.differing(other)).toHaveLength(1);
  });

  it('differ where two keys have the records of each other', () => {
    const other = { ...state, modRevision: 12 };
    const apart = totalsOf(['a', state], ['b', other]).differing(totalsOf(['a', other], ['b', state]));
    expect(apart.length).toBeGreaterThan(0);
  });

  it('spread over the buckets although all keys have a prefix in common', () => {
    const buckets = new Set<number>();
    for (let number = 0; number < 20 * LIVE_BUCKETS; number += 1)
      for (const bucket of totalsOf([`app/users/${number}`, state]).differing(new LiveTotals()))
        buckets.add(bucket);
    expect(buckets.size).toBe(LIVE_BUCKETS);
  });
});

/** A state of three keys and a deleted one. */
async function whole(...commands: Command[]): Promise<{ disk: MemoryDisk; kv: KvStateMachine }> {
  const disk = new MemoryDisk();
  const kv = await open(disk);
  await perform(kv, raise, put('a', '1'), put('b', '1'), put('c', '1'), put('a', '2'), put('d', '1'));
  await perform(kv, deletion('d'), ...commands);
  await kv.flush();
  return { disk, kv };
}

const current = (key: string) => currentKey(bytes(key));

/** The store of a state after its node has crashed. */
function storeOf(disk: MemoryDisk): Promise<OrderedStore> {
  disk.crash();
  return disk.directory().open('state-1');
}

const metaOf = (store: OrderedStore) => decodeMeta(present(store.get(metaKey), 'It was flushed.'));

interface Damage {
  readonly operations: (store: OrderedStore, before: OrderedStore) => Operation[];
  /** What the walk says of it. */
  readonly says: RegExp;
}

const damages: Record<string, Damage> = {
  'a stale record': {
    operations: (_, before) => [
      { kind: 'put', key: current('a'), value: present(before.get(current('a')), 'It was put.') },
    ],
    says: /the key "a" has a value of revision 4, and its record says that revision 1 is the newest/,
  },
  'a stale record with the values after it lost': {
    operations: (_, before) => [
      { kind: 'put', key: current('a'), value: present(before.get(current('a')), 'It was put.') },
      { kind: 'delete', key: versionKey(bytes('a'), 4) },
    ],
    says: /do not match the sums that the state keeps of them, in bucket \d+ of 256\./,
  },
  'a lost record': {
    operations: () => [{ kind: 'delete', key: current('b') }],
    says: /the key "b" has a value of revision 2, and no record says that it exists/,
  },
  'a lost key, with all its values': {
    operations: () => [
      { kind: 'delete', key: current('b') },
      { kind: 'delete', key: versionKey(bytes('b'), 2) },
    ],
    says: /in bucket \d+ of 256\. There are 2 keys, and the state says that there are 3\./,
  },
  'two records in the place of each other': {
    operations: (store) => [
      { kind: 'put', key: current('b'), value: present(store.get(current('c')), 'It was put.') },
      { kind: 'put', key: current('c'), value: present(store.get(current('b')), 'It was put.') },
    ],
    says: /the key "b"/,
  },
  'a record that is there twice': {
    operations: (store) => [
      { kind: 'put', key: current('copy'), value: present(store.get(current('b')), 'It was put.') },
    ],
    says: /The value of the key "copy" at revision 2 is missing/,
  },
  'a key that was deleted, and is there again': {
    operations: (_, before) => [
      { kind: 'put', key: current('d'), value: present(before.get(current('d')), 'It was put.') },
    ],
    says: /the key "d" has a value of revision 6, and its record says that revision 5/,
  },
  'a lost value': {
    operations: () => [{ kind: 'delete', key: versionKey(bytes('b'), 2) }],
    says: /The value of the key "b" at revision 2 is missing/,
  },
};

describe.each(Object.entries(damages))('%s', (_name, { operations, says }) => {
  /** A disk with the damage. */
  async function damaged(): Promise<MemoryDisk> {
    const before = new MemoryDisk();
    const older = await open(before);
    await perform(older, raise, put('a', '1'), put('b', '1'), put('c', '1'), put('x', '1'), put('d', '1'));
    await older.flush();
    const { disk } = await whole();
    const store = await storeOf(disk);
    await store.write(operations(store, await storeOf(before)));
    disk.crash();
    return disk;
  }

  it('is found by the check of a running node', async () => {
    const disk = await damaged();
    await expect(check(await open(disk))).rejects.toMatchObject({
      code: 'storage_damaged',
      message: expect.stringMatching(says),
    });
    await expect(check(await open(await damaged()), 1)).rejects.toMatchObject({ code: 'storage_damaged' });
  });

  it('is found while a snapshot is made, before its last chunk leaves', async () => {
    const snapshot = await (await open(await damaged())).takeSnapshot();
    const chunks: Uint8Array[] = [];
    const taken = (async () => {
      for await (const chunk of snapshot.chunks()) chunks.push(chunk);
    })();
    await expect(taken).rejects.toMatchObject({ code: 'storage_damaged' });
    expect(chunks).toEqual([]);
    await snapshot.close();
  });

  it('is found by whoever receives it in a snapshot, and nothing is left of it', async () => {
    const store = await storeOf(await damaged());
    const { appliedIndex, appliedTerm, configuration } = metaOf(store);
    const metadata = { index: appliedIndex, term: appliedTerm, configuration };
    const disk = new MemoryDisk();
    const follower = await open(disk);
    await perform(follower, put('own', '1'));
    await follower.flush();
    const chunks = encodeSnapshot(metadata, () => store.scan({}), 64);
    await expect(follower.stageSnapshot(metadata, chunks)).rejects.toMatchObject({
      code: 'storage_damaged',
      message: expect.stringMatching(/The snapshot that arrived is not whole: its records are damaged/),
    });
    expect(await disk.directory().list()).toEqual(['state-1']);
  });

  it('is found in the files of a stopped node', async () => {
    expect(await findingsIn(await storeOf(await damaged()))).not.toEqual([]);
  });
});

describe('members that compare their live records', () => {
  it('name the buckets that differ, at the newest entry after which both know them', async () => {
    const [one, other, changed] = [await open(new MemoryDisk()), await open(new MemoryDisk()), put('a', '2')];
    for (const kv of [one, other]) await perform(kv, put('a', '1'), put('b', '1'));
    expect(one.compareLiveSums(other.liveSums())).toBe('After entry 2 the live records have the same sums.');
    await perform(one, changed);
    await perform(other, deletion('b'));
    expect(one.compareLiveSums(other.liveSums())).toMatch(
      /^After entry 3 the live records differ in buckets \d+, \d+ of 256\.$/,
    );
    await perform(one, changed);
    expect(one.compareLiveSums(other.liveSums())).toBe('');
    for (const [kv, entries] of [
      [one, 1021],
      [other, 1025],
    ] as const)
      await perform(kv, ...Array.from({ length: entries }, (): Command => ({ kind: 'tick' })));
    expect(one.compareLiveSums(other.liveSums())).toMatch(
      /^After entry 1024 the live records differ in buckets/,
    );
    expect(one.compareLiveSums([])).toBe('');
  });

  it('forget what they remember of a state that a snapshot replaced', async () => {
    const [one, other] = [await open(new MemoryDisk()), await open(new MemoryDisk())];
    await perform(one, put('a', '1'), ...Array.from({ length: 1030 }, (): Command => ({ kind: 'tick' })));
    await perform(other, ...Array.from({ length: 1025 }, (): Command => ({ kind: 'tick' })));
    const snapshot = await one.takeSnapshot();
    other.activate(await other.stageSnapshot(snapshot.metadata, snapshot.chunks()));
    await snapshot.close();
    expect(other.liveSums().map(({ index }) => index)).toEqual([1031]);
    expect(other.compareLiveSums(one.liveSums())).toBe(
      'After entry 1031 the live records have the same sums.',
    );
  });
});

describe('the check of the live records', () => {
  it('finds nothing in a state that is whole, with any size of its pieces', async () => {
    const { kv } = await whole();
    for (const pieceRecords of [1, 2, 3, 1000]) await check(kv, pieceRecords);
  });

  it('follows what is changed before and behind it, whatever is flushed meanwhile', async () => {
    const { kv } = await whole();
    let round = 0;
    let flushes: Promise<void> = Promise.resolve();
    await kv.checkLive(async () => {
      round += 1;
      await perform(kv, put('a', `${round}`), put(`c${round % 3}`, '1'), deletion(`c${(round + 1) % 3}`));
      if (round % 3 === 0) await kv.flush();
      // In flight while the next piece is read.
      else flushes = kv.flush();
      if (round < 8) await perform(kv, put(`b${round}`, '1'));
    }, 1);
    await flushes;
    expect(round).toBeGreaterThan(3);
    await kv.flush();
    await check(kv, 1);
  });

  it.each([1, 1000])('follows what is flushed while it reads, in pieces of %i', async (pieceRecords) => {
    let reading: (() => Promise<void>) | undefined;
    const disk = new MemoryDisk(undefined, {
      stepBytes: Number.POSITIVE_INFINITY,
      wait: () => {
        const task = reading;
        reading = undefined;
        return task?.();
      },
    });
    const kv = await open(disk);
    await perform(kv, raise, put('a', '1'), put('b', '1'), put('c', '1'));
    await kv.flush();
    let flushes = 0;
    const change = async () => {
      flushes += 1;
      await perform(kv, put('0', `${flushes}`), put('b', `${flushes}`), put('d', '1'), deletion('a'));
      await kv.flush();
    };
    reading = change;
    await kv.checkLive(async () => {
      if (flushes < 3) reading = change;
    }, pieceRecords);
    expect(flushes).toBe(pieceRecords === 1 ? 3 : 1);
    await check(kv);
  });

  it('finds a sum that a change left out', async () => {
    const { disk, kv } = await whole();
    await kv.close();
    const store = await storeOf(disk);
    const meta = metaOf(store);
    const sums = Uint32Array.from(present(meta.live, 'It is known.').sums);
    sums[7] = (sums[7] ?? 0) + 1;
    const live = new LiveTotals(meta.live?.keys, sums);
    await store.write([{ kind: 'put', key: metaKey, value: encodeMeta({ ...meta, live }) }]);
    expect(await findingsIn(store)).toEqual([expect.stringContaining('in bucket 7 of 256.')]);
    disk.crash();
    await expect(check(await open(disk))).rejects.toThrow('in bucket 7 of 256.');
  });

  it('goes with the keys of a lease', async () => {
    const leased = { ...put('e', '1'), lease: 1 } as Command;
    const { kv } = await whole({ kind: 'leaseGrant', ttlMs: 1000 }, leased);
    await check(kv);
    await perform(kv, { kind: 'leaseRevoke', lease: 1 });
    await kv.flush();
    await check(kv);
  });

  it('ends with the state', async () => {
    const { kv } = await whole();
    let pieces = 0;
    await kv.checkLive(async () => {
      pieces += 1;
      await kv.close();
    }, 1);
    expect(pieces).toBe(1);
  });
});
