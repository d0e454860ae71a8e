import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { present } from '../../src/assert.js';
import type { Prng } from '../../src/sim/prng.js';
import { LogEnd } from '../../src/storage/log-end.js';
import { checkLogFile } from '../../src/storage/log-file-check.js';

/** A record of the newest write-ahead log of a node's log. */
export interface TailRecord {
  readonly offset: number;
  readonly end: number;
  /** The number of the write, as its state record says. */
  readonly writes: number;
  readonly content: Buffer;
}

/** The newest write-ahead log of the log in a data directory, and its whole records. */
export async function tailOf(
  dataDirectory: string,
): Promise<{ readonly path: string; readonly records: readonly TailRecord[] }> {
  const location = join(dataDirectory, 'log');
  const name = (await readdir(location))
    .filter((file) => file.endsWith('.log'))
    .toSorted()
    .at(-1);
  const path = join(location, present(name, 'LevelDB has a write-ahead log.'));
  const begun: { offset: number; content: Buffer }[] = [];
  const torn = await checkLogFile(path, Number.POSITIVE_INFINITY, (content, offset) =>
    begun.push({ offset, content }),
  );
  const size = torn?.offset ?? (await readFile(path)).length;
  const records = begun.map(({ offset, content }, at) => ({
    offset,
    content,
    end: begun[at + 1]?.offset ?? size,
    writes: Number([...content.toString('latin1').matchAll(/"writes":(\d+)/g)].at(-1)?.[1] ?? Number.NaN),
  }));
  return { path, records };
}

export async function lastRecord(
  dataDirectory: string,
): Promise<{ readonly path: string; readonly record: TailRecord }> {
  const { path, records } = await tailOf(dataDirectory);
  return { path, record: present(records.at(-1), 'There is a record.') };
}

/**
 * Leaves a log as a power loss does in the middle of a write: what was synced stays, and of what follows there is a part, or zeros. Returns
 * how many bytes there are of that.
 */
export async function tear(dataDirectory: string, random: Prng): Promise<number> {
  const { path, records } = await tailOf(dataDirectory);
  const durable = present((await LogEnd.in(dataDirectory)).known, 'The log was noted.').writes;
  const bytes = await readFile(path);
  const unsynced = records.find(({ writes }) => writes > durable);
  if (unsynced !== undefined) {
    const left = random.integer(0, bytes.length - unsynced.offset - 1);
    await truncate(path, unsynced.offset + left);
    return left;
  }
  const last = present(records.at(-1), 'There is a record.');
  // The write that was to be the next one looked like the one before.
  const next = bytes.subarray(last.offset, last.end);
  const left = random.integer(1, next.length - 1);
  const part = random.chance(0.3) ? Buffer.alloc(left) : next.subarray(0, left);
  await writeFile(path, Buffer.concat([bytes, part]));
  return left;
}
