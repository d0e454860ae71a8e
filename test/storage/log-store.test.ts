import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { AssertionError } from '../../src/assert.js';
import { emptyConfiguration } from '../../src/raft/configuration.js';
import { type Entry, TERM_MAX } from '../../src/raft/types.js';
import { LogStore } from '../../src/storage/log-store.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import type { Operation } from '../../src/storage/ordered-store.js';
import { persist } from './persist.js';

const identity = { cluster: 'c', id: 'n1', incarnation: 'i' };
const entry = (index: number, term = 1): Entry => ({ index, term, kind: 0, payload: new Uint8Array(0) });
const hardState = (commit: number, term = 1) => ({ term, vote: null, commit });
const key = (text: string) => Buffer.from(text);
const logKey = (index: number) => Buffer.concat([key('log/'), Buffer.from([0, 0, 0, 0, 0, 0, 0, index])]);

/** A log with entries 1 to 6 in records of two, commit index 4. */
async function sixEntries(disk: MemoryDisk): Promise<LogStore> {
  const log = await LogStore.open(await disk.directory().open('log'));
  await log.writeBootstrap(identity, hardState(0), [entry(1), entry(2)], 'state-1');
  await log.write(persist({ entries: [entry(3), entry(4)] }));
  await log.write(persist({ hardState: hardState(4), entries: [entry(5), entry(6)] }));
  return log;
}

async function reopen(disk: MemoryDisk): Promise<LogStore> {
  disk.crash();
  return LogStore.open(await disk.directory().open('log'));
}

async function expectDamage(disk: MemoryDisk, index: number, words: string): Promise<void> {
  await expect(reopen(disk)).rejects.toMatchObject({
    code: 'storage_damaged',
    message: expect.stringMatching(
      new RegExp(
        `${words}.*remove the member.*--join.*no other member has a copy, wipe nothing.*Nothing was changed`,
      ),
    ),
    data: { index },
  });
}

describe('the log store', () => {
  it('is new where there is nothing', async () => {
    const log = await LogStore.open(await new MemoryDisk().directory().open('log'));
    expect(log.hardState).toEqual({ term: 0, vote: null, commit: 0 });
    expect(log.compacted).toEqual({ index: 0, term: 0, configuration: emptyConfiguration });
    expect(log.entries).toEqual([]);
    expect(log.stateDirectory).toBeUndefined();
    expect(log.identity).toBeUndefined();
  });

  it('row 16: knows who it is after a crash right after that was written', async () => {
    const disk = new MemoryDisk();
    const log = await LogStore.open(await disk.directory().open('log'));
    await log.writeIdentity({ ...identity, cluster: '' });
    const again = await reopen(disk);
    expect(again.identity).toEqual({ ...identity, cluster: '' });
    await again.writeBootstrap(identity, hardState(0), [entry(1)], 'state-1');
    expect(again.entries).toHaveLength(1);
    const third = await reopen(disk);
    expect([third.identity, third.stateDirectory, third.lastIndex]).toEqual([identity, 'state-1', 1]);
  });

  it('writes one record for all entries of one write, and none for a hard state alone', async () => {
    const sizes: number[] = [];
    const disk = new MemoryDisk((write) => {
      sizes.push(write.operations.length);
      write.complete();
    });
    const log = await LogStore.open(await disk.directory().open('log'));
    await log.write(
      [persist({ entries: [entry(1), entry(2)] }), persist({ entries: [entry(3)] })].map((one) => ({
        ...one,
        hardState: hardState(0),
      })),
    );
    await log.write(persist({ hardState: hardState(2) }));
    // The first write of a log also begins the count of writes.
    expect(sizes).toEqual([3, 1]);
    expect((await reopen(disk)).entries.map((one) => one.index)).toEqual([1, 2, 3]);
  });

  it('keeps terms of more than 48 bits', async () => {
    const disk = new MemoryDisk();
    const log = await sixEntries(disk);
    await log.write(persist({ hardState: hardState(6, TERM_MAX), entries: [entry(7, TERM_MAX)] }));
    await log.write(persist({ entries: [entry(8, TERM_MAX)] }));
    const again = await reopen(disk);
    expect(again.entries.map(({ term }) => term)).toEqual([1, 1, 1, 1, 1, 1, TERM_MAX, TERM_MAX]);
    expect(again.hardState.term).toBe(TERM_MAX);
  });

  it('row 22: drops a log, marks the snapshot and names its state in one write', async () => {
    for (const fate of ['lost', 'durable'] as const) {
      let hold = false;
      const disk = new MemoryDisk((write) => {
        if (!hold) write.complete();
      });
      const log = await sixEntries(disk);
      hold = true;
      const snapshot = { index: 9, term: 1, configuration: emptyConfiguration };
      void log.write(persist({ hardState: hardState(9), snapshot, entries: [entry(10)] }), 'state-2');
      disk.crash(() => fate);
      hold = false;
      const again = await reopen(disk);
      const expected = fate === 'lost' ? [0, 'state-1', 6, 4] : [9, 'state-2', 10, 9];
      expect([again.compacted.index, again.stateDirectory, again.lastIndex, again.hardState.commit]).toEqual(
        expected,
      );
    }
  });

  it('rule 29: names another state in one write, and keeps the log, the term and the vote', async () => {
    for (const fate of ['lost', 'durable'] as const) {
      let hold = false;
      const disk = new MemoryDisk((write) => {
        if (!hold) write.complete();
      });
      const log = await sixEntries(disk);
      hold = true;
      void log.replaceState('state-2', { atMs: 7, servesFrom: 5 }, null);
      disk.crash(() => fate);
      hold = false;
      const again = await reopen(disk);
      expect([again.compacted.index, again.lastIndex, again.hardState]).toEqual([0, 6, hardState(4)]);
      expect([again.entries.length, again.identity]).toEqual([6, identity]);
      expect([again.stateDirectory, again.repair]).toEqual(
        fate === 'lost' ? ['state-1', undefined] : ['state-2', { atMs: 7, servesFrom: 5 }],
      );
    }
  });

  it('rule 29: gives the log up for a state that ends after it, in the term of that at least', async () => {
    const disk = new MemoryDisk();
    const log = await sixEntries(disk);
    const snapshot = { index: 9, term: 3, configuration: emptyConfiguration };
    await log.replaceState('state-2', { atMs: 7, servesFrom: 12 }, snapshot);
    const again = await reopen(disk);
    expect([again.compacted, again.lastIndex, again.stateDirectory]).toEqual([snapshot, 9, 'state-2']);
    expect([again.hardState, again.entries]).toEqual([hardState(9, 3), []]);
    await again.write(persist({ entries: [entry(10, 3)] }));
    expect((await reopen(disk)).lastIndex).toBe(10);
  });

  it('row 23: a compaction within a record keeps the entries after it', async () => {
    const disk = new MemoryDisk();
    const log = await sixEntries(disk);
    await log.write(persist({ compact: { index: 3, term: 1, configuration: emptyConfiguration } }));
    expect((await reopen(disk)).entries.map((one) => one.index)).toEqual([4, 5, 6]);
  });

  it('row 30: writes nothing after a write that failed', async () => {
    let broken = false;
    const disk = new MemoryDisk((write) => {
      if (broken) write.fail(new Error('The disk failed.'), 'lost');
      else write.complete();
    });
    const log = await sixEntries(disk);
    broken = true;
    await expect(log.write(persist({ entries: [entry(7)] }))).rejects.toThrow('The disk failed.');
    broken = false;
    await expect(log.write(persist({ entries: [entry(8)] }))).rejects.toThrow(AssertionError);
  });

  it('row 31: refuses a second write while one is in flight', async () => {
    const disk = new MemoryDisk(() => {});
    const log = await LogStore.open(await disk.directory().open('log'));
    void log.write(persist({ hardState: hardState(0), entries: [entry(1)] }));
    await expect(log.write(persist({ entries: [entry(2)] }))).rejects.toThrow(AssertionError);
  });

  it.each([
    ['a gap', persist({ entries: [entry(8)] })],
    ['row 10: a truncation at the commit index', persist({ truncateFrom: 4 })],
    ['a term that goes back', persist({ hardState: hardState(4, 0) })],
    ['entries above the current term', persist({ entries: [entry(7, 2)] })],
    ['a commit index beyond the log', persist({ hardState: hardState(7) })],
    [
      'a snapshot without its state directory',
      persist({ snapshot: { index: 9, term: 1, configuration: emptyConfiguration } }),
    ],
  ])('stops at %s, which is a mistake of the program', async (_, batch) => {
    await expect((await sixEntries(new MemoryDisk())).write(batch)).rejects.toThrow(AssertionError);
  });
});

describe('row 29: the log store refuses', () => {
  it('a record whose bytes changed', async () => {
    const disk = new MemoryDisk();
    await sixEntries(disk);
    disk.crash();
    const store = await disk.directory().open('log');
    const value = Buffer.from(store.get(logKey(3)) ?? []);
    value[20] = (value[20] ?? 0) ^ 1;
    await store.close();
    disk.tamper('log', [{ kind: 'put', key: logKey(3), value }]);
    await expectDamage(disk, 3, 'index 3 does not match its checksum');
  });

  it('a missing record, at or below the commit index', async () => {
    const disk = new MemoryDisk();
    await sixEntries(disk);
    disk.crash();
    disk.tamper('log', [{ kind: 'delete', key: logKey(3) }]);
    await expectDamage(disk, 3, 'index 5 where 3 belongs');
  });

  it('a missing last record, because the hard state of the same write names it', async () => {
    const disk = new MemoryDisk();
    await sixEntries(disk);
    disk.crash();
    disk.tamper('log', [{ kind: 'delete', key: logKey(5) }]);
    await expectDamage(disk, 5, 'ends at index 4');
  });

  it('a record under another key', async () => {
    const disk = new MemoryDisk();
    await sixEntries(disk);
    disk.crash();
    const store = await disk.directory().open('log');
    const value = store.get(logKey(5)) ?? new Uint8Array(0);
    await store.close();
    disk.tamper('log', [
      { kind: 'delete', key: logKey(5) },
      { kind: 'delete', key: logKey(3) },
      { kind: 'put', key: logKey(3), value },
    ]);
    await expectDamage(disk, 3, 'Entry 5 stands where 3 belongs');
  });

  it.each([
    [
      'a truncation',
      persist({ hardState: hardState(4, 2), truncateFrom: 5, entries: [entry(5, 2), entry(6, 2)] }),
    ],
    ['a compaction', persist({ compact: { index: 4, term: 1, configuration: emptyConfiguration } })],
  ])('%s that was lost between two writes, though every index is there', async (_, lost) => {
    let operations: readonly Operation[] = [];
    const disk = new MemoryDisk((write) => {
      operations = write.operations;
      write.complete();
    });
    const log = await sixEntries(disk);
    await log.write(lost);
    await log.write(persist({ entries: [entry(7, log.hardState.term)] }));
    // The same log, but for the write that LevelDB dropped in silence.
    const forgetful = new MemoryDisk();
    await sixEntries(forgetful);
    forgetful.crash();
    forgetful.tamper('log', operations);
    await expect(reopen(forgetful)).rejects.toMatchObject({ code: 'storage_damaged' });
  });

  it('a log without its hard state or its identity', async () => {
    for (const [name, words] of [
      ['meta/state', 'has no hard state'],
      ['meta/identity', 'identity is missing'],
    ] as const) {
      const disk = new MemoryDisk();
      await sixEntries(disk);
      disk.crash();
      disk.tamper('log', [{ kind: 'delete', key: key(name) }]);
      await expectDamage(disk, 0, words);
    }
  });

  it('a log that a newer version wrote, without calling it damaged', async () => {
    const disk = new MemoryDisk();
    await sixEntries(disk);
    disk.crash();
    const rest = Buffer.from('whatever comes');
    const value = Buffer.concat([Buffer.from([2, 0, 0, 0, 0]), rest]);
    value.writeUInt32BE(crc32(rest, 2), 1);
    disk.tamper('log', [{ kind: 'put', key: key('meta/state'), value }]);
    await expect(reopen(disk)).rejects.toMatchObject({
      code: 'storage_unusable',
      message: expect.stringContaining('has format 2; this version of raftkv reads format 1'),
    });
  });
});
