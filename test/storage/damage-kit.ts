import { cp, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Prng } from '../../src/sim/prng.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { readManifest } from '../../src/storage/manifest.js';
import { CURRENT_CONTENT, checkStore, type Finding } from '../../src/storage/store-check.js';

/** Files without which a store could not be read: all others of a directory mean nothing. */
const MEANS_SOMETHING = /^(CURRENT|MANIFEST-\d+|\d+\.(ldb|log))$/;

/**
 * Makes a store of several tables, in levels, with values of all sizes, deletions, and a write-ahead log of several blocks. Each
 * opening turns the log before it into a table.
 */
export async function makeStore(path: string, name: string, random: Prng): Promise<string> {
  const key = () => Buffer.from(`key/${String(random.integer(0, 4000)).padStart(5, '0')}`);
  for (let opening = 0; opening < 6; opening += 1) {
    const store = await (await LevelDirectory.at(path)).open(name);
    for (let write = 0; write < 40; write += 1) {
      const bytes = random.chance(0.02) ? 300_000 : random.integer(0, 3000);
      await store.write([
        { kind: 'put', key: key(), value: Buffer.alloc(bytes, random.integer(0, 255)) },
        { kind: 'put', key: key(), value: Buffer.from(`${write}`) },
        { kind: 'delete', key: key() },
      ]);
    }
    // One that is larger than what is read at a time.
    if (opening === 3)
      await store.write([{ kind: 'put', key: key(), value: Buffer.alloc(1_500_000, 'large') }]);
    await store.close();
  }
  return join(path, name);
}

export async function copyOf(directory: string, to: string): Promise<string> {
  await cp(directory, to, { recursive: true, force: true });
  return to;
}

/** The files of a store that mean something, the shortest name first. */
export async function filesOf(
  location: string,
): Promise<readonly { name: string; path: string; size: number }[]> {
  const isNeeded = await neededFilesOf(location);
  const names = (await readdir(location)).filter((name) => MEANS_SOMETHING.test(name) && isNeeded(name));
  return await Promise.all(
    names.toSorted().map(async (name) => {
      const path = join(location, name);
      return { name, path, size: (await stat(path)).size };
    }),
  );
}

/**
 * Whether LevelDB reads a file of this name when it opens the store. Where it was closed in the middle of a compaction, a table is left
 * that the manifest does not name, and it is deleted unread.
 */
export async function neededFilesOf(location: string): Promise<(name: string) => boolean> {
  const [, manifest = ''] = CURRENT_CONTENT.exec(await readFile(join(location, 'CURRENT'), 'latin1')) ?? [];
  const { tables, logNumber } = await readManifest(join(location, manifest));
  return (name) => {
    const number = Number.parseInt(name, 10);
    if (name.endsWith('.ldb')) return tables.has(number);
    if (name.endsWith('.log')) return number >= logNumber;
    return !name.startsWith('MANIFEST-') || name === manifest;
  };
}

/** Changes a file, and returns what puts it back. */
export async function spoil(path: string, change: (bytes: Buffer) => Buffer): Promise<() => Promise<void>> {
  const before = await readFile(path);
  await writeFile(path, change(Buffer.from(before)));
  return () => writeFile(path, before);
}

export function flip(bit: number): (bytes: Buffer) => Buffer {
  return (bytes) => {
    const at = Math.floor(bit / 8);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
    return bytes;
  };
}

export async function findingsIn(location: string): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of checkStore(location)) findings.push(finding);
  return findings;
}

/** Flips one bit of a file that is open elsewhere, which must not become shorter for a moment. */
export async function flipInPlace(path: string, bit: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    const at = Math.floor(bit / 8);
    await file.read(byte, 0, 1, at);
    byte.writeUInt8(byte.readUInt8() ^ (1 << (bit % 8)));
    await file.write(byte, 0, 1, at);
  } finally {
    await file.close();
  }
}
