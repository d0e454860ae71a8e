import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isRunning } from './processes.js';

/** The id of the process that made a directory follows. */
const PREFIX = 'raftkv-faults-';
/** Where this is, a run has failed, and somebody wants to look at it. */
export const EVIDENCE = 'tester.log';

export function makeDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
}

/** Removes a directory, unless it holds the evidence of a failure. */
export async function clearDirectory(path: string): Promise<void> {
  if (existsSync(join(path, EVIDENCE))) return;
  await rm(path, { recursive: true, force: true });
}

/** Removes what testers left behind that were killed themselves. */
export async function clearLeftDirectories(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = name.startsWith(PREFIX) ? Number.parseInt(name.slice(PREFIX.length), 10) : Number.NaN;
    if (owner > 0 && !isRunning(owner)) await clearDirectory(join(tmpdir(), name));
  }
}
