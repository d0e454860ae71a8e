import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Prng } from '../../src/sim/prng.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { checkStore } from '../../src/storage/store-check.js';
import { copyOf, filesOf, findingsIn, flip, makeStore, spoil } from './damage-kit.js';

const PAGE_BYTES = 4096;

describe("the check of a store's files (rule 29)", () => {
  const random = new Prng(29, 'damage');
  let path = '';
  /** A store that every test leaves as it was. */
  let location = '';

  beforeAll(async () => {
    path = await mkdtemp(join(tmpdir(), 'raftkv-test-'));
    location = await makeStore(path, 'state-1', random);
  });
  afterAll(() => rm(path, { recursive: true, force: true }));

  const pick = async (pattern: RegExp) => {
    const files = (await filesOf(location)).filter(({ name, size }) => pattern.test(name) && size > 0);
    return files[random.integer(0, files.length - 1)] ?? { name: '', path: '', size: 0 };
  };

  it('finds nothing in a store that is whole, and in one that is not made yet', async () => {
    expect(await findingsIn(location)).toEqual([]);
    const files = await filesOf(location);
    // How many there are depends on when LevelDB merges four of them into one.
    expect(files.filter(({ name }) => name.endsWith('.ldb')).length).toBeGreaterThanOrEqual(2);
    expect(files.find(({ name }) => name.endsWith('.log'))?.size).toBeGreaterThan(2 * 32 * 1024);
    await mkdir(join(path, 'empty'));
    expect(await findingsIn(join(path, 'empty'))).toEqual([]);
  });

  it.each([/\.ldb$/, /\.log$/, /^MANIFEST/, /^CURRENT$/])(
    'finds one flipped bit wherever it is, in %s',
    async (pattern) => {
      for (let trial = 0; trial < 60; trial += 1) {
        const file = await pick(pattern);
        const bit = random.integer(0, 8 * file.size - 1);
        const mend = await spoil(file.path, flip(bit));
        const findings = await findingsIn(location);
        await mend();
        expect([bit, findings]).toEqual([bit, [expect.objectContaining({ kind: 'damage' })]]);
        // A name that is wrong in CURRENT is a manifest that is missing.
        if (file.name !== 'CURRENT') expect(findings[0]?.file).toBe(file.name);
        expect(findings[0]?.offset).toBeLessThanOrEqual(Math.floor(bit / 8));
      }
    },
  );

  it('finds one flipped bit in each byte of the last record of a write-ahead log, which LevelDB drops in silence', async () => {
    const file = await pick(/\.log$/);
    const bytes = await readFile(file.path);
    // The last write was small: its record is within the last bytes.
    for (let at = file.size - 40; at < file.size; at += 1) {
      const mend = await spoil(file.path, flip(8 * at + random.integer(0, 7)));
      const [finding] = await findingsIn(location);
      await mend();
      expect([at, finding]).toEqual([at, expect.objectContaining({ kind: 'damage', file: file.name })]);
    }
    expect(await readFile(file.path)).toEqual(bytes);
  });

  it('finds a page of zeros, and takes it for an unfinished write at the end of a write-ahead log alone', async () => {
    let torn = 0;
    for (let trial = 0; trial < 80; trial += 1) {
      const file = await pick(trial % 2 === 0 ? /\.ldb$/ : /\.log$/);
      const page = PAGE_BYTES * random.integer(0, Math.floor((file.size - 1) / PAGE_BYTES));
      const isChanged = (await readFile(file.path))
        .subarray(page, page + PAGE_BYTES)
        .some((byte) => byte !== 0);
      const mend = await spoil(file.path, (bytes) =>
        bytes.fill(0, page, Math.min(page + PAGE_BYTES, bytes.length)),
      );
      const findings = await findingsIn(location);
      await mend();
      expect([file.name, page, findings.length]).toEqual([file.name, page, isChanged ? 1 : 0]);
      if (findings[0]?.kind !== 'torn') continue;
      torn += 1;
      expect(file.name).toMatch(/\.log$/);
      expect(page).toBeGreaterThanOrEqual(file.size - 2 * PAGE_BYTES);
    }
    expect(torn).toBeLessThan(10);
  });

  it('finds a table that is cut off or longer, and a file that is missing', async () => {
    for (const file of await filesOf(location)) {
      const cut = random.integer(1, file.size);
      for (const change of [
        (bytes: Buffer) => bytes.subarray(0, bytes.length - cut),
        (bytes: Buffer) => Buffer.concat([bytes, Buffer.from([0])]),
      ]) {
        if (!file.name.endsWith('.ldb')) continue;
        const mend = await spoil(file.path, change);
        expect(await findingsIn(location)).toEqual([
          expect.objectContaining({ kind: 'damage', file: file.name }),
        ]);
        await mend();
      }
      await rename(file.path, join(path, 'away'));
      const findings = await findingsIn(location);
      await rename(join(path, 'away'), file.path);
      expect(findings).toEqual([{ kind: 'damage', file: file.name, offset: 0, what: 'it is missing' }]);
    }
  });

  it('takes a write-ahead log that is cut off for one that ends in an unfinished write', async () => {
    const file = await pick(/\.log$/);
    for (let trial = 0; trial < 40; trial += 1) {
      const length = random.integer(1, file.size - 1);
      const mend = await spoil(file.path, (bytes) => bytes.subarray(0, length));
      const findings = await findingsIn(location);
      await mend();
      // Where it is cut between two records, nothing tells.
      expect(findings.length).toBeLessThanOrEqual(1);
      if (findings[0] === undefined) continue;
      expect(findings[0]).toMatchObject({ kind: 'torn', file: file.name });
      expect(findings[0].offset).toBeLessThan(length);
    }
  });

  it('finds damage before an unfinished write, and does not take what a value holds for records', async () => {
    const file = await pick(/\.log$/);
    const mend = await spoil(file.path, (bytes) => flip(8 * 5000 + 3)(bytes.subarray(0, bytes.length - 5)));
    expect(await findingsIn(location)).toEqual([
      expect.objectContaining({ kind: 'damage', file: file.name }),
    ]);
    await mend();
    const other = join(path, 'other');
    const store = await (await LevelDirectory.at(other)).open('state-1');
    await store.write([{ kind: 'put', key: Buffer.from('before'), value: Buffer.from('it') }]);
    // A value that is itself such a file, as a back-up may be.
    const value = (await readFile(file.path)).subarray(0, 20_000);
    await store.write([{ kind: 'put', key: Buffer.from('log'), value }]);
    await store.close();
    const log = (await filesOf(join(other, 'state-1'))).find(({ name }) => name.endsWith('.log'));
    await spoil(log?.path ?? '', (bytes) => bytes.subarray(0, bytes.length - 100));
    expect(await findingsIn(join(other, 'state-1'))).toEqual([expect.objectContaining({ kind: 'torn' })]);
  });

  it('finds tables that stand in the place of each other, though they have the same size', async () => {
    const twin = join(path, 'twin');
    for (const key of ['a', 'b', 'c']) {
      const store = await (await LevelDirectory.at(twin)).open('state-1');
      await store.write([{ kind: 'put', key: Buffer.from(key), value: Buffer.from('1') }]);
      await store.close();
    }
    await (await (await LevelDirectory.at(twin)).open('state-1')).close();
    const at = join(twin, 'state-1');
    expect(await findingsIn(at)).toEqual([]);
    const [one, other] = (await filesOf(at)).filter(({ name }) => name.endsWith('.ldb'));
    expect(one?.size).toBe(other?.size);
    await rename(one?.path ?? '', join(path, 'away'));
    await rename(other?.path ?? '', one?.path ?? '');
    await rename(join(path, 'away'), other?.path ?? '');
    expect(await findingsIn(at)).toEqual([
      expect.objectContaining({ kind: 'damage', file: one?.name }),
      expect.objectContaining({ kind: 'damage', file: other?.name }),
    ]);
  });

  it('finds a write-ahead log of another store by its keys, and of another time by its numbers', async () => {
    const own = await findAll(location, (beginning) => Buffer.from(beginning).toString().startsWith('key/'));
    expect(own).toEqual([]);
    const foreign = await findAll(location, (beginning) =>
      Buffer.from(beginning).toString().startsWith('log/'),
    );
    expect(foreign).toEqual([expect.objectContaining({ what: 'the record there belongs to another store' })]);
    const young = join(path, 'young');
    await (await (await LevelDirectory.at(young)).open('state-1')).close();
    const log = (await filesOf(join(young, 'state-1'))).find(({ name }) => name.endsWith('.log'));
    const { path: later } = await pick(/\.log$/);
    await writeFile(log?.path ?? '', await readFile(later));
    expect(await findingsIn(join(young, 'state-1'))).toEqual([
      expect.objectContaining({ kind: 'damage', what: expect.stringMatching(/change 1 is missing/) }),
    ]);
  });

  it('reads pieces of at most 1 MiB', async () => {
    let most = 0;
    let sum = 0;
    const afterPiece = (bytes: number) => {
      most = Math.max(most, bytes);
      sum += bytes;
      return undefined;
    };
    for await (const finding of checkStore(location, { afterPiece })) expect(finding).toBe(undefined);
    expect(most).toBeLessThanOrEqual(1024 * 1024);
    const bytes = (await filesOf(location)).reduce((total, { size }) => total + size, 0);
    expect(sum).toBeGreaterThanOrEqual(bytes - 'MANIFEST-000000\n'.length);
    expect(sum).toBeLessThan(1.5 * bytes);
  });

  it('leaves everything as it is, and a store is refused before LevelDB touches it', async () => {
    const copy = await copyOf(path, await mkdtemp(join(tmpdir(), 'raftkv-test-')));
    try {
      const file = (await filesOf(join(copy, 'state-1'))).find(({ name }) => name.endsWith('.ldb'));
      await spoil(file?.path ?? '', flip(8 * 100));
      const before = await contents(join(copy, 'state-1'));
      const opening = (await LevelDirectory.at(copy)).open('state-1');
      await expect(opening).rejects.toMatchObject({
        code: 'storage_damaged',
        message: expect.stringMatching(
          /^The node's state is damaged: .*\/state-1\/\d+\.ldb, at byte 0: a block there does not match.*ask another member/,
        ),
      });
      expect(await contents(join(copy, 'state-1'))).toEqual(before);
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  });
});

async function findAll(location: string, ownsKey: (beginning: Uint8Array) => boolean) {
  const found = [];
  for await (const finding of checkStore(location, { ownsKey })) found.push(finding);
  return found;
}

async function contents(location: string): Promise<readonly string[]> {
  const files = await filesOf(location);
  return await Promise.all(
    files.map(async ({ name, path }) => `${name} ${(await readFile(path)).toString('base64')}`),
  );
}
