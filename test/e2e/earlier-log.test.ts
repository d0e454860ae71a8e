import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import type { Persist } from '../../src/raft/types.js';
import type { LevelDirectory } from '../../src/storage/level-store.js';
import { LogEnd } from '../../src/storage/log-end.js';
import type { LogStore } from '../../src/storage/log-store.js';
import { entry, makeLog, openLog, tryOpen } from '../storage/log-end-kit.js';
import { persist } from '../storage/persist.js';
import { withTemporaryDirectory } from '../storage/temporary.js';
import { earlierProgram } from './earlier-program.js';

it('a log passes that the earlier program truncated below what was noted, and counts from there', async (context) => {
  const earlier = await earlierProgram();
  if ('reason' in earlier) {
    console.warn(`Skipped: ${earlier.reason}`);
    return context.skip(earlier.reason);
  }
  const modules = join(dirname(earlier.program), '../dist/storage');
  const load = (name: string) => import(pathToFileURL(join(modules, name)).href);
  const Earlier = (await load('log-store.js')) as { LogStore: typeof LogStore };
  const Directories = (await load('level-store.js')) as { LevelDirectory: typeof LevelDirectory };
  /** Goes back to the earlier program, which makes these writes. */
  const goBack = async (path: string, ...writes: readonly Partial<Persist>[]) => {
    const store = await (await Directories.LevelDirectory.at(path)).open('log');
    const log = await Earlier.LogStore.open(store);
    for (const write of writes) await log.write(persist(write));
    await store.close();
    return log.lastIndex;
  };
  await withTemporaryDirectory(async (path) => {
    await makeLog(path, { hardState: { term: 2, vote: 'n2', commit: 1 }, entries: [entry(4), entry(5)] });
    const noted = (await LogEnd.in(path)).known;
    expect(noted).toMatchObject({ generation: 1, writes: 4, lastIndex: 5 });
    // It only looks, and then a leader of a later term has other entries, and fewer of them.
    expect(await goBack(path)).toBe(5);
    expect(await tryOpen(path)).toBe(4);
    const truncation = {
      hardState: { term: 3, vote: null, commit: 1 },
      truncateFrom: 2,
      entries: [entry(2, 2)],
    };
    expect(await goBack(path, truncation)).toBe(2);
    expect((await LogEnd.in(path)).known?.lastIndex).toBe(5);
    const { log, close } = await openLog(path);
    expect((await LogEnd.in(path)).known).toMatchObject({ generation: 2, writes: 1, lastIndex: 2, term: 3 });
    await log.write(persist({ entries: [entry(3, 3)] }));
    await close();
    // And once more.
    expect(await goBack(path, { hardState: { term: 4, vote: null, commit: 2 }, truncateFrom: 3 })).toBe(2);
    expect(await tryOpen(path)).toBe(1);
    expect((await LogEnd.in(path)).known).toMatchObject({ generation: 3, writes: 1, lastIndex: 2, term: 4 });
  });
});
