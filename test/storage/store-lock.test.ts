import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterEach, expect, it, vi } from 'vitest';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { takeStoreLock } from '../../src/storage/store-lock.js';
import { withTemporaryDirectory } from './temporary.js';

afterEach(() => {
  vi.restoreAllMocks();
});

it('the lock of a store is linked before LevelDB opens, which would make a lock of its own', async () => {
  await withTemporaryDirectory(async (path) => {
    await (await (await LevelDirectory.at(path)).open('log')).close();
    const linked: boolean[] = [];
    const prototype = ClassicLevel.prototype as unknown as { _open(options: unknown): Promise<void> };
    const { _open: open } = prototype;
    vi.spyOn(prototype, '_open').mockImplementation(function (this: unknown, options) {
      const lock = lstatSync(join((this as ClassicLevel).location, 'LOCK'), { throwIfNoEntry: false });
      linked.push(lock?.isSymbolicLink() ?? false);
      return open.call(this as ClassicLevel, options);
    });
    for (let time = 0; time < 20; time += 1) await (await takeStoreLock(join(path, 'log')))?.release();
    expect(linked).toEqual(Array.from({ length: 20 }, () => true));
  });
});
