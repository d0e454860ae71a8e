import { copyFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AssertionError } from '../../src/assert.js';
import { checkDirectory, type DirectoryFinding } from '../../src/check-directory.js';
import { RaftkvError } from '../../src/errors.js';
import type { Persist } from '../../src/raft/types.js';
import { Prng } from '../../src/sim/prng.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { LogEnd } from '../../src/storage/log-end.js';
import { countKey } from '../../src/storage/log-records.js';
import { LogStore } from '../../src/storage/log-store.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { copyOf, flip } from './damage-kit.js';
import { entry, identity, LOST, makeLog, openLog, tryOpen, writeAsBefore } from './log-end-kit.js';
import { lastRecord, tear } from './log-tail.js';
import { persist } from './persist.js';
import { withTemporaryDirectory } from './temporary.js';

describe('a write that a power loss interrupts', () => {
  it('is no lost end, wherever it is cut off: its sync never returned', async () => {
    await withTemporaryDirectory(async (path) => {
      const base = join(path, 'base');
      const work = join(path, 'work');
      await makeLog(base, { entries: [entry(4)] });
      // The note of the write before: the sync of the last one had not returned.
      await copyFile(join(base, 'LOG-END'), join(path, 'after'));
      const bytes = await readFile(join(base, 'LOG-END'));
      const newest = (await LogEnd.in(base)).known;
      const at = bytes.readDoubleBE(8) === newest?.serial ? 0 : 4096;
      await writeFile(join(base, 'LOG-END'), bytes.fill(0, at, at + 64));
      expect((await LogEnd.in(base)).known?.writes).toBe(3);
      const { record } = await lastRecord(base);
      for (let left = 0; left < record.end - record.offset; left += 4) {
        const length = record.end - left;
        await rm(work, { recursive: true, force: true });
        await copyOf(base, work);
        await truncate((await lastRecord(work)).path, length);
        expect([length, await tryOpen(work)]).toEqual([length, length === record.end ? 4 : 3]);
      }
    });
  });

  it('never shows as a lost end, over many writes, losses and starts', async () => {
    await withTemporaryDirectory(async (path) => {
      const random = new Prng(31, 'power');
      let opened = await openLog(path);
      await opened.log.writeBootstrap(identity, { term: 1, vote: null, commit: 0 }, [], 'state-1');
      let index = 0;
      for (let loss = 0; loss < 30; loss += 1) {
        for (let writes = random.integer(1, 5); writes > 0; writes -= 1) {
          index += 1;
          await opened.log.write(persist({ entries: [entry(index)] }));
        }
        await opened.close();
        await tear(path, random);
        opened = await openLog(path);
        expect(opened.log.lastIndex).toBe(index);
      }
      await opened.close();
    });
  });
});

describe('the second place', () => {
  it('knows the last write, and whether its run ended in order', async () => {
    await withTemporaryDirectory(async (path) => {
      const opened = await openLog(path);
      expect(opened.end.known).toBeUndefined();
      await opened.log.writeBootstrap(identity, { term: 1, vote: null, commit: 1 }, [entry(1)], 'state-1');
      expect((await LogEnd.in(path)).of('one')).toMatchObject({
        writes: 1,
        lastIndex: 1,
        term: 1,
        endedInOrder: false,
      });
      expect((await LogEnd.in(path)).of('two')).toBeUndefined();
      await opened.close();
      await opened.end.end();
      expect((await LogEnd.in(path)).known?.endedInOrder).toBe(false);
      // A run that writes nothing ends in order as well, and one that is killed does not.
      const second = await openLog(path);
      expect((await LogEnd.in(path)).known?.endedInOrder).toBe(false);
      await second.end.end();
      await second.close();
      expect((await LogEnd.in(path)).known).toMatchObject({ writes: 1, endedInOrder: true });
      const third = await openLog(path);
      await third.close();
      expect((await LogEnd.in(path)).known).toMatchObject({ writes: 1, endedInOrder: false });
    });
  });

  it('gives the note before where the newest was spoiled, and never a wrong one', async () => {
    await withTemporaryDirectory(async (path) => {
      await makeLog(path, { entries: [entry(4)] });
      const file = join(path, 'LOG-END');
      const bytes = await readFile(file);
      expect(bytes.length).toBe(8192);
      for (let bit = 0; bit < 8 * bytes.length; bit += 1) {
        const at = Math.floor(bit / 8);
        if (at % 4096 >= 64) continue;
        await writeFile(file, flip(bit)(Buffer.from(bytes)));
        expect([bit, (await LogEnd.in(path)).known?.writes]).toEqual([bit, expect.toBeOneOf([3, 4])]);
      }
    });
  });

  it('survives a power loss that spoils all of the sector in which a note was being written', async () => {
    await withTemporaryDirectory(async (path) => {
      await makeLog(path, { entries: [entry(4)] });
      const file = join(path, 'LOG-END');
      const bytes = await readFile(file);
      for (const sector of [0, 4096]) {
        await writeFile(file, Buffer.from(bytes).fill(7, sector, sector + 4096));
        const end = await LogEnd.in(path);
        expect(end.known?.writes).toBeOneOf([3, 4]);
        expect(end.isDamaged).toBe(false);
      }
    });
  });

  it('never keeps a node from starting, however short it is, and is whole again afterwards', async () => {
    await withTemporaryDirectory(async (path) => {
      const file = join(path, 'LOG-END');
      await makeLog(path, { entries: [entry(4)] });
      const bytes = await readFile(file);
      const lengths = [0, 1, 63, 64, 65, 1000, 4095, 4096, 4097, 4159, 4160, 8191, 8192, 9000];
      for (const length of lengths) {
        await writeFile(file, bytes);
        await truncate(file, length);
        expect([length, await tryOpen(path)]).toEqual([length, 4]);
        expect((await readFile(file)).length).toBe(8192);
        expect((await LogEnd.in(path)).known).toMatchObject({ generation: 1, writes: 4 });
        await expect(readFile(`${file}.new`)).rejects.toMatchObject({ code: 'ENOENT' });
      }
    });
  });

  it('is damaged where it has content and no whole note; what a crash at its creation leaves is not', async () => {
    await withTemporaryDirectory(async (path) => {
      const file = join(path, 'LOG-END');
      expect((await LogEnd.in(path)).isDamaged).toBe(false);
      for (const length of [0, 1, 4096, 8192]) {
        await writeFile(file, Buffer.alloc(length));
        expect([length, (await LogEnd.in(path)).isDamaged]).toEqual([length, false]);
      }
      await writeFile(file, Buffer.alloc(8192, 7));
      expect((await LogEnd.in(path)).isDamaged).toBe(true);
    });
  });
});

describe('a log that an earlier program wrote, which does not count', () => {
  it('gets one counted write before the node takes part, so that the loss of the next write is found', async () => {
    await withTemporaryDirectory(async (path) => {
      await makeLog(path, { entries: [entry(4)] });
      // As if only the earlier program had ever written it.
      await rm(join(path, 'LOG-END'));
      const store = await (await LevelDirectory.at(path)).open('log');
      await store.write([{ kind: 'delete', key: countKey }]);
      await store.close();
      await writeAsBefore(path, { entries: [entry(5)] });
      expect((await LogEnd.in(path)).known).toBeUndefined();
      const { log, close } = await openLog(path);
      expect((await LogEnd.in(path)).of('one')).toMatchObject({ generation: 1, writes: 1, lastIndex: 5 });
      await log.write(persist({ entries: [entry(6)] }));
      await close();
      const { path: file, record } = await lastRecord(path);
      await truncate(file, record.offset);
      expect(await tryOpen(path)).toMatchObject({ message: expect.stringMatching(LOST) });
    });
  });

  it('passes where it truncated what was noted, and every write after that counts again', async () => {
    await withTemporaryDirectory(async (path) => {
      await makeLog(path, { hardState: { term: 2, vote: 'n2', commit: 1 }, entries: [entry(4), entry(5)] });
      // The leader of the next term has other entries, and fewer of them.
      await writeAsBefore(path, {
        hardState: { term: 3, vote: null, commit: 1 },
        truncateFrom: 2,
        entries: [entry(2, 2)],
      });
      const { log, close } = await openLog(path);
      expect(log.lastIndex).toBe(2);
      expect((await LogEnd.in(path)).of('one')).toMatchObject({ generation: 2, writes: 1, lastIndex: 2 });
      await log.write(persist({ entries: [entry(3, 3)] }));
      await close();
      expect(await tryOpen(path)).toBe(2);
    });
  });

  it('passes where a power loss left the note far behind, however often the program changes', async () => {
    await withTemporaryDirectory(async (path) => {
      const random = new Prng(7, 'programs');
      await makeLog(path, { entries: [entry(4)] });
      let term = 1;
      let last = 4;
      let note = await readFile(join(path, 'LOG-END'));
      for (let change = 0; change < 40; change += 1) {
        const lastBefore = last;
        const writes = Array.from({ length: random.integer(0, 3) }, (): Partial<Persist> => {
          const from = random.integer(2, last + 1);
          term += 1;
          last = from;
          const truncateFrom = { truncateFrom: from };
          return {
            hardState: { term, vote: null, commit: 0 },
            ...truncateFrom,
            entries: [entry(from, term)],
          };
        });
        if (random.chance(0.5)) {
          await writeAsBefore(path, ...writes);
          continue;
        }
        // The page with the notes never reached the disk, in any of the last runs.
        if (random.chance(0.3)) await writeFile(join(path, 'LOG-END'), note);
        const { log, close } = await openLog(path);
        expect(log.lastIndex).toBe(lastBefore);
        for (const write of writes) await log.write(persist(write));
        await close();
        if (random.chance(0.3)) note = await readFile(join(path, 'LOG-END'));
      }
      expect(await tryOpen(path)).toEqual(expect.any(Number));
    });
  });

  it('is refused where all that was written since the upgrade is gone', async () => {
    await withTemporaryDirectory(async (path) => {
      const work = join(path, 'work');
      const base = join(path, 'base');
      await makeLog(work, { entries: [entry(4)] });
      await writeAsBefore(work, { entries: [entry(5)] });
      await copyOf(work, base);
      const { log, close } = await openLog(work);
      await log.write(persist({ entries: [entry(6)] }));
      await close();
      await rm(join(work, 'log'), { recursive: true });
      await copyOf(join(base, 'log'), join(work, 'log'));
      expect(await tryOpen(work)).toMatchObject({ message: expect.stringMatching(LOST) });
    });
  });

  it('is refused where its term is below the noted one, because terms never go back', async () => {
    await withTemporaryDirectory(async (path) => {
      await makeLog(path, { entries: [entry(4)] });
      const { log, close } = await openLog(path);
      await log.write(persist({ hardState: { term: 9, vote: 'n2', commit: 1 } }));
      await close();
      const { path: file, record } = await lastRecord(path);
      await truncate(file, record.offset);
      await writeAsBefore(path, { hardState: { term: 8, vote: null, commit: 1 } });
      expect(await tryOpen(path)).toMatchObject({
        message: expect.stringMatching(/reached index 4 in term 9, .* in term 8\./),
      });
    });
  });
});

describe('a log that is lost as a whole', () => {
  it('is refused by its note, which says what to do', async () => {
    await withTemporaryDirectory(async (path) => {
      await makeLog(path, { entries: [entry(4)] });
      await rm(join(path, 'log'), { recursive: true });
      for (let start = 0; start < 2; start += 1)
        expect(await tryOpen(path)).toMatchObject({
          code: 'storage_damaged',
          message: expect.stringMatching(
            /^The node's log is empty, but LOG-END .* index 4 in term 1\. If you deleted the log .* delete everything else .*restore a backup/,
          ),
        });
      const findings: DirectoryFinding[] = [];
      expect((await checkDirectory(path, (finding) => findings.push(finding))).whole).toBe(false);
      expect(findings).toMatchObject([
        { kind: 'damage', store: 'log', what: expect.stringMatching(/is empty/) },
      ]);
    });
  });

  it('is none in a directory that was never used', async () => {
    await withTemporaryDirectory(async (path) => {
      const opened = await openLog(path);
      await opened.close();
      expect((await LogEnd.in(path)).known).toBeUndefined();
      await makeLog(path, { entries: [entry(4)] });
      expect(await tryOpen(path)).toBe(4);
    });
  });
});

describe('what to do about a lost end', () => {
  it.each([
    [['n1', 'n2', 'n3'], /remove the member .*--join\. If other members say the same, .*wipe nothing/],
    [['n1', 'n2'], /no majority without this one, so do not wipe .*Copy it, .*delete LOG-END/],
    [['n1'], /no majority without this one, so do not wipe .*Copy it, .*delete LOG-END/],
  ])('of a member of %j', async (members, advice) => {
    await withTemporaryDirectory(async (path) => {
      await makeLog(path, { entries: [entry(4)] }, members);
      const { path: file, record } = await lastRecord(path);
      await truncate(file, record.offset);
      const refusal = await tryOpen(path);
      expect(refusal).toMatchObject({ message: expect.stringMatching(LOST), data: { index: 4 } });
      expect((refusal as RaftkvError).message).toMatch(advice);
      // The only copy is never wiped.
      if (members.length < 3) expect((refusal as RaftkvError).message).not.toContain('--join');
      // As the advice says, it goes on with what is left.
      await rm(join(path, 'LOG-END'));
      expect(await tryOpen(path)).toBe(3);
      expect((await LogEnd.in(path)).of('one')).toMatchObject({ writes: 3, lastIndex: 3 });
    });
  });
});

describe('a note', () => {
  it('row 30: ends the log where a write cannot be noted, although it is on disk', async () => {
    const notes: number[] = [];
    let isBroken = false;
    const end = {
      known: undefined,
      of: () => undefined,
      note: ({ writes }: { readonly writes: number }) => {
        if (isBroken) throw new RaftkvError('storage_unusable', 'The disk failed.');
        notes.push(writes);
      },
    };
    const log = await LogStore.open(await new MemoryDisk().directory().open('log'), end);
    await log.writeBootstrap(identity, { term: 1, vote: null, commit: 1 }, [entry(1)], 'state-1');
    isBroken = true;
    await expect(log.write(persist({ entries: [entry(2)] }))).rejects.toThrow('The disk failed.');
    isBroken = false;
    await expect(log.write(persist({ entries: [entry(3)] }))).rejects.toThrow(AssertionError);
    expect(notes).toEqual([1]);
  });

  it('row 2: is written after the sync of the write, and before anybody hears of it', async () => {
    const steps: string[] = [];
    let complete = () => {};
    const disk = new MemoryDisk((write) => {
      complete = () => {
        steps.push('synced');
        write.complete();
      };
    });
    const end = { known: undefined, of: () => undefined, note: () => steps.push('noted') };
    const log = await LogStore.open(await disk.directory().open('log'), end);
    const writing = log
      .writeBootstrap(identity, { term: 1, vote: null, commit: 1 }, [entry(1)], 'state-1')
      .then(() => steps.push('told'));
    expect(steps).toEqual([]);
    complete();
    await writing;
    expect(steps).toEqual(['synced', 'noted', 'told']);
  });
});
