import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { filesOf, flip, flipInPlace, spoil } from '../storage/damage-kit.js';
import { call, put } from './client.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { clusterWithTables } from './tables.js';
import { until } from './wait.js';

/** A node's disk is damaged while it is stopped. */
describe('a node whose disk was damaged while it was stopped', () => {
  let cluster: Cluster;
  let node: TestNode;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await clusterWithTables();
    node = cluster.node('n1');
  });
  afterAll(() => cluster?.remove());

  it.each([
    ['log', /\.ldb$/, "The node's log is damaged"],
    ['log', /\.log$/, "The node's log is damaged"],
    ['log', /^MANIFEST/, "The node's log is damaged"],
    ['state-1', /\.ldb$/, "The node's state is damaged"],
    ['state-1', /\.log$/, "The node's state is damaged"],
    ['state-1', /^CURRENT$/, "The node's state is damaged"],
  ])('refuses to start, and names the place, for one bit in %s/%s', async (store, pattern, sentence) => {
    const files = await filesOf(join(node.dataDirectory, store));
    const { path, size } = present(
      files.find((file) => pattern.test(file.name) && file.size > 0),
      'There is such a file.',
    );
    const mend = await spoil(path, flip(8 * Math.floor(size / 2)));
    const run = node.start();
    const { code } = await run.ended();
    await mend();
    expect(code).toBe(1);
    expect(run.errors).toContain(sentence);
    if (!pattern.test('CURRENT')) expect(run.errors).toContain(`${path}, at byte `);
    expect(run.errors).toMatch(
      store === 'log'
        ? /remove the member from the cluster, wipe its data directory and start it with --join/
        : /No other member has a copy of the state. Nothing was changed: restore the data directory from a backup/,
    );
    // One advice, and not the one to wipe what no other member has.
    if (store !== 'log') expect(run.errors).not.toContain('wipe');
    expect(run.errors).not.toMatch(/^ +at /m);
  });

  it('starts, and has everything, once the bits are as they were', async () => {
    node.start();
    await cluster.ready();
    expect(await (await call(node.url, '/v1/kv/key-19')).text()).toBe('value 2 of 19');
  });
});

describe('a member whose state is damaged', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
    for (let key = 0; key < 20; key += 1) await cluster.put(`key-${key}`, `value of ${key}`);
    await cluster.settled();
    for (const node of cluster.nodes) await node.stop();
    for (const node of cluster.nodes) node.start();
    await cluster.ready();
  });
  afterAll(() => cluster?.remove());

  it('waits for a leader, says so, and stops in good order meanwhile', async () => {
    for (const node of cluster.nodes) await node.stop();
    const node = cluster.node('n3');
    const { path } = await placeOf(node, 'value of 7');
    const mend = await spoil(path, flip(8 * 40));
    const run = node.start();
    const reason = await until('the reason', async () => {
      const answer = await call(node.url, '/readyz').catch(() => undefined);
      const { reason } = ((await answer?.json()) ?? {}) as { readonly reason?: string };
      return reason?.includes('waits for the leader') === true ? reason : undefined;
    });
    expect(reason).toContain(
      'repairing its state, and waits for the leader to send it. No member leads that could',
    );
    const metrics = await (await call(node.url, '/metrics')).text();
    expect(metrics).toContain('raftkv_storage_damaged 1\n');
    expect(await node.stop()).toEqual({ code: 0, signal: null });
    expect(run.errors).toBe('');
    expect(run.output).not.toContain('goes on to stop');
    await mend();
    for (const other of cluster.nodes) other.start();
    await cluster.ready();
  });

  it('beside another one whose state is, says whom it waits for, in words that do not grow', async () => {
    for (const node of cluster.nodes) await node.stop();
    const [n1, n2, n3] = ['n1', 'n2', 'n3'].map((id) => cluster.node(id)) as [TestNode, TestNode, TestNode];
    const mends: (() => Promise<void>)[] = [];
    for (const node of [n2, n3]) {
      const { path } = await placeOf(node, 'value of 7');
      mends.push(await spoil(path, flip(8 * 40)));
    }
    const waits = (node: TestNode, other: TestNode) =>
      until(`${node.id} waiting for ${other.id}`, async () => {
        const answer = await call(node.url, '/readyz').catch(() => undefined);
        const { reason } = ((await answer?.json()) ?? {}) as { readonly reason?: string };
        return reason?.includes(`${other.id}: ${other.id} is repairing its state`) === true
          ? reason
          : undefined;
      });
    for (const node of [n1, n2, n3]) node.start();
    await waits(n2, n3);
    await waits(n3, n2);
    // It asks one that has heard answers already.
    await n3.stop();
    n3.start();
    expect(await waits(n3, n2)).toBe(
      'repairing its state, and waits for the leader to send it. n2: n2 is repairing its state',
    );
    for (const node of cluster.nodes) await node.stop();
    for (const mend of mends) await mend();
    for (const node of cluster.nodes) node.start();
    await cluster.ready();
  });

  it('as the leader, while it runs, hands over, reads nothing any more and replaces its state in the same process', async () => {
    const leader = await cluster.leader();
    const { run } = leader;
    const { path, bit } = await placeOf(leader, 'value of 7');
    await flipInPlace(path, bit);
    await isRepaired(leader);
    // Its tables are checked in the background, and so are its records; whichever comes to the place first tells of it.
    const ofTable = `The node's state is damaged: ${path}, at byte `;
    const ofRecord = `The node's state is damaged. In ${dirname(path)}: A version of revision `;
    expect([ofTable, ofRecord].some((line) => leader.log.includes(line))).toBe(true);
    expect(leader.log).toContain('This node repairs that: a snapshot of the leader');
    const successor = await until('another leader', async () => {
      const found = await cluster.leader();
      return found === leader ? undefined : found;
    });
    expect((await put(successor.url, 'key-8', 'newer')).kind).toBe('done');
    await cluster.ready();
    expect(leader.run).toBe(run);
    expect(leader.isUp).toBe(true);
    expect(new Set((await cluster.settled()).values()).size).toBe(1);
    const metrics = await (await call(leader.url, '/metrics')).text();
    expect(metrics).toContain('raftkv_storage_repairs_total 1\n');
    expect(metrics).toContain('raftkv_storage_damaged 0\n');
    const { warnings } = (await (await call(leader.url, '/v1/status')).json()) as {
      readonly warnings: string[];
    };
    expect(warnings).toEqual([]);
    for (const [key, value] of [
      ['key-7', 'value of 7'],
      ['key-8', 'newer'],
    ])
      expect(await (await call(leader.url, `/v1/kv/${key}?consistency=stale`)).text()).toBe(value);
  });

  it('which a read finds first, answers that read with an error, and replaces it', async () => {
    const follower = await unrepairedFollower(cluster);
    const { path, bit } = await placeOf(follower, 'value of 11');
    await flipInPlace(path, bit);
    const read = await call(follower.url, '/v1/kv/key-11?consistency=stale');
    expect(read.status).toBe(500);
    expect(await read.json()).toMatchObject({
      code: 'storage_damaged',
      detail: expect.stringContaining('ask another member'),
    });
    await isRepaired(follower);
    await cluster.ready();
    const again = await call(follower.url, '/v1/kv/key-11?consistency=stale');
    expect(await again.text()).toBe('value of 11');
  });

  it('while it is stopped, replaces it at its start, and serves nothing older than before', async () => {
    const repaired = present(
      cluster.nodes.find(({ log }) => !log.includes(REPAIRED)),
      'Two were repaired.',
    );
    const { path } = await placeOf(repaired, 'value of 7');
    await repaired.stop();
    await spoil(path, flip(8 * 40));
    const revision = await cluster.put('key-9', 'newest');
    repaired.start();
    await cluster.ready();
    expect(repaired.log).toContain(`The node's state is damaged: ${path}, at byte `);
    const read = await call(repaired.url, `/v1/kv/key-9?consistency=stale&minRevision=${revision}`);
    expect(await read.text()).toBe('newest');
    expect(new Set((await cluster.settled()).values()).size).toBe(1);
  });

  it('a second time within a day is refused with an advice, and nothing is deleted', async () => {
    const node = present(
      cluster.nodes.find(({ log }) => log.includes(REPAIRED)),
      'One was repaired.',
    );
    await node.stop();
    const store = (await readdir(node.dataDirectory)).find((name) => name.startsWith('state-')) ?? '';
    const [file] = (await filesOf(join(node.dataDirectory, store))).filter(({ name }) =>
      name.startsWith('MANIFEST'),
    );
    const { path } = present(file, 'There is a manifest.');
    const mend = await spoil(path, flip(8 * 20));
    const run = node.start();
    expect((await run.ended()).code).toBe(1);
    expect(run.errors).toContain(
      'repaired less than a day ago already (1 hour), so this disk cannot be trusted',
    );
    expect(run.errors).toMatch(
      /Nothing was changed: replace the disk, remove the member from the cluster, and start it with --join/,
    );
    await mend();
    node.start();
    await cluster.ready();
  });
});

const REPAIRED = 'The state was replaced by a snapshot';

function isRepaired(node: TestNode): Promise<true> {
  return until(`the state of ${node.id} replaced`, () => (node.log.includes(REPAIRED) ? true : undefined));
}

function unrepairedFollower(cluster: Cluster): Promise<TestNode> {
  return until('a follower that was not repaired yet', async () => {
    const leader = await cluster.leader();
    return cluster.nodes.find((node) => node !== leader && !node.log.includes(REPAIRED));
  });
}

/** A bit of a value in a table of a node's state. */
async function placeOf(
  node: TestNode,
  value: string,
): Promise<{ readonly path: string; readonly bit: number }> {
  for (const { name, path } of await filesOf(join(node.dataDirectory, 'state-1'))) {
    const at = name.endsWith('.ldb') ? (await readFile(path)).indexOf(value) : -1;
    if (at >= 0) return { path, bit: 8 * at };
  }
  throw new Error(`No table holds ${value}.`);
}
