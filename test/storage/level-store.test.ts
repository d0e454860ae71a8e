import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diskBytesOf } from '../../src/storage/disk-bytes.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import type { OrderedStore } from '../../src/storage/ordered-store.js';
import { testOrderedStore } from './conformance.js';
import { withTemporaryDirectory } from './temporary.js';

testOrderedStore('LevelDB', async () => {
  const path = await mkdtemp(join(tmpdir(), 'raftkv-test-'));
  return {
    directory: await LevelDirectory.at(join(path, 'data')),
    dispose: () => rm(path, { recursive: true, force: true }),
  };
});

describe('a data directory', () => {
  it('is not touched before the first store is opened', async () => {
    await withTemporaryDirectory(async (path) => {
      const directory = await LevelDirectory.at(join(path, 'data'));
      expect(await directory.list()).toEqual([]);
      expect(await readdir(path)).toEqual([]);
    });
  });

  it('is refused, and left as it is, when it holds files that are not ours', async () => {
    await withTemporaryDirectory(async (path) => {
      await writeFile(join(path, 'thesis.txt'), 'important');
      await expect(LevelDirectory.at(path)).rejects.toMatchObject({
        code: 'storage_unusable',
        message: expect.stringContaining('thesis.txt'),
      });
      expect(await readdir(path)).toEqual(['thesis.txt']);
    });
  });

  it('may be the root of a volume, which has a lost+found', async () => {
    await withTemporaryDirectory(async (path) => {
      await mkdir(join(path, 'lost+found'));
      const directory = await LevelDirectory.at(path);
      await (await directory.open('log')).close();
      expect(await directory.list()).toEqual(['log']);
      await LevelDirectory.at(path);
    });
  });

  it('is refused when a newer version made it', async () => {
    await withTemporaryDirectory(async (path) => {
      await writeFile(join(path, 'RAFTKV'), '2\n');
      await expect(LevelDirectory.at(path)).rejects.toMatchObject({
        code: 'storage_unusable',
        message: expect.stringContaining('layout 2'),
      });
    });
  });

  it('is usable when a crash cut its marker off', async () => {
    await withTemporaryDirectory(async (path) => {
      await writeFile(join(path, 'RAFTKV'), '');
      await (await (await LevelDirectory.at(path)).open('log')).close();
      expect(await readFile(join(path, 'RAFTKV'), 'utf8')).toBe('1\n');
    });
  });

  it('lists stores only, not a directory that somebody put beside them', async () => {
    await withTemporaryDirectory(async (path) => {
      const directory = await LevelDirectory.at(path);
      await (await directory.open('log')).close();
      await mkdir(join(path, 'backup'));
      await writeFile(join(path, 'backup', 'notes.txt'), '');
      expect(await directory.list()).toEqual(['log']);
    });
  });

  it('is refused when it is a file', async () => {
    await withTemporaryDirectory(async (path) => {
      await writeFile(join(path, 'file'), '');
      await expect(LevelDirectory.at(join(path, 'file'))).rejects.toMatchObject({
        code: 'storage_unusable',
        message: expect.stringContaining('not a directory'),
      });
    });
  });

  it('says so when another process, or another opening, holds a store', async () => {
    await withTemporaryDirectory(async (path) => {
      const first = await (await LevelDirectory.at(path)).open('log');
      await expect((await LevelDirectory.at(path)).open('log')).rejects.toMatchObject({
        code: 'storage_unusable',
        message: expect.stringContaining('in use by another process'),
      });
      await first.close();
    });
  });

  it('row 29: says what to do when LevelDB finds a store damaged, and repairs nothing', async () => {
    await withTemporaryDirectory(async (path) => {
      const directory = await LevelDirectory.at(path);
      await (await directory.open('log')).close();
      await writeFile(join(path, 'log', 'CURRENT'), 'nonsense');
      await expect(directory.open('log')).rejects.toMatchObject({
        code: 'storage_damaged',
        message: expect.stringContaining('--join'),
      });
      expect(await readFile(join(path, 'log', 'CURRENT'), 'utf8')).toBe('nonsense');
    });
  });

  it('row 29: refuses a store without its CURRENT file, which LevelDB would begin anew', async () => {
    await withTemporaryDirectory(async (path) => {
      const directory = await LevelDirectory.at(path);
      const store = await directory.open('log');
      await store.write([{ kind: 'put', key: Buffer.from('a'), value: Buffer.from('1') }]);
      await store.close();
      await rm(join(path, 'log', 'CURRENT'));
      const files = await readdir(join(path, 'log'));
      await expect(directory.open('log')).rejects.toMatchObject({ code: 'storage_damaged' });
      expect(await readdir(join(path, 'log'))).toEqual(files);
    });
  });
});

describe('a compaction of a range that is compacted in parts', () => {
  /** More than three parts. */
  const COUNT = 960;
  const value = Buffer.alloc(64 * 1024, 'v');
  const keyOf = (number: number) => Buffer.from(`key/${String(number).padStart(6, '0')}`);
  const range = { gte: keyOf(0), lt: keyOf(COUNT) };
  /** One record in 16 stays. */
  const stays = (number: number) => number % 16 === 0;

  async function withGarbage(directory: LevelDirectory): Promise<OrderedStore> {
    const store = await directory.open('state-1');
    const numbers = Array.from({ length: COUNT }, (_, number) => number);
    for (let at = 0; at < COUNT; at += 64) {
      const puts = numbers
        .slice(at, at + 64)
        .map((number) => ({ kind: 'put' as const, key: keyOf(number), value }));
      await store.write(puts);
    }
    const deleted = numbers.filter((number) => !stays(number));
    await store.write(deleted.map((number) => ({ kind: 'delete' as const, key: keyOf(number) })));
    return store;
  }

  function expectRest(store: OrderedStore): void {
    for (let number = 0; number < COUNT; number += 1)
      expect(store.get(keyOf(number)) !== undefined).toBe(stays(number));
  }

  it('gives the room of all of it back', async () => {
    await withTemporaryDirectory(async (path) => {
      const store = await withGarbage(await LevelDirectory.at(path));
      const before = (await diskBytesOf(path, 'state')).state;
      await store.compact(range, COUNT * value.length);
      expectRest(store);
      await store.close();
      // Files that were replaced go at the next start at the latest.
      const again = await (await LevelDirectory.at(path)).open('state-1');
      expect((await diskBytesOf(path, 'state')).state).toBeLessThan(before / 3);
      expectRest(again);
      await again.close();
    });
  });

  it('ends early when the store is closed, and loses nothing', async () => {
    await withTemporaryDirectory(async (path) => {
      const store = await withGarbage(await LevelDirectory.at(path));
      const compacted = store.compact(range, COUNT * value.length);
      await store.close();
      await compacted;
      const again = await (await LevelDirectory.at(path)).open('state-1');
      expectRest(again);
      await again.close();
    });
  });
});
