import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { Load } from './load.js';

/** How long a failover takes is measured by `npm run bench -- --gaps`. */
const KILLS = 5;

describe('failover', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
  });
  afterAll(() => cluster?.remove());

  it('takes writes again after each kill of the leader, in a higher term, and loses no acknowledged write', async () => {
    const load = Load.start(cluster, { prefix: 'failover/' });
    for (let kill = 0; kill < KILLS; kill += 1) {
      await load.progress(50);
      const leader = await cluster.leader();
      const term = (await leader.status())?.term ?? 0;
      await leader.kill();
      await load.progress(50);
      const successor = await cluster.leader();
      expect(successor.id).not.toBe(leader.id);
      expect((await successor.status())?.term).toBeGreaterThan(term);
      leader.start();
      await cluster.ready();
    }
    await load.stop();
    await load.verify();
  });
});
