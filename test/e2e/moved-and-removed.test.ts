import { afterEach, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { get, membersOf } from './client.js';
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

it('finds together again when all nodes have moved at once, by the addresses in --initial-cluster', async () => {
  const nodes = await Cluster.started(3);
  cluster = nodes;
  await nodes.put('before', 'the move');
  await Promise.all(nodes.nodes.map((node) => node.kill()));
  for (const { id } of [...nodes.nodes]) await nodes.moved(nodes.node(id));
  for (const node of nodes.nodes) node.start(nodes.founding);
  await nodes.ready();
  await nodes.put('after', 'the move');
  expect(await get((await nodes.leader()).url, 'before')).toMatchObject({ value: 'the move' });
  expect(nodes.node('n1').log).toContain('already: --initial-cluster does not change its members');
  expect(nodes.nodes.some(({ log }) => /where --initial-cluster has it/.test(log))).toBe(true);

  // What the flag brought about is written down, so nobody needs it again.
  await until('the new addresses in the configuration', async () => {
    const members = await membersOf((await nodes.leader()).url);
    const isWritten = members.every(({ id, peer, client }) => {
      const node = nodes.node(id);
      return peer === node.peer && client === node.url;
    });
    return isWritten || undefined;
  });
  await nodes.settled();
  await Promise.all(nodes.nodes.map((node) => node.kill()));
  for (const node of nodes.nodes) node.start();
  await nodes.ready();
});

it('goes on with the members that it knows where --initial-cluster names nodes of another cluster', async () => {
  const nodes = await Cluster.started(3);
  cluster = nodes;
  const other = await Cluster.started(1);
  try {
    await Promise.all(nodes.nodes.map((node) => node.kill()));
    const [first, second, third] = nodes.nodes;
    const stranger = present(other.nodes[0], 'The other cluster has one node.');
    const addresses = [`n1=${first?.peer}`, `n2=${stranger.peer}`, `n3=${third?.peer}`].join(',');
    first?.start(['--initial-cluster', addresses]);
    await until('the stranger is refused', () =>
      /n2.*--initial-cluster/.test(first?.log ?? '') ? true : undefined,
    );
    second?.start();
    await nodes.ready();
    await nodes.put('still', 'here');
    expect((await stranger.status())?.role).toBe('leader');
  } finally {
    await other.remove();
  }
});

it('row 17: tells a node that was away when it was removed, which then disturbs nobody', async () => {
  const nodes = await Cluster.started(3);
  cluster = nodes;
  const away = await nodes.follower();
  await away.kill();
  await nodes.removeMember(away.id);
  // Everybody that could still tell by itself is gone, too.
  for (const node of nodes.running) {
    await node.stop();
    node.start();
    await nodes.leader();
  }
  const rest = nodes.running;
  const run = away.start();
  const told = await until('the removed node says so', async () => {
    const own = await away.status();
    return own?.role === 'removed' ? own : undefined;
  });
  expect(told.reason).toContain('--join');
  await nodes.put('still', 'here');
  // Whatever the term is: on a busy machine the others may have elected somebody meanwhile.
  expect(run.output).not.toContain('becameCandidate');
  const disturbed = new RegExp(`"${away.id} (campaigns in|is in) term`);
  for (const node of rest) expect(node.run?.output).not.toMatch(disturbed);
});
