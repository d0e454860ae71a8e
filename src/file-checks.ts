import { systemClock } from './clock.js';
import { isStateKey } from './kv/record-codec.js';
import type { Logger } from './logger.js';
import type { FileChecks } from './storage/level-store.js';
import { isLogKey } from './storage/log-records.js';

/** How often a start says how far the check of a store is. */
const PROGRESS_MS = 5000;
const GIBIBYTE = 1024 ** 3;

/** Which of the two stores of a node a key belongs to. */
export function ownsKey(store: string, beginning: Uint8Array): boolean {
  return store === 'log' ? isLogKey(beginning) : isStateKey(beginning);
}

/** The checks of a node's files before it opens them, as its log tells of them. */
export function fileChecks(logger: Logger): FileChecks {
  let startedAt = 0;
  let toldAt = 0;
  return {
    ownsKey,
    onBegin: () => {
      startedAt = systemClock.now();
      toldAt = startedAt;
    },
    onProgress: (store, readBytes, totalBytes) => {
      const now = systemClock.now();
      if (now - toldAt < PROGRESS_MS) return;
      toldAt = now;
      logger.info(
        { store, readBytes, totalBytes },
        `Checking the files of ${store}: ${gibibytes(readBytes)} of ${gibibytes(totalBytes)} GiB are read.`,
      );
    },
    onEnd: (store, readBytes) => {
      const milliseconds = Math.round(systemClock.now() - startedAt);
      const line = `The files of ${store} are whole: ${gibibytes(readBytes)} GiB in ${milliseconds} ms.`;
      const fields = { store, readBytes, milliseconds };
      if (toldAt === startedAt) logger.debug(fields, line);
      else logger.info(fields, line);
    },
    onTorn: (path, { offset, what }) => {
      logger.warn(
        { path, offset },
        `${path} ends in an unfinished write at byte ${offset}: ${what}. A crash or a power loss leaves that; LevelDB drops it.`,
      );
    },
  };
}

function gibibytes(bytes: number): string {
  return (bytes / GIBIBYTE).toFixed(1);
}
