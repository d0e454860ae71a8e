import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import type { MembershipPlan, SetMembersResult } from '../../src/http/port.js';
import { call, membersOf } from './client.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { Load } from './load.js';
import { until } from './wait.js';

/** New processes have to start, and the machine may be busy. */
const REPLACEMENT_MS = 60_000;

describe('two of three voters, the leader among them', () => {
  let cluster: Cluster;
  let load: Load;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
    load = Load.start(cluster, { prefix: 'replaced/' });
  });
  afterAll(async () => {
    await load?.stop();
    await cluster?.remove();
  });

  it('are replaced by two new nodes with one request, and nothing that was acknowledged is lost', async () => {
    await load.progress(50);
    const leader = await cluster.leader();
    const [staying, leaving] = cluster.nodes.filter((node) => node !== leader);
    const [kept, other] = [present(staying, 'There are three.'), present(leaving, 'There are three.')];
    const endpoints = cluster.nodes.map((node) => node.url).join(',');
    const newcomers = [await cluster.addNode(), await cluster.addNode()];
    const voters = [kept, ...newcomers];
    const request = (query: string) =>
      call(
        kept.url,
        '/v1/members',
        { query: `redirect=never&${query}`, timeoutMs: REPLACEMENT_MS },
        {
          method: 'PUT',
          body: JSON.stringify({ members: voters.map(({ id, peer }) => ({ id, peer })) }),
        },
      );

    const planned = await request('plan=true');
    expect(planned.status).toBe(200);
    const plan = (await planned.json()) as MembershipPlan;
    expect(plan.steps.map(({ step }) => step)).toEqual(['addLearner', 'catchUp', 'joint', 'final']);
    expect(plan.liveVotersAfter).toEqual([kept.id]);
    expect(plan.warnings).toEqual([
      expect.stringContaining('n4 cannot be reached yet'),
      expect.stringContaining('n5 cannot be reached yet'),
      expect.stringContaining(`${leader.id} leads and leaves`),
    ]);
    expect(await membersOf(kept.url)).toHaveLength(3);

    const replaced = request(`timeout=${REPLACEMENT_MS}ms`);
    for (const node of newcomers) node.start(['--join', endpoints]);
    const answer = await replaced;
    const result = (await answer.json()) as SetMembersResult;
    expect([answer.status, result]).toEqual([
      200,
      {
        voters: idsOf(voters),
        added: idsOf(newcomers),
        removed: idsOf([leader, other]),
      },
    ]);
    await cluster.voters(...idsOf(voters));
    await load.progress(50);

    for (const node of [leader, other]) {
      const removed = await until(`${node.id} says that it was removed`, async () => {
        const status = await node.status();
        return status?.role === 'removed' ? status : undefined;
      });
      expect(removed.reason).toContain('remov');
      expect((await call(node.url, '/readyz')).status).toBe(503);
    }
    await load.stop();
    for (const node of [leader, other]) expect(await node.stop()).toEqual({ code: 0, signal: null });
    await load.verify();
    expect(new Set((await cluster.settled()).values()).size).toBe(1);

    // The new three can lose one, like the old.
    await (await cluster.leader()).kill();
    await cluster.put('replaced/after', 'with two of the new three');
  });
});

function idsOf(nodes: readonly TestNode[]): readonly string[] {
  return nodes.map((node) => node.id).sort();
}
