import { afterEach, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { call, membersOf } from './client.js';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { until } from './wait.js';

let cluster: Cluster | undefined;
showLogsOfFailures(() => cluster);
afterEach(() => cluster?.remove());

it('finds together again when all nodes had moved, one after the other, and then all start anew', async () => {
  const nodes = await Cluster.started(3);
  cluster = nodes;
  await nodes.put('before', 'the move');
  for (const { id } of [...nodes.nodes]) {
    const moved = await nodes.moved(nodes.node(id));
    moved.start();
    await nodes.ready();
    await until(`the new addresses of ${id} in the configuration`, async () => {
      const members = await membersOf((await nodes.leader()).url);
      const member = members.find((candidate) => candidate.id === id);
      return member?.peer === moved.peer && member.client === moved.url ? true : undefined;
    });
  }
  await Promise.all(nodes.nodes.map((node) => node.kill()));
  for (const node of nodes.nodes) node.start();
  await nodes.ready();
  await nodes.put('after', 'the move');
  expect(new Set((await nodes.settled()).values()).size).toBe(1);
});

it('row 17: tells a node that was away when it was removed, which then disturbs nobody', async () => {
  const nodes = await Cluster.started(3);
  cluster = nodes;
  const away = await nodes.follower();
  await away.kill();
  const leader = await nodes.leader();
  const { status } = await call(leader.url, `/v1/members/${away.id}`, {}, { method: 'DELETE' });
  expect(status).toBe(200);
  // Everybody that could still tell by itself is gone, too.
  for (const node of nodes.running) {
    await node.stop();
    node.start();
    await nodes.leader();
  }
  const before = present(await (await nodes.leader()).status(), 'The leader answers.').term;
  away.start();
  const told = await until('the removed node says so', async () => {
    const own = await away.status();
    return own?.role === 'removed' ? own : undefined;
  });
  expect(told.reason).toContain('--join');
  await nodes.put('still', 'here');
  expect((await (await nodes.leader()).status())?.term).toBe(before);
});
