import { ClassicLevel } from 'classic-level';
import { afterEach, expect, it, vi } from 'vitest';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { withTemporaryDirectory } from './temporary.js';

afterEach(() => {
  vi.restoreAllMocks();
});

it('row 29: every write to a store makes LevelDB sync, which it does not do by default', async () => {
  const options: unknown[] = [];
  const { batch } = ClassicLevel.prototype;
  vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementation(function (this: ClassicLevel, ...given: []) {
    const made = batch.apply(this, given);
    const write = made.write.bind(made);
    made.write = ((how: object) => {
      options.push(how);
      return write(how);
    }) as typeof made.write;
    return made;
  });
  await withTemporaryDirectory(async (path) => {
    const store = await (await LevelDirectory.at(path)).open('log');
    const key = Buffer.from('k');
    await store.write([{ kind: 'put', key, value: Buffer.from('v') }]);
    await store.write([{ kind: 'delete', key }]);
    await store.close();
  });
  expect(options).toEqual([{ sync: true }, { sync: true }]);
});
