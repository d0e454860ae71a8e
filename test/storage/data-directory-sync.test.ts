import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeEach, expect, it, vi } from 'vitest';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { withTemporaryDirectory } from './temporary.js';

/** The paths that were synced, in order. */
const synced = vi.hoisted((): string[] => []);

vi.mock('node:fs/promises', async (importOriginal) => {
  const original = await importOriginal<typeof import('node:fs/promises')>();
  return {
    ...original,
    open: async (path: string, flags: string) => {
      const file = await original.open(path, flags);
      const sync = file.sync.bind(file);
      file.sync = async () => {
        synced.push(path);
        await sync();
      };
      return file;
    },
  };
});

beforeEach(() => {
  synced.length = 0;
});

const openStore = async (path: string) => (await (await LevelDirectory.at(path)).open('log')).close();

it('a new data directory survives a power cut: every directory above it that was made is on disk as well', async () => {
  await withTemporaryDirectory(async (path) => {
    const data = join(path, 'var', 'raftkv', 'n1');
    await openStore(data);
    for (const above of [path, join(path, 'var'), join(path, 'var', 'raftkv'), data]) {
      expect(synced).toContain(above);
    }
    expect(synced).not.toContain(dirname(path));
    synced.length = 0;
    await openStore(data);
    expect(synced).not.toContain(path);
  });
});

it('a data directory that somebody has just made is on disk as well before anything is stored in it', async () => {
  await withTemporaryDirectory(async (path) => {
    const data = join(path, 'data');
    await mkdir(data);
    await openStore(data);
    expect(synced).toContain(path);
  });
});
