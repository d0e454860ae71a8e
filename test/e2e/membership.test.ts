import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { call, get, membersOf } from './client.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { Load } from './load.js';
import { until } from './wait.js';

// The log is so short that whoever misses a moment needs a snapshot.
const SHORT_LOG = ['--log-entries-max', '50'];

describe('members that come and go', () => {
  let cluster: Cluster;
  let load: Load;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3, { flags: SHORT_LOG });
    load = Load.start(cluster, { prefix: 'membership/' });
  });
  afterAll(async () => {
    await load?.stop();
    await cluster?.remove();
  });

  it('brings a follower back by a snapshot when the log was compacted meanwhile', async () => {
    const follower = await cluster.follower();
    await follower.kill();
    const missed = (await (await cluster.leader()).status())?.lastIndex ?? 0;
    await until('the log compacted', async () => {
      const status = await (await cluster.leader()).status();
      return status !== undefined && status.firstIndex > missed + 1 ? true : undefined;
    });
    follower.start();
    await until('the follower caught up', async () => {
      const [leader, own] = [await (await cluster.leader()).status(), await follower.status()];
      const isNear = leader && own && own.appliedIndex > missed && own.firstIndex > missed;
      return isNear && leader.leader === own.leader ? true : undefined;
    });
    const sender = await cluster.leader();
    expect(sender.log).toContain(`Sending ${follower.id} a snapshot`);
    await load.progress(50);
    await load.stop();
    await load.verify();
    expect(new Set((await cluster.settled()).values()).size).toBe(1);
  });

  it('adds two members that promote themselves, and then removes the leader', async () => {
    load = Load.start(cluster, { prefix: 'membership/grown/' });
    const endpoints = cluster.nodes.map((node) => node.url).join(',');
    for (const id of ['n4', 'n5']) {
      const node = await cluster.addNode();
      expect(node.id).toBe(id);
      node.start(['--join', endpoints]);
      await cluster.voters(...cluster.nodes.map((member) => member.id));
    }
    // Of whatever kind a voter is: on a busy machine it may have been elected meanwhile.
    const own = await until('the status of n4', () => cluster.node('n4').status());
    expect(['follower', 'preCandidate', 'candidate', 'leader']).toContain(own.role);
    await load.progress(50);

    const leader = await cluster.leader();
    const asked = present(
      cluster.nodes.find((node) => node !== leader),
      'There are five.',
    );
    const answer = await until('an answer to the removal', async () => {
      const { status, body } = await removal(asked, leader.id);
      // Between two leaders, or while the others were not heard lately: the refusal says to ask again.
      return status >= 503 || body.code === 'quorum_at_risk' ? undefined : { status, body };
    });
    expect(answer).toEqual({ status: 200, body: { removed: leader.id } });
    const removed = await until('the node that was removed says so', async () => {
      const status = await leader.status();
      return status?.role === 'removed' ? status : undefined;
    });
    expect(removed.reason).toContain('remov');
    const rest = cluster.nodes.filter((node) => node !== leader).map((node) => node.id);
    await cluster.voters(...rest);
    await load.progress(50);
    await load.stop();

    // It stays where it was left, is not ready for clients, and disturbs nobody.
    const readiness = await call(leader.url, '/readyz');
    expect([readiness.status, await readiness.text()]).toEqual([
      503,
      expect.stringContaining('this node was removed from the cluster'),
    ]);
    expect(await leader.stop()).toEqual({ code: 0, signal: null });
    const again = leader.start();
    await until('it still knows that it was removed', async () =>
      (await leader.status())?.role === 'removed' ? true : undefined,
    );
    expect(again.output).not.toContain('becameCandidate');
    await leader.stop();
    await load.verify();
    expect(new Set((await cluster.settled()).values()).size).toBe(1);

    // The four can lose one more.
    await (await cluster.follower()).kill();
    await cluster.put('membership/after', 'with three of four');
  });

  it('lets a removed member come back under its name with an empty directory', async () => {
    const victim = present(
      cluster.nodes.find((node) => !node.isUp && node.run?.exit?.signal === 'SIGKILL'),
      'The test before killed one.',
    );
    const [other] = cluster.running;
    const { url } = present(other, 'Others run.');
    await cluster.removeMember(victim.id);
    const replacement = await cluster.replacementOf(victim);
    replacement.start(['--join', url]);
    await until('it is a voter again', async () => {
      const members = await membersOf((await cluster.leader()).url);
      return members.find((member) => member.id === victim.id)?.role === 'voter' ? true : undefined;
    });
    expect(await get(replacement.url, 'membership/after', { query: 'redirect=never' })).toMatchObject({
      value: 'with three of four',
    });
    expect(new Set((await cluster.settled()).values()).size).toBe(1);
  });
});

async function removal(asked: TestNode, id: string) {
  const answer = await call(
    asked.url,
    `/v1/members/${id}`,
    { query: 'redirect=never' },
    { method: 'DELETE' },
  );
  return { status: answer.status, body: (await answer.json()) as { code?: string; removed?: string } };
}
