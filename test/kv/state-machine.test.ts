import { describe, expect, it, vi } from 'vitest';
import { type KvStateMachine, openKv } from '../../src/kv/state-machine.js';
import { type Command, DELETED_KEY_BYTES_MAX, DELETED_KEYS_MAX } from '../../src/kv/types.js';
import { configurationOfVoters, encodeConfiguration } from '../../src/raft/configuration.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { deletePrefix, deletion, open, perform, performAt, reopen } from './kit.js';
import { bytes, commandEntry, plain, put, text } from './model.js';

const listing = {
  prefix: new Uint8Array(0),
  after: undefined,
  limit: 1000,
  keysOnly: false,
  revision: undefined,
};
async function turns(count = 50): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await Promise.resolve();
}

describe('commands', () => {
  it('answer as the contract says', async () => {
    const kv = await open(new MemoryDisk());
    expect(await perform(kv, put('a', '1'))).toEqual({ kind: 'put', revision: 1, created: true });
    expect(await perform(kv, put('a', '1'))).toEqual({ kind: 'put', revision: 2, created: false });
    expect(await perform(kv, put('a', '2', { ifAbsent: true }))).toEqual({
      kind: 'preconditionFailed',
      revision: 2,
      modRevision: 2,
    });
    expect(await perform(kv, put('new', '1', { ifRevision: 1 }))).toEqual({
      kind: 'preconditionFailed',
      revision: 2,
      modRevision: 0,
    });
    expect(await perform(kv, deletion('nothing'))).toEqual({ kind: 'delete', revision: 2, deleted: 0 });
    expect(await perform(kv, { ...deletion('a'), ifRevision: 2 } as Command)).toEqual({
      kind: 'delete',
      revision: 3,
      deleted: 1,
    });
    expect(await perform(kv, put('a', '3'))).toEqual({ kind: 'put', revision: 4, created: true });
    expect(plain(kv.get(bytes('a')))).toMatchObject({ createRevision: 4, modRevision: 4, version: 1 });
  });

  it('are seen by reads that were cached before them, on disk and not', async () => {
    const kv = await open(new MemoryDisk());
    const value = () => text(kv.get(bytes('a'))?.value ?? bytes('none'));
    const seen: string[] = [];
    for (const command of [put('a', '1'), put('a', '2'), deletion('a'), put('a', '3')]) {
      await perform(kv, command);
      seen.push(value());
      await kv.flush();
      // The first read fills the cache, the second one comes from it.
      seen.push(value(), value());
    }
    const once = ['1', '2', 'none', '3'];
    expect(seen).toEqual(once.flatMap((one) => [one, one, one]));
  });

  it('delete all keys with a prefix at one revision, on disk and not', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, put('b/1', ''), put('b/2', ''), put('c', ''));
    await kv.flush();
    await perform(kv, put('b/3', ''), deletion('b/1'), put('a', ''));
    expect(await perform(kv, deletePrefix('b/'))).toEqual({ kind: 'delete', revision: 7, deleted: 2 });
    expect(await perform(kv, deletePrefix('b/'))).toEqual({ kind: 'delete', revision: 7, deleted: 0 });
    expect((await kv.list(listing)).items.map((item) => text(item.key))).toEqual(['a', 'c']);
    expect((await kv.list({ ...listing, revision: 6 })).items.map((item) => text(item.key))).toEqual([
      'a',
      'b/2',
      'b/3',
      'c',
    ]);
  });

  it('delete no key at all with a prefix of too many, equally on members whose tombstones differ', async () => {
    const digests: string[] = [];
    for (const flushed of [true, false]) {
      const kv = await openKv(new MemoryDisk().directory(), 'state-1', { historyRevisions: 2 });
      for (let key = 0; key < DELETED_KEYS_MAX; key += 1) await perform(kv, put(`a/${key}`, ''));
      await perform(kv, put('a/gone', ''), deletion('a/gone'), put('b', ''), put('b', ''), put('b', ''));
      if (flushed) await kv.flush();
      await perform(kv, put('a/last', ''));
      const { revision } = kv;
      expect(await perform(kv, deletePrefix('a/'))).toEqual({ kind: 'tooManyKeys', revision });
      expect(plain(kv.get(bytes('a/0')))).toMatchObject({ createRevision: 1 });
      await perform(kv, deletion('a/last'));
      expect(await perform(kv, deletePrefix('a/'))).toEqual({
        kind: 'delete',
        revision: revision + 2,
        deleted: DELETED_KEYS_MAX,
      });
      digests.push(kv.digest);
    }
    expect(digests[0]).toBe(digests[1]);
  });

  it('delete no key with a prefix whose keys are too long together', async () => {
    const kv = await open(new MemoryDisk());
    const name = 'k'.repeat(4_000);
    const count = Math.floor(DELETED_KEY_BYTES_MAX / 4_004);
    for (let key = 0; key <= count; key += 1) await perform(kv, put(`${name}${1_000 + key}`, ''));
    expect(await perform(kv, deletePrefix('k'))).toEqual({ kind: 'tooManyKeys', revision: count + 1 });
    await perform(kv, deletion(`${name}1000`));
    expect(await perform(kv, deletePrefix('k'))).toMatchObject({ kind: 'delete', deleted: count });
  });

  it('record the configuration, which a restart and a snapshot bring back', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    const configuration = configurationOfVoters([
      { id: 'n1', incarnation: 'i', peerAddress: 'h:1', clientUrl: '' },
    ]);
    kv.apply({ index: 1, term: 3, kind: 2, payload: encodeConfiguration(configuration) });
    const snapshot = await kv.takeSnapshot();
    expect(snapshot.metadata).toEqual({ index: 1, term: 3, configuration });
    await snapshot.close();
    await kv.close();
    expect((await open(disk)).configuration).toEqual(configuration);
  });
});

describe('log time', () => {
  it('is the highest that a command was stamped with, over restarts and in snapshots', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    const times: number[] = [];
    const stamps = [undefined, 5, 7, 6, undefined, 7, 2 ** 47];
    for (const stamp of stamps) {
      expect(await performAt(kv, stamp, { kind: 'tick' })).toEqual({ kind: 'ticked', revision: 0 });
      times.push(kv.logTimeMs);
    }
    expect(times).toEqual([0, 5, 7, 7, 7, 7, 2 ** 47]);
    const snapshot = await kv.takeSnapshot();
    const follower = await open(new MemoryDisk());
    follower.activate(await follower.stageSnapshot(snapshot.metadata, snapshot.chunks()));
    await snapshot.close();
    await kv.close();
    expect([(await open(disk)).logTimeMs, follower.logTimeMs]).toEqual([2 ** 47, 2 ** 47]);
  });
});

describe('reads', () => {
  it('refuse a revision that is not there yet or not any more', async () => {
    const kv = await open(new MemoryDisk(), 'state-1', 2);
    await perform(kv, put('a', '1'), put('a', '2'), put('a', '3'));
    expect(kv.compactedRevision).toBe(1);
    expect(plain(kv.get(bytes('a'), 1))?.value).toBe('1');
    await perform(kv, put('a', '4'));
    expect(() => kv.get(bytes('a'), 1)).toThrow(expect.objectContaining({ code: 'compacted' }));
    await expect(kv.list({ ...listing, revision: 1 })).rejects.toMatchObject({ code: 'compacted' });
    expect(() => kv.get(bytes('a'), 5)).toThrow(expect.objectContaining({ code: 'bad_request' }));
  });

  it('show a page of one revision while changes are applied and flushed', async () => {
    const kv = await open(new MemoryDisk(), 'state-1', 3);
    await perform(kv, put('a', '1'), put('b', '1'), put('c', '1'));
    await kv.flush();
    const listed = kv.list(listing);
    await perform(
      kv,
      put('b', '2'),
      deletion('c'),
      put('bb', '2'),
      put('b', '3'),
      put('b', '4'),
      put('b', '5'),
    );
    await kv.flush();
    await kv.flush();
    expect((await listed).items.map((item) => `${text(item.key)}=${text(item.value)}`)).toEqual([
      'a=1',
      'b=1',
      'c=1',
    ]);
  });

  it('find any revision of a key that changed a thousand times in few steps', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk, 'state-1', 5000);
    for (let count = 1; count <= 2000; count += 1) await perform(kv, put('hot', `${count}`));
    await kv.close();
    const directory = disk.directory();
    let reads = 0;
    const again = await openKv(
      {
        list: () => directory.list(),
        remove: (name) => directory.remove(name),
        open: async (name) => {
          const store = await directory.open(name);
          return {
            get: (key) => {
              reads += 1;
              return store.get(key);
            },
            scan: (range) => store.scan(range),
            snapshot: () => store.snapshot(),
            write: (operations) => store.write(operations),
            compact: (range, bytes) => store.compact(range, bytes),
            close: () => store.close(),
          };
        },
      },
      'state-1',
      { historyRevisions: 5000 },
    );
    for (const revision of [1, 2, 3, 777, 1023, 1024, 1025, 1500, 1999, 2000]) {
      reads = 0;
      expect(text(again.get(bytes('hot'), revision)?.value ?? bytes(''))).toBe(`${revision}`);
      expect(reads).toBeLessThan(80);
    }
  });

  it('end a page with the item that makes it large', async () => {
    const kv = await open(new MemoryDisk());
    const value = 'v'.repeat(400_000);
    await perform(kv, put('a', value), put('b', value), put('c', value), put('d', value));
    const page = await kv.list(listing);
    expect([page.items.length, page.more]).toEqual([3, true]);
    const keys = await kv.list({ ...listing, keysOnly: true });
    expect([keys.items.length, keys.more]).toEqual([4, false]);
  });
});

describe('row 22: a flush', () => {
  it('serves calls that overlap, and resolves only when what was applied before the call is on disk', async () => {
    const disk = new MemoryDisk(() => {});
    const kv = await open(disk);
    await perform(kv, put('a', '1'));
    const resolved: string[] = [];
    const first = kv.flush().then(() => resolved.push('first'));
    await turns();
    await perform(kv, put('b', '1'));
    const second = kv.flush().then(() => resolved.push('second'));
    const third = kv.flush().then(() => resolved.push('third'));
    await turns();
    expect(disk.pendingWrites).toHaveLength(1);
    expect(text(kv.get(bytes('a'))?.value ?? bytes(''))).toBe('1');
    disk.pendingWrites[0]?.complete();
    await first;
    await turns();
    expect([kv.flushedIndex, resolved]).toEqual([1, ['first']]);
    disk.pendingWrites[0]?.complete();
    await Promise.all([second, third]);
    expect([kv.flushedIndex, kv.bufferedBytes]).toEqual([2, 0]);
    await kv.flush();
    expect(disk.pendingWrites).toEqual([]);
  });

  it('row 30: fails for good once one has failed', async () => {
    let broken = true;
    const disk = new MemoryDisk((write) => {
      if (broken) write.fail(new Error('The disk failed.'), 'lost');
      else write.complete();
    });
    const kv = await open(disk);
    await perform(kv, put('a', '1'));
    await expect(kv.flush()).rejects.toThrow('The disk failed.');
    broken = false;
    await perform(kv, put('b', '1'));
    await expect(kv.flush()).rejects.toThrow('The disk failed.');
    expect(kv.flushedIndex).toBe(0);
    // Closing it fails for the same reason, and closes the store all the same.
    await expect(kv.close()).rejects.toThrow('The disk failed.');
    expect((await open(disk)).appliedIndex).toBe(0);
  });
});

describe('history compaction', () => {
  it('leaves of a store what can be read, and nothing more', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk, 'state-1', 10);
    for (let round = 0; round < 30; round += 1) {
      await perform(kv, put('a', `${round}`), put(`gone/${round}`, ''), deletion(`gone/${round}`));
      await kv.flush();
    }
    for (let round = 0; round < 15; round += 1) {
      await perform(kv, put('b', `${round}`));
      await kv.flush();
    }
    await kv.close();
    const store = await disk.directory().open('state-1');
    const keys = (await store.scan({}).next(1000)).map((pair) => text(pair.key));
    expect(keys.filter((key) => key.includes('gone'))).toEqual([]);
    expect(keys.filter((key) => key.startsWith('va'))).toHaveLength(1);
    expect(keys.filter((key) => key.startsWith('vb'))).toHaveLength(11);
  });

  it('prunes a bounded number of changes a flush, and the rest later', async () => {
    const sizes: number[] = [];
    const disk = new MemoryDisk((write) => {
      sizes.push(write.operations.length);
      write.complete();
    });
    const kv = await open(disk, 'state-1', 1);
    for (let count = 0; count < 40_000; count += 1) {
      const entry = commandEntry(count + 1, put(`key-${count % 100}-${'long'.repeat(50)}`, ''));
      kv.apply(entry);
    }
    await kv.flush();
    for (let count = 0; count < 100; count += 1) {
      await perform(kv, put('a', `${count}`));
      await kv.flush();
    }
    expect(Math.max(...sizes.slice(1))).toBeLessThan(3000);
    expect(sizes[sizes.length - 1]).toBeLessThan(10);
    await kv.close();
    await open(disk, 'state-1', 1);
  });
});

describe('history compaction by age', () => {
  const HOUR_MS = 60 * 60 * 1000;

  it('keeps what was the newest revision in the last 24 hours of log time, and drops it within two hours more', async () => {
    const disk = new MemoryDisk();
    let kv = await open(disk);
    /** When each revision stopped being the newest one; the first one is made at once. */
    const supersededMs: number[] = [];
    for (let minutes = 0; minutes < 60 * 60; minutes += 7) {
      const nowMs = minutes * 60_000;
      await performAt(kv, nowMs, put('a', `${minutes}`));
      supersededMs.push(nowMs);
      if (minutes % 5 === 0) await kv.flush();
      if (minutes % 35 === 0) kv = await reopen(disk, kv);
      const kept = supersededMs.findIndex((time) => time > nowMs - 24 * HOUR_MS);
      const dropped = supersededMs.findLastIndex((time) => time <= nowMs - 26 * HOUR_MS);
      expect(kv.compactedRevision).toBeLessThanOrEqual(kept);
      expect(kv.compactedRevision).toBeGreaterThan(dropped);
    }
    expect(kv.compactedRevision).toBeGreaterThan(250);
    const oldest = kv.compactedRevision;
    expect(text(kv.get(bytes('a'), oldest)?.value ?? bytes(''))).toBe(`${7 * (oldest - 1)}`);
    expect(() => kv.get(bytes('a'), oldest - 1)).toThrow(expect.objectContaining({ code: 'compacted' }));
  });

  it('leaves in the end what is there now, though nothing but time goes on', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    await performAt(kv, 1, put('a', '1'));
    await performAt(kv, 2, put('a', '2'));
    await performAt(kv, 3, put('b', '1'));
    await performAt(kv, 4, deletion('b'));
    await kv.flush();
    for (let hour = 1; hour <= 300; hour += 1) {
      await performAt(kv, hour * HOUR_MS, { kind: 'tick' });
      await kv.flush();
    }
    expect([kv.revision, kv.compactedRevision]).toEqual([4, 4]);
    expect(plain(kv.get(bytes('a'), 4))).toMatchObject({ value: '2', version: 2 });
    await kv.close();
    const store = await disk.directory().open('state-1');
    expect((await store.scan({}).next(100)).map(({ key }) => text(key).slice(0, 2))).toEqual([
      'ca',
      'm',
      'va',
    ]);
    disk.crash();
    expect((await open(disk)).revision).toBe(4);
  });

  it('drops nothing as long as commands carry no time', async () => {
    const kv = await open(new MemoryDisk());
    await performAt(kv, undefined, put('a', '1'));
    await performAt(kv, 100 * HOUR_MS, put('a', '2'));
    expect(kv.compactedRevision).toBe(0);
    await performAt(kv, 124 * HOUR_MS - 1, put('a', '3'));
    expect(kv.compactedRevision).toBe(0);
    await performAt(kv, 125 * HOUR_MS, put('a', '4'));
    expect(kv.compactedRevision).toBe(1);
  });
});

describe('snapshots', () => {
  async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
    const all: Uint8Array[] = [];
    for await (const chunk of chunks) all.push(chunk);
    return all;
  }

  async function* replay(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) yield chunk;
  }

  async function filled(disk: MemoryDisk): Promise<KvStateMachine> {
    const kv = await open(disk);
    for (let count = 0; count < 50; count += 1) await perform(kv, put(`key-${count}`, 'v'.repeat(20_000)));
    return kv;
  }

  it('hold nothing open when nobody read them', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, put('a', '1'));
    const snapshot = await kv.takeSnapshot();
    // What a follower that is not there leaves behind: chunks that were asked for, and none that was read.
    snapshot.chunks();
    await snapshot.close();
    let isClosed = false;
    kv.close().then(() => {
      isClosed = true;
    });
    await turns();
    expect(isClosed).toBe(true);
  });

  it('row 25: go on unchanged while changes are applied and flushed', async () => {
    const kv = await filled(new MemoryDisk());
    const snapshot = await kv.takeSnapshot();
    const { digest } = kv;
    const chunks: Uint8Array[] = [];
    for await (const chunk of snapshot.chunks()) {
      chunks.push(chunk);
      await perform(kv, put('key-7', `later ${chunks.length}`), deletion(`key-${chunks.length}`));
      await kv.flush();
    }
    await snapshot.close();
    expect(chunks.every((chunk) => chunk.length <= 256 * 1024)).toBe(true);
    const follower = await open(new MemoryDisk());
    follower.activate(await follower.stageSnapshot(snapshot.metadata, replay(chunks)));
    expect([follower.appliedIndex, follower.digest]).toEqual([50, digest]);
    expect(text(follower.get(bytes('key-7'))?.value ?? bytes(''))).toBe('v'.repeat(20_000));
  });

  it('row 24: are dropped, with what was written of them, when they are damaged, cut off or of another index', async () => {
    const kv = await filled(new MemoryDisk());
    const snapshot = await kv.takeSnapshot();
    const chunks = await collect(snapshot.chunks());
    await snapshot.close();
    const disk = new MemoryDisk();
    const follower = await open(disk);
    const damaged = (at: number) =>
      chunks.map((chunk, number) => (number === at ? Buffer.from(chunk).fill(0x55, 5000, 5010) : chunk));
    const { metadata } = snapshot;
    const broken = async function* () {
      yield* replay(chunks.slice(0, 2));
      throw new Error('The connection broke.');
    };
    const attempts = [
      follower.stageSnapshot(metadata, replay(damaged(1))),
      follower.stageSnapshot(metadata, replay(chunks.slice(0, -1))),
      follower.stageSnapshot(metadata, replay(chunks.slice(1))),
      follower.stageSnapshot(metadata, replay([...chunks, ...chunks.slice(-1)])),
      follower.stageSnapshot(metadata, replay([])),
      follower.stageSnapshot({ ...metadata, index: 49 }, replay(chunks)),
      follower.stageSnapshot({ ...metadata, term: 2 }, replay(chunks)),
      follower.stageSnapshot(metadata, broken()),
    ];
    for (const attempt of attempts) await expect(attempt).rejects.toThrow();
    expect(await disk.directory().list()).toEqual(['state-1']);
    expect(follower.appliedIndex).toBe(0);
  });

  it('row 24: two in quick succession leave the last one, and no state but the live one', async () => {
    const kv = await filled(new MemoryDisk());
    const first = await kv.takeSnapshot();
    await perform(kv, put('more', '1'));
    const second = await kv.takeSnapshot();
    const disk = new MemoryDisk();
    const follower = await open(disk);
    const stagedFirst = await follower.stageSnapshot(first.metadata, first.chunks());
    const stagedSecond = await follower.stageSnapshot(second.metadata, second.chunks());
    follower.activate(stagedSecond);
    expect(() => follower.activate(stagedFirst)).toThrow('is behind the applied index');
    await follower.discard(stagedFirst);
    await follower.discard(stagedFirst);
    expect(follower.digest).toBe(kv.digest);
    await follower.close();
    expect(await disk.directory().list()).toEqual([stagedSecond.directory]);
  });

  it('replace a state while a flush and a listing of it are under way', async () => {
    let hold = false;
    const disk = new MemoryDisk((write) => {
      if (!hold) write.complete();
    });
    const onBackgroundError = vi.fn();
    const follower = await openKv(disk.directory(), 'state-1', { onBackgroundError });
    await perform(follower, put('old', '1'), put('older', '1'));
    const source = await filled(new MemoryDisk());
    const snapshot = await source.takeSnapshot();
    const staged = await follower.stageSnapshot(snapshot.metadata, snapshot.chunks());
    hold = true;
    const flushed = follower.flush();
    const listed = follower.list(listing);
    await turns(3);
    follower.activate(staged);
    expect([follower.appliedIndex, follower.flushedIndex, follower.bufferedBytes]).toEqual([50, 50, 0]);
    hold = false;
    for (const write of disk.pendingWrites) write.complete();
    await flushed;
    expect((await listed).items.map((item) => text(item.key))).toEqual(['old', 'older']);
    await follower.close();
    expect(await disk.directory().list()).toEqual([staged.directory]);
    expect(onBackgroundError).not.toHaveBeenCalled();
  });
});

describe('row 29: a damaged state', () => {
  it('is refused when a flush between two others is missing, or the record of how far it came', async () => {
    for (const damage of ['changes', 'meta'] as const) {
      const disk = new MemoryDisk();
      const kv = await open(disk);
      for (const key of ['a', 'b', 'c']) {
        await perform(kv, put(key, ''));
        await kv.flush();
      }
      await kv.close();
      const directory = disk.directory();
      const store = await directory.open('state-1');
      const pairs = await store.scan({}).next(100);
      disk.crash();
      const lost = pairs.filter((pair) => pair.key[0] === (damage === 'changes' ? 0x78 : 0x6d))[
        damage === 'changes' ? 1 : 0
      ];
      disk.tamper('state-1', [{ kind: 'delete', key: lost?.key ?? new Uint8Array(0) }]);
      await expect(open(disk)).rejects.toMatchObject({
        code: 'storage_damaged',
        message: expect.stringMatching(/The state of this member is damaged.*Nothing was changed/),
      });
    }
  });

  it('is refused when a value changed under its checksum', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    await perform(kv, put('a', 'value'));
    await kv.close();
    const store = await disk.directory().open('state-1');
    const version = (await store.scan({ gte: bytes('v') }).next(1))[0];
    disk.crash();
    const value = Buffer.from(version?.value ?? []);
    value[value.length - 1] = 0;
    disk.tamper('state-1', [{ kind: 'put', key: version?.key ?? value, value }]);
    const again = await open(disk);
    expect(() => again.get(bytes('a'))).toThrow(expect.objectContaining({ code: 'storage_damaged' }));
  });
});
