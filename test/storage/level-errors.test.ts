import { describe, expect, it } from 'vitest';
import {
  explainFileError,
  explainOpenError,
  explainReadError,
  explainWriteError,
} from '../../src/storage/level-errors.js';

/** As classic-level gives what the system said of a file. */
function ofLevel(words: string): Error {
  return Object.assign(new Error(`IO error: /data/log/000007.log: ${words}`), { code: 'LEVEL_IO_ERROR' });
}

function ofSystem(code: string): Error {
  return Object.assign(new Error(`${code}: it failed, write`), { code });
}

describe('what a disk says when it fails', () => {
  it.each([
    [
      'Read-only file system',
      'EROFS',
      /mounted read-only.*Check the disk, and start this node once it can be written to/,
    ],
    [
      'Input/output error',
      'EIO',
      /failed to read or write. Check the disk before this node is started again/,
    ],
  ])('is told in a sentence with an advice: %s', (words, code, sentence) => {
    const opened = Object.assign(new Error('Database failed to open'), { cause: ofLevel(words) });
    for (const error of [
      explainWriteError(ofLevel(words), '/data/log'),
      explainOpenError(opened, '/data/log'),
      explainFileError(ofSystem(code), '/data/log'),
    ])
      expect(error).toMatchObject({ code: 'storage_unusable', message: expect.stringMatching(sentence) });
  });

  it('is told in a sentence where a file that is written to has vanished', () => {
    expect(explainWriteError(ofLevel('No such file or directory'), '/data/log')).toMatchObject({
      code: 'storage_unusable',
      message: expect.stringMatching(/\/data\/log has vanished. Check the mount/),
    });
  });

  it('is damage where what was written cannot be read', () => {
    for (const words of ['Input/output error', 'No such file or directory'])
      expect(explainReadError(ofLevel(words), '/data/log')).toMatchObject({ code: 'storage_damaged' });
  });

  it('is neither damage nor a failing disk where the process has too many files open', () => {
    const error = ofLevel('Too many open files');
    expect(explainReadError(error, '/data/log')).toBe(error);
    expect(explainWriteError(error, '/data/log')).toBe(error);
  });
});
