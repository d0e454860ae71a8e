import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemClock } from './clock.js';
import type { DiskUsage } from './node/disk-space.js';
import { DiskReserve } from './storage/disk-reserve.js';

/** A node that a full disk ended starts again when this much is free, or an eighth of the disk, its reserve included. */
const START_BYTES = 64 * 1024 * 1024;
/** How often it looks whether that is so. */
const ROOM_LOOK_MS = 500;

/**
 * Resolves once a node could start in this directory, its reserve included, and not before `notBefore`, a reading of the clock; at
 * once when the signal is aborted.
 *
 * @param begin Called when it is to be waited for; gives what is called when the waiting is over.
 */
export async function roomToStart(
  dataDirectory: string,
  notBefore: number,
  signal: AbortSignal,
  begin: () => Promise<() => Promise<void>>,
): Promise<void> {
  const isThere = async () => {
    const { bytes } = await DiskReserve.in(dataDirectory);
    return systemClock.now() >= notBefore && (await hasRoomToStart(dataDirectory, bytes));
  };
  if (signal.aborted || (await isThere())) return;
  const end = await begin();
  try {
    while (!signal.aborted && !(await isThere())) await nextLook(signal);
  } finally {
    await end();
  }
}

/** Resolves after a while, or when the signal is aborted. */
function nextLook(signal: AbortSignal): Promise<void> {
  return new Promise<void>((resolve) => {
    const end = () => {
      timer.cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = systemClock.after(ROOM_LOOK_MS, end);
    signal.addEventListener('abort', end);
  });
}

/** Whether LevelDB can put away what it finds in the logs of two databases. */
export async function hasRoomToStart(dataDirectory: string, reserved = 0): Promise<boolean> {
  const { free, total } = await diskUsageOf(dataDirectory, true);
  return free + reserved >= Math.min(START_BYTES, total / 8);
}

/** @param mayBeMissing Whether a directory that is still to be made is looked for where it will be. */
export async function diskUsageOf(path: string, mayBeMissing = false): Promise<DiskUsage> {
  try {
    const { bavail, blocks, bsize } = await statfs(path);
    return { free: bavail * bsize, total: blocks * bsize };
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (mayBeMissing && isMissing && dirname(path) !== path) return diskUsageOf(dirname(path), true);
    throw error;
  }
}
