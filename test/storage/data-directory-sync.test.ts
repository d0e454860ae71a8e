import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { withTemporaryDirectory } from './temporary.js';

/** The paths that were synced, in order. */
const synced: string[] = [];

const { mkdir, open } = fs;

beforeEach(() => {
  synced.length = 0;
  replaceOpen((async (path: string, flags: string) => {
    const file = await open(path, flags);
    const sync = file.sync.bind(file);
    file.sync = async () => {
      synced.push(path);
      await sync();
    };
    return file;
  }) as typeof open);
});
afterEach(() => replaceOpen(open));

/** For every module, those that have imported it by name included. */
function replaceOpen(by: typeof open): void {
  fs.open = by;
  syncBuiltinESMExports();
}

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
