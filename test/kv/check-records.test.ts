import { describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import {
  currentKey,
  keyOfVersion,
  TAG_VERSION,
  tombstoneKey,
  versionKey,
} from '../../src/kv/record-codec.js';
import { checkedScan } from '../../src/kv/snapshot-check.js';
import { openKv } from '../../src/kv/state-machine.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import type { OrderedStore, Pair } from '../../src/storage/ordered-store.js';
import { deletion, findingsIn, open, perform, performAt } from './kit.js';
import { bytes, put } from './model.js';

/** The state's store of a node that did all kinds of things, as it is on disk. */
async function stateStore(): Promise<OrderedStore> {
  const disk = new MemoryDisk();
  const kv = await open(disk);
  await performAt(kv, undefined, { kind: 'raiseVersion', version: 2 });
  await perform(kv, put('a', '1'), put('a\x00b', '2'), put('a', '3'), put('gone', '4'), deletion('gone'));
  await performAt(kv, 1, { kind: 'leaseGrant', ttlMs: 1000 });
  await perform(kv, { ...put('leased', '5'), lease: 1 } as ReturnType<typeof put>);
  await perform(kv, {
    ...put('once', '6'),
    idempotency: { key: 'k', fingerprint: new Uint8Array(16) },
  } as ReturnType<typeof put>);
  await kv.flush();
  disk.crash();
  return disk.directory().open('state-1');
}

async function pairsOf(store: OrderedStore): Promise<readonly Pair[]> {
  const scan = store.scan({});
  const pairs: Pair[] = [];
  for (let step = await scan.next(100); step.length > 0; step = await scan.next(100)) pairs.push(...step);
  await scan.close();
  return pairs;
}

describe("the check of a state's records (rule 29)", () => {
  it('finds nothing in a state that is whole, and in one that was never written', async () => {
    expect(await findingsIn(await stateStore())).toEqual([]);
    expect(await findingsIn(await new MemoryDisk().directory().open('state-1'))).toEqual([]);
  });

  it('finds one flipped bit of each value', async () => {
    const pairs = await pairsOf(await stateStore());
    for (const { key, value } of pairs) {
      if (value.length === 0) continue;
      const store = await stateStore();
      const flipped = Buffer.from(value);
      const at = Math.floor(value.length / 2);
      flipped[at] = (flipped[at] ?? 0) ^ 0x08;
      await store.write([{ kind: 'put', key, value: flipped }]);
      if (key[0] === 0x6d) await expect(findingsIn(store)).rejects.toMatchObject({ code: 'storage_damaged' });
      else
        expect([Buffer.from(key).toString('latin1'), (await findingsIn(store)).length > 0]).toEqual([
          Buffer.from(key).toString('latin1'),
          true,
        ]);
    }
  });

  it('finds a record of a key that is an older one, which its checksum does not tell', async () => {
    const store = await stateStore();
    const disk = new MemoryDisk();
    const kv = await open(disk);
    await performAt(kv, undefined, { kind: 'raiseVersion', version: 2 });
    await perform(kv, put('a', '1'));
    await kv.flush();
    disk.crash();
    const older = present(
      (await disk.directory().open('state-1')).get(currentKey(bytes('a'))),
      'It was put.',
    );
    await store.write([{ kind: 'put', key: currentKey(bytes('a')), value: older }]);
    expect(await findingsIn(store)).toEqual([
      expect.stringMatching(/^the key "a" has a value of revision 3, .* revision 1 is/),
      expect.stringMatching(/^The records of the keys do not match the sums .* in bucket \d+ of 256\.$/),
    ]);
  });

  it('finds what is missing, and what is there under another key', async () => {
    const change = async (
      ...operations: Parameters<OrderedStore['write']>[0] extends Iterable<infer Op> ? Op[] : never
    ) => {
      const store = await stateStore();
      await store.write(operations);
      return findingsIn(store);
    };
    expect(await change({ kind: 'delete', key: versionKey(bytes('a'), 3) })).toEqual([
      'The value of the key "a" at revision 3 is missing.',
    ]);
    expect(await change({ kind: 'delete', key: currentKey(bytes('a')) })).toEqual([
      expect.stringMatching(/no record says that it exists/),
      expect.stringMatching(/There are \d+ keys, and the state says that there are/),
    ]);
    expect(await change({ kind: 'delete', key: tombstoneKey(bytes('gone')) })).toEqual([
      expect.stringMatching(/^the key "gone" has a value of revision \d/),
    ]);
    const store = await stateStore();
    const [one, other] = ['a', 'leased'].map((key) =>
      present(store.get(currentKey(bytes(key))), 'It was put.'),
    );
    const swapped = await change(
      { kind: 'put', key: currentKey(bytes('a')), value: other ?? bytes('') },
      { kind: 'put', key: currentKey(bytes('leased')), value: one ?? bytes('') },
    );
    expect(swapped.length).toBeGreaterThan(1);
    expect(await change({ kind: 'put', key: bytes('zebra'), value: bytes('') })).toEqual([
      'The record "zebra" is no record of a state.',
    ]);
  });

  it('finds one flipped bit of each value that is sent in a snapshot, before it leaves', async () => {
    for (const { key, value } of await pairsOf(await stateStore())) {
      if (value.length === 0) continue;
      const store = await stateStore();
      const flipped = Buffer.from(value);
      const at = Math.floor(value.length / 2);
      flipped[at] = (flipped[at] ?? 0) ^ 0x08;
      await store.write([{ kind: 'put', key, value: flipped }]);
      const name = Buffer.from(key).toString('latin1');
      const sent: string[] = [];
      const send = async () => {
        const scan = checkedScan(store.snapshot());
        for (let step = await scan.next(1); step.length > 0; step = await scan.next(1))
          sent.push(...step.map((pair) => Buffer.from(pair.key).toString('latin1')));
      };
      await expect(send(), name).rejects.toMatchObject({ code: 'storage_damaged' });
      expect(sent).not.toContain(name);
    }
  });

  it('is made of what is sent in a snapshot, whose end never leaves', async () => {
    const directory = new MemoryDisk().directory();
    const store = await directory.open('state-1');
    const kv = await openKv({ ...directory, open: async () => store }, 'state-1');
    await performAt(kv, undefined, { kind: 'raiseVersion', version: 2 });
    await perform(kv, put('a', '1'), put('b', '2'));
    await kv.flush();
    const older = present(store.get(currentKey(bytes('a'))), 'It was put.');
    await perform(kv, put('a', '3'));
    const chunksOf = async () => {
      const snapshot = await kv.takeSnapshot();
      const chunks: Uint8Array[] = [];
      try {
        for await (const chunk of snapshot.chunks()) chunks.push(chunk);
      } finally {
        await snapshot.close();
      }
      return chunks;
    };
    expect((await chunksOf()).length).toBeGreaterThan(1);
    await store.write([{ kind: 'put', key: currentKey(bytes('a')), value: older }]);
    await expect(chunksOf()).rejects.toMatchObject({
      code: 'storage_damaged',
      message: expect.stringMatching(
        /^The records of the keys do not match the sums that the state keeps of them, in bucket \d+ of 256\./,
      ),
    });
  });

  it('takes a view that is closed while it is sent for no damage', async () => {
    const directory = new MemoryDisk().directory();
    const store = await directory.open('state-1');
    const closed = new Error('The view is closed.');
    const closing: OrderedStore = {
      ...store,
      get: (key) => store.get(key),
      scan: (range) => store.scan(range),
      write: (operations) => store.write(operations),
      snapshot: () => {
        const view = store.snapshot();
        return {
          get: (key) => view.get(key),
          scan: () => ({ next: () => Promise.reject(closed), close: async () => {} }),
          close: () => view.close(),
        };
      },
    };
    const kv = await openKv({ ...directory, open: async () => closing }, 'state-1');
    await perform(kv, put('a', '1'), put('b', '2'));
    const snapshot = await kv.takeSnapshot();
    await expect(snapshot.chunks()[Symbol.asyncIterator]().next()).rejects.toBe(closed);
    await snapshot.close();
  });

  it('reads the keys of versions as they were written', () => {
    for (const key of ['a', 'a\x00', '\x00\x00', 'a\x00\xff', 'a\x00\x01b', '\xff']) {
      const record = versionKey(bytes(key), 2 ** 40 + 5);
      expect(record[0]).toBe(TAG_VERSION);
      expect(keyOfVersion(record)).toEqual({ key: Buffer.from(bytes(key)), revision: 2 ** 40 + 5 });
    }
  });
});
