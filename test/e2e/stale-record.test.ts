import { afterAll, beforeAll, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { currentKey } from '../../src/kv/record-codec.js';
import { FIRST_STATE_DIRECTORY } from '../../src/node/bootstrap.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import type { OrderedStore } from '../../src/storage/ordered-store.js';
import { call } from './client.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { until } from './wait.js';

let cluster: Cluster;
showLogsOfFailures(() => cluster);
beforeAll(async () => {
  cluster = await Cluster.started(3);
});
afterAll(() => cluster?.remove());

const record = currentKey(Buffer.from('a'));

async function withState<Value>(
  node: TestNode,
  task: (state: OrderedStore) => Promise<Value>,
): Promise<Value> {
  const state = await (await LevelDirectory.at(node.dataDirectory)).open(FIRST_STATE_DIRECTORY);
  try {
    return await task(state);
  } finally {
    await state.close();
  }
}

it('a member with an older record of a key, whose files are whole, finds it while it runs and replaces its state', async () => {
  await until('a cluster whose states have sums', async () => {
    const statuses = await Promise.all(cluster.nodes.map((one) => one.status()));
    return statuses.every((status) => (status?.clusterVersion ?? 0) >= 2) ? true : undefined;
  });
  const node = cluster.node('n3');
  await cluster.put('a', 'old');
  await cluster.settled();
  await node.stop();
  const older = await withState(node, async (state) => present(state.get(record), 'It was put.'));
  node.start();
  await cluster.ready();
  await cluster.put('a', 'new');
  await cluster.settled();
  await node.stop();
  await withState(node, (state) => state.write([{ kind: 'put', key: record, value: older }]));
  const run = node.start();
  await until('a repair', async () => {
    const answer = await call(node.url, '/metrics').catch(() => undefined);
    return (await answer?.text())?.includes('raftkv_storage_repairs_total 1\n') ? true : undefined;
  });
  await cluster.ready();
  expect(run.exit).toBeUndefined();
  expect(node.log).toMatch(
    /the key \\"a\\" has a value of revision \d+, and its record says that revision \d+ is the newest/,
  );
  expect(await (await call(node.url, '/v1/kv/a?consistency=stale')).text()).toBe('new');
  expect(new Set((await cluster.settled()).values()).size).toBe(1);
});
