import { access, constants, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { RaftkvError } from '../errors.js';
import { explainOpenError } from './level-errors.js';

const LOCK = 'LOCK';

/** Keeps every other process from opening a store. */
export interface StoreLock {
  release(): Promise<void>;
}

/** Throws `storage_unusable` where another process has a store open, as far as that can be told. */
export async function assertNotInUse(location: string): Promise<void> {
  try {
    await (await takeStoreLock(location))?.release();
  } catch (error) {
    if (error instanceof RaftkvError) throw error;
  }
}

/**
 * Takes LevelDB's lock of a store without opening or changing it: an empty store is opened elsewhere, whose lock is a link to the
 * one that is wanted. Throws `storage_unusable` where another process has the store open. Undefined where nobody can have it
 * open, because it has no lock or because its files cannot be written. This process must not have it open itself.
 */
export async function takeStoreLock(location: string): Promise<StoreLock | undefined> {
  const lock = join(resolve(location), LOCK);
  try {
    // LevelDB opens it for writing.
    await access(lock, constants.R_OK | constants.W_OK);
  } catch (error) {
    if (['ENOENT', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw explainOpenError(error, location);
  }
  const elsewhere = await mkdtemp(join(tmpdir(), 'raftkv-lock-'));
  const remove = () => rm(elsewhere, { recursive: true, force: true });
  let level: ClassicLevel;
  try {
    await symlink(lock, join(elsewhere, LOCK));
    // Not before: it opens as soon as it is made, and would make a lock of its own.
    level = new ClassicLevel(elsewhere);
    await level.open().catch((error: unknown) => {
      throw explainOpenError(error, location);
    });
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    release: async () => {
      await level.close();
      await remove();
    },
  };
}
