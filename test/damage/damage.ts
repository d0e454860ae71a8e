import { copyFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { present } from '../../src/assert.js';
import type { Prng } from '../../src/sim/prng.js';
import { flip, neededFilesOf, spoil } from '../storage/damage-kit.js';

const PAGE_BYTES = 4096;
const RARE_KINDS = ['zeros', 'cut', 'delete', 'swap', 'older'] as const;

/** What is done to a stopped node's disk. */
export type DamageKind = 'flip' | (typeof RARE_KINDS)[number];

export interface DamagedFile {
  readonly store: string;
  readonly name: string;
  readonly path: string;
  readonly size: number;
}

/** Four of five times one flipped bit. */
export function kindOfDamage(random: Prng): DamageKind {
  return random.chance(0.8) ? 'flip' : present(random.pick([...RARE_KINDS]), 'There are kinds.');
}

/**
 * Damages one file of a node's log or state.
 *
 * @param path The data directory.
 * @param earlier The same directory as it was some time before, from which older files come.
 * @returns The file, and in words where in it.
 */
export async function damage(
  kind: DamageKind,
  path: string,
  earlier: string,
  random: Prng,
): Promise<{ readonly file: DamagedFile; readonly place: string }> {
  const files = await filesIn(path);
  const file = present(random.pick(files), 'There are files.');
  const others = files.filter((other) => other.path !== file.path && isOfOneKind(other.name, file.name));
  return { file, place: await spoilOne(kind, file, others, earlier, random) };
}

async function spoilOne(
  kind: DamageKind,
  file: DamagedFile,
  others: readonly DamagedFile[],
  earlier: string,
  random: Prng,
): Promise<string> {
  switch (kind) {
    case 'flip': {
      const bit = random.integer(0, 8 * file.size - 1);
      await spoil(file.path, flip(bit));
      return `at bit ${bit} of ${file.size} bytes`;
    }
    case 'zeros': {
      const page = PAGE_BYTES * random.integer(0, Math.floor((file.size - 1) / PAGE_BYTES));
      await spoil(file.path, (bytes) => bytes.fill(0, page, Math.min(page + PAGE_BYTES, bytes.length)));
      return `at byte ${page} of ${file.size}`;
    }
    case 'cut': {
      const length = random.integer(0, file.size - 1);
      await spoil(file.path, (bytes) => bytes.subarray(0, length));
      return `to ${length} of ${file.size} bytes`;
    }
    case 'delete':
      await rm(file.path);
      return '';
    case 'swap': {
      const other = random.pick(others);
      if (other === undefined) return 'with nothing';
      await rename(file.path, `${file.path}.aside`);
      await rename(other.path, file.path);
      await rename(`${file.path}.aside`, other.path);
      return `with ${other.store}/${other.name}`;
    }
    case 'older': {
      const names = await readdir(join(earlier, file.store)).catch(() => []);
      const alike = names.filter((name) => isOfOneKind(name, file.name));
      const name = alike.includes(file.name) ? file.name : random.pick(alike);
      if (name === undefined) return 'by nothing';
      await copyFile(join(earlier, file.store, name), file.path);
      return `by the earlier ${name}`;
    }
  }
}

/** All files of both stores that are not empty and not left over, each once for itself: small ones are damaged as often as large ones. */
async function filesIn(path: string): Promise<readonly DamagedFile[]> {
  const stores = (await readdir(path)).filter((name) => name === 'log' || name.startsWith('state-'));
  const files: DamagedFile[] = [];
  for (const store of stores.toSorted()) {
    const isNeeded = await neededFilesOf(join(path, store));
    for (const name of (await readdir(join(path, store))).filter(isNeeded).toSorted()) {
      const file = join(path, store, name);
      const { size } = await stat(file);
      if (size > 0) files.push({ store, name, path: file, size });
    }
  }
  return files;
}

function isOfOneKind(one: string, other: string): boolean {
  const kindOf = (name: string) => name.replace(/\d+/, 'N');
  return kindOf(one) === kindOf(other);
}
