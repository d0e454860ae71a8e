import { basename } from 'node:path';
import { type DamagedStore, RaftkvError, StorageDamaged } from '../errors.js';

/** Says why the data directory at `path` cannot be made or read. */
export function explainFileError(error: unknown, path: string): unknown {
  switch (codeOf(error)) {
    case 'EACCES':
    case 'EPERM':
      return unusable(`There is no permission to use ${path}. Give it to the user that runs raftkv`, error);
    case 'EROFS':
      return readOnly(path, error);
    case 'EIO':
      return failing(path, error);
    case 'ENOTDIR':
    case 'EEXIST':
      return unusable(`${path} is not a directory. Name a directory`, error);
    case 'ENOSPC':
    case 'EDQUOT':
      return diskFull(path, error);
    default:
      return error instanceof RaftkvError ? error : unusable(`${path} cannot be used`, error);
  }
}

/** Says why LevelDB did not open at `location`. */
export function explainOpenError(error: unknown, location: string): unknown {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const message = messageOf(cause);
  if (codeOf(cause) === 'LEVEL_LOCKED') {
    return unusable(
      `${location} is in use by another process. Stop it, or name another data directory`,
      cause,
    );
  }
  if (isDamage(cause)) return unreadable(location, message);
  if (/permission denied/i.test(message)) {
    return unusable(`There is no permission to use ${location}. Give it to the user that runs raftkv`, cause);
  }
  return explainSystemError(cause, location) ?? explainFileError(cause, location);
}

/** Says what a failed read means: a store that is open does not become unreadable unless its disk is failing. */
export function explainReadError(error: unknown, location: string): unknown {
  if (!isDamage(error) && !/input\/output error|no such file/i.test(messageOf(error))) return error;
  return unreadable(location, messageOf(error));
}

/**
 * Says what a failed write means. Where the disk is full, what is on it is as a crash would have left it: the store must be opened
 * anew before anything else is written, and what was written must not be relied on before.
 */
export function explainWriteError(error: unknown, location: string): unknown {
  return explainSystemError(error, location) ?? error;
}

/** Of LevelDB, which gives no more than the words of the system. Undefined where they are none of these. */
function explainSystemError(error: unknown, location: string): RaftkvError | undefined {
  const message = messageOf(error);
  if (/no space left on device|disk quota exceeded/i.test(message)) return diskFull(location, error);
  if (/read-only file system/i.test(message)) return readOnly(location, error);
  if (/input\/output error/i.test(message)) return failing(location, error);
  if (/no such file or directory/i.test(message))
    return unusable(
      `A file or directory of ${location} has vanished. Check the mount, and that nothing else deletes files there`,
      error,
    );
  return undefined;
}

function readOnly(path: string, cause: unknown): RaftkvError {
  return unusable(
    `${path} is on a file system that is mounted read-only, which the system also does after an error of the disk. Check the disk, ` +
      'and start this node once it can be written to',
    cause,
  );
}

function failing(path: string, cause: unknown): RaftkvError {
  return unusable(
    `The disk that holds ${path} failed to read or write. Check the disk before this node is started again`,
    cause,
  );
}

function diskFull(path: string, cause: unknown): RaftkvError {
  return new RaftkvError('no_space', `The disk that holds ${path} is full. Make room (${messageOf(cause)}).`);
}

function unreadable(location: string, message: string): StorageDamaged {
  return new StorageDamaged(storeOf(location), `LevelDB cannot read ${location} (${message}).`);
}

/** Which of a node's stores is at `location`, by its name. */
export function storeOf(location: string): DamagedStore {
  const name = basename(location);
  if (name === 'log') return 'log';
  return name.startsWith('state-') ? 'state' : 'other';
}

function isDamage(error: unknown): boolean {
  return codeOf(error) === 'LEVEL_CORRUPTION' || /does not exist \(create_if_missing/.test(messageOf(error));
}

function unusable(what: string, cause: unknown): RaftkvError {
  return new RaftkvError('storage_unusable', `${what} (${messageOf(cause)}).`);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
