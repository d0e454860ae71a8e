import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call } from './client.js';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { until } from './wait.js';

describe('a founding node whose disk is lost, started as at its first start', () => {
  let cluster: Cluster;
  let founding: readonly string[];
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.of(3);
    founding = [...cluster.founding, '--join', cluster.nodes.map(({ url }) => url).join(',')];
    for (const node of cluster.nodes) node.start(founding);
    await cluster.ready();
  });
  afterAll(() => cluster?.remove());

  it('waits and says what to do, and joins by itself once its old self is removed', async () => {
    await cluster.put('kept', 'x');
    const lost = await cluster.follower();
    const node = await cluster.replacementOf(lost);
    node.start(founding);
    const advice = `raftkv member remove ${node.id}`;
    await until('the advice in its log', () => (node.log.includes(advice) ? true : undefined));
    const readiness = await call(node.url, '/readyz');
    const { reason } = (await readiness.json()) as { readonly reason?: string };
    expect([readiness.status, reason]).toEqual([503, expect.stringContaining(advice)]);
    expect(node.isUp).toBe(true);

    await cluster.removeMember(node.id);
    await cluster.voters('n1', 'n2', 'n3');
    await cluster.ready();
    expect(await (await call(node.url, '/v1/kv/kept?redirect=never')).text()).toBe('x');
    expect(new Set((await cluster.settled()).values()).size).toBe(1);
    // One process: nothing has started it again and again.
    expect(node.log.split(advice)).toHaveLength(2);
  });
});
