import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { Prng } from '../../src/sim/prng.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import type { OrderedStore } from '../../src/storage/ordered-store.js';
import { TableWatch } from '../../src/storage/table-watch.js';
import { until } from '../e2e/wait.js';
import { FakeClock } from '../node/fake-clock.js';
import { filesOf, flipInPlace, makeStore } from './damage-kit.js';

const SECOND_MS = 1000;

describe('the check of tables in the background (rule 29)', () => {
  let path = '';
  let location = '';
  let clock: FakeClock;
  let told: string[];
  let watch: TableWatch;

  beforeAll(async () => {
    path = await mkdtemp(join(tmpdir(), 'raftkv-test-'));
    location = await makeStore(path, 'state-1', new Prng(29, 'watch'));
  });
  afterAll(() => rm(path, { recursive: true, force: true }));
  beforeEach(() => {
    clock = new FakeClock();
    told = [];
    watch = watchOf();
  });

  const watchOf = (locations = () => [location]) =>
    new TableWatch({
      clock,
      locations,
      onDamage: (where, { file, offset, what }) => told.push(`${where} ${file} ${offset} ${what}`),
      onError: (error) => told.push(String(error)),
    });

  /** Time passes, second by second, until something holds; none of it passes while the watch waits for the disk. */
  const passUntil = async (holds: () => boolean): Promise<number> => {
    const begun = clock.now();
    await until('what is waited for', async () => {
      while (clock.isAwaited && !holds()) await clock.pass(SECOND_MS);
      return holds() ? true : undefined;
    });
    return clock.now() - begun;
  };

  const tables = async () => (await filesOf(location)).filter(({ name }) => name.endsWith('.ldb'));
  const tableBytes = async () => (await tables()).reduce((sum, { size }) => sum + size, 0);

  it('reads all of them again and again, at a pace, and tells nothing where they are whole', async () => {
    watch.start();
    const bytes = await tableBytes();
    const tookMs = await passUntil(() => watch.readBytes >= 3 * bytes);
    await watch.stop();
    expect(told).toEqual([]);
    expect(watch.readBytes / (tookMs / SECOND_MS)).toBeLessThan(1024 * 1024);
    // Two more passes begin after half a minute each.
    expect(tookMs).toBeGreaterThan(2 * 30 * SECOND_MS);
  });

  it('finds a bit that flipped in a table that was whole before', async () => {
    watch.start();
    await passUntil(() => watch.readBytes > 0);
    const { path: table, name } = present((await tables())[1], 'There are tables.');
    await flipInPlace(table, 8 * 200 + 3);
    await passUntil(() => told.length > 0);
    await flipInPlace(table, 8 * 200 + 3);
    await watch.stop();
    expect(told).toEqual([`${location} ${name} 0 a block there does not match its checksum`]);
  });

  it('finds damage in a new table within seconds, and nothing in tables that come and go', async () => {
    const store = await (await LevelDirectory.at(path)).open('state-1');
    watch.start();
    await passUntil(() => watch.readBytes > 0);
    const before = new Set((await tables()).map(({ name }) => name));
    await rewrite(store);
    expect((await tables()).some(({ name }) => !before.has(name))).toBe(true);
    const readBefore = watch.readBytes;
    await passUntil(() => watch.readBytes > readBefore + 100_000);
    await rewrite(store);
    const newest = present((await tables()).at(-1), 'There are tables.');
    await flipInPlace(newest.path, 8 * 200);
    const tookMs = await passUntil(() => told.length > 0);
    await flipInPlace(newest.path, 8 * 200);
    await watch.stop();
    await store.close();
    expect(told).toEqual([expect.stringContaining(`${newest.name} 0 a block there`)]);
    expect(tookMs).toBeLessThan(30 * SECOND_MS);
  });

  it('goes on with the state that a snapshot put in the place of another', async () => {
    const other = await makeStore(join(path, 'other'), 'state-2', new Prng(30, 'watch'));
    let live = location;
    watch = watchOf(() => [live]);
    watch.start();
    await passUntil(() => watch.readBytes > 0);
    live = join(path, 'gone');
    await clock.pass(30 * SECOND_MS);
    live = other;
    const [table] = (await filesOf(other)).filter(({ name }) => name.endsWith('.ldb'));
    await flipInPlace(present(table, 'There are tables.').path, 8 * 200);
    await passUntil(() => told.length > 0);
    await watch.stop();
    expect(told).toEqual([expect.stringMatching(`^${other} \\d+.ldb 0 `)]);
  });

  /** Everything that was written becomes tables, and the ones before go. */
  async function rewrite(store: OrderedStore): Promise<void> {
    const range = { gte: Buffer.from('key/'), lt: Buffer.from('key0') };
    const value = Buffer.alloc(200_000, 'w');
    await store.write([{ kind: 'put', key: Buffer.from('key/00001'), value }]);
    await store.compact(range, Number.MAX_SAFE_INTEGER);
  }
});
