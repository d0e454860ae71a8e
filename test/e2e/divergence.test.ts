import { afterAll, beforeAll, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { decodeMeta, encodeMeta, metaKey } from '../../src/kv/meta-codec.js';
import { FIRST_STATE_DIRECTORY } from '../../src/node/bootstrap.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { call, isReady, put } from './client.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { until } from './wait.js';

let cluster: Cluster;
showLogsOfFailures(() => cluster);
beforeAll(async () => {
  cluster = await Cluster.started(3);
});
afterAll(async () => {
  await cluster?.remove();
});

/** Turns one bit of what the state of a node that does not run says of itself. */
async function changeState(node: TestNode): Promise<void> {
  const directory = await LevelDirectory.at(node.dataDirectory);
  const state = await directory.open(FIRST_STATE_DIRECTORY);
  const meta = decodeMeta(present(state.get(metaKey), 'The state was flushed.'));
  const value = encodeMeta({ ...meta, digest: (meta.digest ^ 1) >>> 0 });
  await state.write([{ kind: 'put', key: metaKey, value }]);
  await state.close();
}

it('a member whose state is another than that of the majority goes into quarantine, and the others go on', async () => {
  const [node, ...others] = cluster.nodes.toReversed();
  const differing = present(node, 'There are three nodes.');
  await until('a cluster that compares digests', async () => {
    const statuses = await Promise.all(cluster.nodes.map((one) => one.status()));
    return statuses.every((status) => (status?.clusterVersion ?? 0) >= 2) ? true : undefined;
  });
  expect((await put(cluster.nodes[0]?.url ?? '', 'a', '1')).kind).toBe('done');
  await differing.stop();
  await changeState(differing);
  differing.start();
  const reason = await until('a quarantine', async () => {
    const status = await differing.status();
    return status?.reason.includes('is in quarantine') ? status.reason : undefined;
  });
  expect(reason).toMatch(
    /The digests|They have differed since entry \d+|The first entry after which they differ is \d+/,
  );

  expect(differing.run?.exit).toBeUndefined();
  const ready = await call(differing.url, '/readyz');
  expect([ready.status, await ready.text()]).toEqual([503, expect.stringContaining('in quarantine')]);
  const read = await call(differing.url, '/v1/kv/a?consistency=stale&redirect=never');
  expect(read.status).toBe(503);
  for (const other of others) {
    expect(await isReady(other.url)).toBe(true);
    expect((await put(other.url, 'a', '2')).kind).toBe('done');
  }
});
