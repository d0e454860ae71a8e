import { copyFile, mkdir, readdir, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { MARKER } from './level-store.js';

const TABLE = /^\d+\.(ldb|sst)$/;
const OTHER = /^(CURRENT|MANIFEST-\d+|\d+\.log)$/;

/**
 * Makes a data directory in which stores of another one can be opened and read without a change to the originals, because LevelDB
 * writes even where it only reads. Tables, of which nearly all consists, are links: LevelDB never changes one, and where it deletes
 * one it deletes the link. What it appends to is copied.
 */
export async function copyStores(from: string, to: string, stores: readonly string[]): Promise<void> {
  await copyFile(join(from, MARKER), join(to, MARKER));
  for (const store of stores) {
    const source = join(resolve(from), store);
    const target = join(to, store);
    await mkdir(target);
    for (const name of await readdir(source)) {
      if (TABLE.test(name)) await symlink(join(source, name), join(target, name));
      else if (OTHER.test(name)) await copyFile(join(source, name), join(target, name));
    }
  }
}
