import { copyFile, mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import { emptyConfiguration } from '../../src/raft/configuration.js';
import type { Entry, HardState, Persist } from '../../src/raft/types.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { LogStore } from '../../src/storage/log-store.js';
import { withTemporaryDirectory } from './temporary.js';

/** LevelDB gives up the rest of such a block of its write-ahead log when a record in it is damaged. */
const BLOCK_BYTES = 32 * 1024;
/** The history takes several blocks, so that damage is followed by intact records. */
const ENTRY_BYTES = 1500;

const entry = (index: number, term: number): Entry => ({
  index,
  term,
  kind: 1,
  payload: new Uint8Array(ENTRY_BYTES).fill(index * 7 + term),
});

const nothing: Omit<Persist, 'sequence'> = {
  hardState: null,
  snapshot: null,
  compact: null,
  truncateFrom: null,
  entries: [],
};
const hardState = (term: number, commit: number): HardState => ({ term, vote: null, commit });

/** A life with elections, conflicts, a compaction and perhaps a snapshot; each item is one write. */
function history(installsSnapshot: boolean): Omit<Persist, 'sequence'>[] {
  const writes: Omit<Persist, 'sequence'>[] = [];
  let last = 0;
  const append = (count: number, term: number) => {
    for (let done = 0; done < count; done += 1) {
      last += 1;
      writes.push({ ...nothing, hardState: hardState(term, last - 1), entries: [entry(last, term)] });
    }
  };
  append(25, 1);
  // A conflict that is replaced by exactly as many entries of a newer term.
  writes.push({ ...nothing, entries: [entry(last + 1, 1), entry(last + 2, 1), entry(last + 3, 1)] });
  writes.push({
    ...nothing,
    hardState: hardState(2, last),
    truncateFrom: last + 2,
    entries: [entry(last + 2, 2), entry(last + 3, 2)],
  });
  last += 3;
  append(25, 2);
  writes.push({ ...nothing, compact: { index: 20, term: 1, configuration: emptyConfiguration } });
  append(25, 3);
  if (installsSnapshot) {
    last += 100;
    writes.push({
      ...nothing,
      hardState: hardState(4, last),
      snapshot: { index: last, term: 3, configuration: emptyConfiguration },
    });
  }
  append(25, 4);
  return writes;
}

function describeLog(log: LogStore): string {
  const { hardState, compacted, stateDirectory, identity } = log;
  const entries = log.entries.map(({ index, term, payload }) => [index, term, payload.length, payload[0]]);
  return JSON.stringify({ hardState, compacted, stateDirectory, identity, entries });
}

/** Writes the history into `path/log` and returns what an open gives after each write. */
async function writeHistory(path: string, installsSnapshot: boolean): Promise<readonly string[]> {
  const states: string[] = [];
  const store = await (await LevelDirectory.at(path)).open('log');
  const log = await LogStore.open(store);
  const note = async () => states.push(describeLog(await LogStore.open(store)));
  await note();
  await log.writeIdentity({ cluster: '', id: 'n1', incarnation: 'i' });
  await note();
  await log.writeBootstrap({ cluster: 'c', id: 'n1', incarnation: 'i' }, hardState(1, 0), [], 'state-1');
  await note();
  for (const [sequence, persist] of history(installsSnapshot).entries()) {
    await log.write({ ...persist, sequence }, persist.snapshot === null ? undefined : 'state-2');
    await note();
  }
  await store.close();
  return states;
}

async function copyStore(from: string, to: string): Promise<string[]> {
  await mkdir(join(to, 'log'), { recursive: true });
  await copyFile(join(from, 'RAFTKV'), join(to, 'RAFTKV'));
  const files = await readdir(join(from, 'log'));
  for (const file of files) await copyFile(join(from, 'log', file), join(to, 'log', file));
  return files.map((file) => join(to, 'log', file));
}

/** What an open makes of the log, by what its own records say alone: its description, or the refusal. */
async function tryOpen(path: string): Promise<string | RaftkvError> {
  let close = async () => {};
  try {
    // The checks of LevelDB's files would refuse nearly all of this first.
    const store = await (await LevelDirectory.at(path, null)).open('log');
    close = () => store.close();
    return describeLog(await LogStore.open(store));
  } catch (error) {
    if (error instanceof RaftkvError) return error;
    throw error;
  } finally {
    await close();
  }
}

async function flipBit(file: string, position: number): Promise<void> {
  const bytes = await readFile(file);
  bytes[position] = (bytes[position] ?? 0) ^ 0x10;
  await writeFile(file, bytes);
}

const largest = async (
  files: readonly string[],
  extension: string,
): Promise<{ file: string; size: number }> => {
  let found = { file: '', size: 0 };
  for (const file of files.filter((one) => one.endsWith(extension))) {
    const { length } = await readFile(file);
    if (length > found.size) found = { file, size: length };
  }
  return found;
};

describe('row 29: a damaged log', () => {
  it.each([
    ['and entries follow', false],
    ['and a snapshot follows', true],
  ])(
    'is refused when a bit of its write-ahead log is flipped %s, unless nothing before the tail is lost',
    async (_, installsSnapshot) => {
      await withTemporaryDirectory(async (path) => {
        const states = await writeHistory(join(path, 'intact'), installsSnapshot);
        let refused = 0;
        for (let trial = 0; trial < 60; trial += 1) {
          const copy = join(path, `copy-${trial}`);
          const { file, size } = await largest(await copyStore(join(path, 'intact'), copy), '.log');
          expect(size).toBeGreaterThan(5 * BLOCK_BYTES);
          const position = Math.floor((size * trial) / 60) + (trial % 13);
          await flipBit(file, position);
          const opened = await tryOpen(copy);
          if (opened instanceof RaftkvError) {
            refused += 1;
            expect(opened.code).toBe('storage_damaged');
            expect(opened.message).toContain('--join');
          } else if (position < size - 2 * BLOCK_BYTES) {
            // What was lost had been replaced since, by the snapshot or by the conflict.
            expect(opened).toBe(states[states.length - 1]);
          } else {
            expect(states).toContain(opened);
          }
        }
        expect(refused).toBeGreaterThan(installsSnapshot ? 5 : 30);
      });
    },
    60_000,
  );

  it('is what it was after an earlier write when the tail of the write-ahead log is cut off', async () => {
    await withTemporaryDirectory(async (path) => {
      const states = await writeHistory(join(path, 'intact'), false);
      for (let trial = 0; trial < 40; trial += 1) {
        const copy = join(path, `copy-${trial}`);
        const { file, size } = await largest(await copyStore(join(path, 'intact'), copy), '.log');
        await truncate(file, Math.floor((size * (trial + 0.5)) / 40));
        expect(states).toContain(await tryOpen(copy));
      }
    });
  }, 60_000);

  it('is refused, or as it was, wherever a bit of a table file is flipped', async () => {
    await withTemporaryDirectory(async (path) => {
      const states = await writeHistory(join(path, 'intact'), false);
      // Opening once more makes LevelDB turn its write-ahead log into a table.
      expect(states).toContain(await tryOpen(join(path, 'intact')));
      let refused = 0;
      for (let trial = 0; trial < 80; trial += 1) {
        const copy = join(path, `copy-${trial}`);
        const { file, size } = await largest(await copyStore(join(path, 'intact'), copy), '.ldb');
        await flipBit(file, Math.floor((size * trial) / 80) + (trial % 13));
        const opened = await tryOpen(copy);
        if (opened instanceof RaftkvError) refused += 1;
        else expect(states).toContain(opened);
      }
      expect(refused).toBeGreaterThan(10);
    });
  }, 60_000);
});
