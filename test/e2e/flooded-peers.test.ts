import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { Prng } from '../../src/sim/prng.js';
import { TargetCluster } from '../hostile/cluster.js';
import { Flood } from '../hostile/peers/flood.js';
import { put } from './client.js';
import { until } from './wait.js';

/** How long the flood lasts; it has to be longer than several election timeouts, and to hold hundreds of connections. */
const FLOOD_MS = 5_000;
const CONNECTIONS_MIN = 300;
const PUTS_MIN = 20;

let cluster: TargetCluster | undefined;
afterEach(() => cluster?.remove());

it('strangers who flood the peer ports of a cluster with a secret cost no leadership, and writes go on', async () => {
  cluster = await TargetCluster.started();
  const { nodes } = cluster;
  const before = await cluster.settled();
  const { cluster: name, term, leader } = present(before[0], 'There are nodes.');
  const { url } = present(
    nodes.find(({ id }) => id === leader),
    'There is a leader.',
  );
  const ports = nodes.map(({ peerPort }) => peerPort);
  const flood = new Flood(ports, name, 2, new Prng(7, 'flood'));
  let puts = 0;
  try {
    await Promise.all([
      sleep(FLOOD_MS),
      until('a flood', () => (flood.connections >= CONNECTIONS_MIN ? true : undefined)),
      until('writes that go on', async () => {
        const { kind } = await put(url, `flooded/${puts}`, 'x', { query: 'redirect=never' });
        if (kind === 'done') puts += 1;
        return puts >= PUTS_MIN ? true : undefined;
      }),
    ]);
  } finally {
    console.info('flooded-peers:', puts, 'writes beside connections of', await flood.stop());
  }
  const after = await cluster.settled();
  expect(after.map((status) => status.term)).toEqual(nodes.map(() => term));
  expect(after[0]?.leader).toBe(leader);
});
