import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { filesOf, flip, spoil } from '../storage/damage-kit.js';
import { call, put } from './client.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';

/** A node's disk is damaged while it is stopped. */
describe('a node whose disk was damaged while it was stopped', () => {
  let cluster: Cluster;
  let node: TestNode;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.of(1);
    node = cluster.node('n1');
    // Each start turns the write-ahead logs before it into tables.
    for (let start = 0; start < 3; start += 1) {
      node.start(start === 0 ? cluster.founding : []);
      await cluster.ready();
      for (let key = 0; key < 20; key += 1) await put(node.url, `key-${key}`, `value ${start} of ${key}`);
      await node.stop();
    }
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
