import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
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
      /remove the member from the cluster, wipe its data directory and start it with --join/,
    );
    expect(run.errors).not.toMatch(/^ +at /m);
  });

  it('starts, and has everything, once the bits are as they were', async () => {
    node.start();
    await cluster.ready();
    expect(await (await call(node.url, '/v1/kv/key-19')).text()).toBe('value 2 of 19');
  });
});

describe('a leader whose disk is damaged while it runs', () => {
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

  it('hands over, reads nothing any more and says what to do, and the cluster goes on', async () => {
    const leader = await cluster.leader();
    const { path, bit } = await placeOf(leader, 'value of 7');
    await flipInPlace(path, bit);
    const reason = await until('the damage found', async () => {
      const answer = await call(leader.url, '/readyz');
      const { reason } = (await answer.json()) as { readonly reason?: string };
      return answer.status === 503 && reason?.includes('damaged') === true ? reason : undefined;
    });
    expect(reason).toContain(`in quarantine: The node's state is damaged: ${path}, at byte `);
    expect(reason).toMatch(
      /remove the member from the cluster, wipe its data directory and start it with --join/,
    );
    const successor = await until('another leader', async () => {
      const found = await cluster.leader();
      return found === leader ? undefined : found;
    });
    expect(await (await call(successor.url, '/v1/kv/key-7')).text()).toBe('value of 7');
    expect((await put(successor.url, 'key-7', 'newer')).kind).toBe('done');
    expect((await call(leader.url, '/v1/kv/key-7?consistency=stale')).status).toBe(503);
    const metrics = await (await call(leader.url, '/metrics')).text();
    expect(metrics).toContain('raftkv_storage_damaged 1\n');
    const { warnings } = (await (await call(leader.url, '/v1/status')).json()) as {
      readonly warnings: string[];
    };
    expect(warnings).toEqual([expect.stringContaining(path)]);
    expect(leader.isUp).toBe(true);
    // At the next start it is found before anything is opened.
    await leader.stop();
    expect((await leader.start().ended()).code).toBe(1);
  });
});

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
