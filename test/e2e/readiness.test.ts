import { afterAll, beforeAll, expect, it } from 'vitest';
import { isReady } from './client.js';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { until } from './wait.js';

const MISSED = 400;

let cluster: Cluster;
showLogsOfFailures(() => cluster);
beforeAll(async () => {
  cluster = await Cluster.started(3, { flags: ['--log-entries-max', '4000'] });
});
afterAll(() => cluster?.remove());

it('a node that comes back far behind is ready when it has applied what was committed meanwhile, and not before', async () => {
  const follower = await cluster.follower();
  await follower.stop();
  const value = 'x'.repeat(20_000);
  for (let count = 0; count < MISSED; count += 1) await cluster.put(`missed/${count}`, value);
  const leader = await cluster.leader();
  const committed = (await leader.status())?.commitIndex ?? Number.POSITIVE_INFINITY;
  follower.start();
  await until('ready', async () => ((await isReady(follower.url)) ? true : undefined));
  // Asked after it was found ready, when it may have applied more. On a node that is ready too early, much is missing.
  expect((await follower.status())?.appliedIndex).toBeGreaterThanOrEqual(committed);
  const key = `${follower.url}/v1/kv/missed/${MISSED - 1}?consistency=stale`;
  expect((await fetch(key)).status).toBe(200);
});
