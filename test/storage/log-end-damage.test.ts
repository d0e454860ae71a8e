import { copyFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { checkDirectory, type DirectoryFinding } from '../../src/check-directory.js';
import type { RaftkvError } from '../../src/errors.js';
import { copyOf, findingsIn, flip, flipInPlace, spoil } from './damage-kit.js';
import { entry, identity, LOST, makeLog, openLog, tryOpen } from './log-end-kit.js';
import { lastRecord } from './log-tail.js';

describe('a log whose last record is damaged (rule 29)', () => {
  let path = '';
  let base = '';
  let work = '';
  beforeAll(async () => {
    path = await mkdtemp(join(tmpdir(), 'raftkv-test-'));
    base = join(path, 'base');
    work = join(path, 'work');
  });
  afterAll(() => rm(path, { recursive: true, force: true }));

  describe.each([
    ['an acknowledged entry', { entries: [entry(4)] }],
    ['a vote', { hardState: { term: 2, vote: 'n2', commit: 0 } }],
  ] as const)('which holds %s', (_, last) => {
    beforeAll(async () => {
      await rm(base, { recursive: true, force: true });
      await makeLog(base, last);
    });

    /** Opens a copy of the log whose last record was changed. */
    const openChanged = async (change: (bytes: Buffer, from: number) => Buffer) => {
      await rm(work, { recursive: true, force: true });
      await copyOf(base, work);
      const { path, record } = await lastRecord(work);
      await spoil(path, (bytes) => change(bytes, record.offset));
      return await tryOpen(work);
    };

    it('is refused, whichever byte of it is wrong', async () => {
      const { record } = await lastRecord(base);
      expect(record.end - record.offset).toBeGreaterThan(100);
      for (let at = record.offset; at < record.end; at += 1) {
        const outcome = await openChanged((bytes) => {
          bytes.writeUInt8(bytes.readUInt8(at) ^ 0xff, at);
          return bytes;
        });
        expect([at, outcome]).toEqual([at, expect.objectContaining({ code: 'storage_damaged' })]);
      }
    });

    it('is refused, whichever bit of it is wrong', async () => {
      await rm(work, { recursive: true, force: true });
      await copyOf(base, work);
      const { path, record } = await lastRecord(work);
      const leftToLevel: number[] = [];
      for (let bit = 8 * record.offset; bit < 8 * record.end; bit += 1) {
        await flipInPlace(path, bit);
        const found = await findingsIn(dirname(path));
        if (!found.some(({ kind }) => kind === 'damage')) leftToLevel.push(bit);
        await flipInPlace(path, bit);
      }
      // Where the files do not show it, LevelDB drops the record.
      for (const bit of leftToLevel) {
        const outcome = await openChanged(flip(bit));
        expect([bit, outcome]).toEqual([bit, expect.objectContaining({ code: 'storage_damaged' })]);
      }
    });

    it('is refused where it is zeros, or is cut off anywhere, even between two records', async () => {
      const { record } = await lastRecord(base);
      const zeros = await openChanged((bytes, from) => bytes.fill(0, from));
      expect(zeros).toMatchObject({ code: 'storage_damaged', message: expect.stringMatching(LOST) });
      for (let length = record.offset; length < record.end; length += 3) {
        const outcome = await openChanged((bytes) => bytes.subarray(0, length));
        expect([length, outcome]).toEqual([
          length,
          expect.objectContaining({ code: 'storage_damaged', message: expect.stringMatching(LOST) }),
        ]);
      }
    });

    it('is refused at each start, and the sentence says what is missing and what to do', async () => {
      const first = await openChanged((bytes, from) => bytes.fill(0, from));
      // LevelDB has dropped the record by then.
      const second = await tryOpen(work);
      for (const outcome of [first, second]) {
        expect(outcome).toMatchObject({
          message: expect.stringMatching(
            /had reached index [34] in term [12], .* ends at index 3, .*remove the member from the cluster.*--join/,
          ),
        });
        expect((outcome as RaftkvError).message).not.toContain('Nothing was changed');
      }
    });

    it('is found by raftkv check, which changes nothing', async () => {
      await rm(work, { recursive: true, force: true });
      await copyOf(base, work);
      const { path, record } = await lastRecord(work);
      await spoil(path, (bytes) => bytes.fill(0, record.offset));
      const before = [await readFile(path), await readFile(join(work, 'LOG-END'))];
      const findings: DirectoryFinding[] = [];
      const { whole } = await checkDirectory(work, (finding) => findings.push(finding));
      expect(whole).toBe(false);
      const lost = present(
        findings.find(({ what }) => LOST.test(what)),
        'The loss is found.',
      );
      expect(lost).toMatchObject({ kind: 'damage', store: 'log', file: null });
      // The command gives the advice itself.
      expect(lost.what).not.toContain('--join');
      expect([await readFile(path), await readFile(join(work, 'LOG-END'))]).toEqual(before);
    });

    it('passes where the second place is missing, damaged, unfinished, or knows another log', async () => {
      const changes: (() => Promise<unknown>)[] = [
        () => rm(join(work, 'LOG-END')),
        () => writeFile(join(work, 'LOG-END'), Buffer.alloc(8192, 7)),
        () => truncate(join(work, 'LOG-END'), 0),
        () => writeFile(join(work, 'LOG-END'), Buffer.alloc(1000)),
        async () => {
          const other = join(work, '..', 'other');
          await rm(other, { recursive: true, force: true });
          const opened = await openLog(other);
          for (let write = 0; write < 9; write += 1)
            await opened.log.writeIdentity({ ...identity, incarnation: 'two' });
          await opened.close();
          await copyFile(join(other, 'LOG-END'), join(work, 'LOG-END'));
        },
      ];
      for (const change of changes) {
        await rm(work, { recursive: true, force: true });
        await copyOf(base, work);
        const { path, record } = await lastRecord(work);
        await truncate(path, record.offset);
        await change();
        expect(await tryOpen(work)).toBe(3);
      }
    });
  });
});
