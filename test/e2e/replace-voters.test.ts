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

    // A plan speaks of who leads and who answers at the moment, which a busy machine may change at any time.
    const plan = await until('a plan that the leader of before makes while all answer', async () => {
      const planned = await request('plan=true');
      if (planned.status === 503) return undefined;
      expect(planned.status).toBe(200);
      const plan = (await planned.json()) as MembershipPlan;
      const isCalm = plan.liveVotersAfter.length === 1 && (await cluster.leader()) === leader;
      return isCalm ? plan : undefined;
    });
    expect(plan.steps.map(({ step }) => step)).toEqual(['addLearner', 'catchUp', 'joint', 'final']);
    expect(plan.liveVotersAfter).toEqual([kept.id]);
    expect(plan.warnings).toEqual([
      expect.stringContaining('n4 cannot be reached yet'),
      expect.stringContaining('n5 cannot be reached yet'),
      expect.stringContaining(`${leader.id} leads and leaves`),
    ]);
    expect(await membersOf(kept.url)).toHaveLength(3);

    for (const node of newcomers) node.start(['--join', endpoints]);
    let mayBeDone = false;
    const done = await until('the voters replaced', async () => {
      const answer = await request(`timeout=${REPLACEMENT_MS}ms`);
      if (answer.status === 200) return (await answer.json()) as SetMembersResult;
      // When leadership changes meanwhile, the answer says to ask for the same again.
      expect([503, 504], await answer.text()).toContain(answer.status);
      mayBeDone ||= answer.status === 504;
      return undefined;
    });
    expect(done.voters).toEqual(idsOf(voters));
    // Unless an earlier request did it, whose answer was lost.
    if (!mayBeDone) {
      expect([done.added, done.removed]).toEqual([idsOf(newcomers), idsOf([leader, other])]);
    }
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
