import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { run } from '../cli/kit.js';
import { listening, notPeers, rawText } from '../transport/not-peers.js';
import { call, put } from './client.js';
import { Cluster, showLogsOfFailures, TestNode } from './cluster.js';
import { Load } from './load.js';
import { freePorts } from './ports.js';
import { damage, expectRefusal } from './refusals.js';
import { until } from './wait.js';

// Nodes that do not belong to a cluster, or not any more, come to one that works, and it goes on working.
describe('a running cluster', () => {
  let cluster: Cluster;
  let load: Load;
  const strangers: TestNode[] = [];
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
    load = Load.start(cluster, { prefix: 'refusals/' });
  });
  afterAll(async () => {
    await load?.stop();
    await Promise.all(strangers.map((node) => node.kill()));
    await cluster?.remove();
  });

  async function stranger(id: string): Promise<TestNode> {
    const [http = 0, peer = 0] = await freePorts(2);
    const node = new TestNode(id, join(cluster.directory, `stranger-${strangers.length}`), http, peer, {});
    strangers.push(node);
    return node;
  }

  /** The cluster acknowledges more, and all that it acknowledged before is there. */
  async function goesOn(): Promise<void> {
    await load.progress(30);
  }

  /** What the refusals tell to do: the member is removed, and comes back with an empty directory. */
  async function replace(member: TestNode): Promise<void> {
    await cluster.removeMember(member.id);
    const leader = await cluster.leader();
    const replacement = await cluster.replacementOf(member);
    replacement.start(['--join', leader.url]);
    await cluster.voters('n1', 'n2', 'n3');
  }

  it('refuses a stranger with --initial-cluster and tells it to join', async () => {
    const node = await stranger('n9');
    const table = [...cluster.nodes, node].map((member) => `${member.id}=${member.peer}`).join(',');
    await expectRefusal(
      node.start(['--initial-cluster', table]),
      1,
      /Cluster [0-9a-f]{16} is running already and n9 is not one of its members: start it with --join/,
    );
    await goesOn();
  });

  it('refuses a stranger that calls itself by the name of a member, the leader included', async () => {
    const leader = await cluster.leader();
    for (const { id } of [leader, await cluster.follower()]) {
      const node = await stranger(id);
      const asked = cluster.nodes.find((one) => one.id !== id);
      await expectRefusal(
        node.start(['--join', asked?.url ?? '']),
        1,
        new RegExp(id),
        /[Rr]emove the member/,
        /--join/,
      );
    }
    await goesOn();
  });

  it('refuses a member whose disk is new, started as at first or to join, until it is removed', async () => {
    const follower = await cluster.follower();
    const table = cluster.founding;
    const leader = await cluster.leader();
    const first = await cluster.replacementOf(follower);
    await expectRefusal(
      first.start(table),
      1,
      /data directory is new, lost or restored/,
      new RegExp(`raftkv member remove ${first.id}`),
      /--join and an empty data directory/,
    );
    const second = await cluster.replacementOf(first);
    await expectRefusal(
      second.start(['--join', leader.url]),
      1,
      /lost its disk|data directory/,
      new RegExp(`raftkv member remove ${second.id}`),
      /--join/,
    );
    await goesOn();
    await cluster.removeMember(second.id);
    second.start(['--join', leader.url]);
    await cluster.voters('n1', 'n2', 'n3');
    await goesOn();
  });

  it('refuses a member whose log is damaged, and the others go on', async () => {
    const value = new Uint8Array(2000).fill(120);
    const leader = await cluster.leader();
    for (let place = 0; place < 100; place += 1) await put(leader.url, `filler/${place}`, value);
    const follower = await cluster.follower();
    await follower.stop();
    await damage(join(follower.dataDirectory, 'log'));
    await expectRefusal(
      follower.start(),
      1,
      /log\/\d+\.(?:ldb|log), at byte \d+/,
      /remove the member .*--join/,
      /Nothing was changed/,
    );
    await goesOn();
    await replace(follower);
  });

  it('refuses members whose directories were swapped, and takes them once they are put right', async () => {
    const leader = await cluster.leader();
    const [one, other] = cluster.nodes.filter((node) => node !== leader);
    const first = present(one, 'There are two followers.');
    const second = present(other, 'There are two followers.');
    await first.stop();
    await second.stop();
    await swap(first.dataDirectory, second.dataDirectory);
    for (const [node, owner] of [
      [first, second],
      [second, first],
    ] as const) {
      await expectRefusal(node.start(), 1, `directory belongs to ${owner.id}`, `started as ${node.id}`);
    }
    await swap(first.dataDirectory, second.dataDirectory);
    first.start();
    second.start();
    await cluster.ready();
    await goesOn();
  });

  it('keeps a node of another cluster out that took the address of a member', async () => {
    const follower = await cluster.follower();
    await follower.stop();
    const intruder = new TestNode(
      follower.id,
      join(cluster.directory, 'intruder'),
      follower.httpPort,
      follower.peerPort,
      {},
    );
    strangers.push(intruder);
    intruder.start(['--single']);
    await until('the other cluster serves', async () => {
      const outcome = await put(intruder.url, 'elsewhere', 'x');
      return outcome.kind === 'done' ? true : undefined;
    });
    await goesOn();
    expect(intruder.isUp).toBe(true);
    await intruder.stop();
    follower.start();
    await cluster.ready();
    await goesOn();
  });

  it('lets a node with a mistyped --join ask on and say so, and takes no harm', async () => {
    const node = await stranger('n8');
    const [nowhere = 0] = await freePorts(1);
    const run = node.start(['--join', `http://127.0.0.1:${nowhere}`]);
    await until('it says that nobody answers', () =>
      new RegExp(`Not added yet, and asking again: http://127\\.0\\.0\\.1:${nowhere} does not answer`).test(
        run.output,
      )
        ? true
        : undefined,
    );
    const readiness = await call(node.url, '/readyz');
    expect(readiness.status).toBe(503);
    expect(await readiness.text()).toContain(`asking http://127.0.0.1:${nowhere} to be added`);
    expect(await node.stop()).toEqual({ code: 0, signal: null });
    await goesOn();
  });

  it('says on the command line in words that something else listens where a member is to be', async () => {
    const { url } = await cluster.leader();
    for (const [what, listener] of Object.entries(notPeers)) {
      const other = await listening(listener());
      const planned = await run(['member', 'add', 'n9', other.address, '--plan', '--endpoints', url]);
      await other.close();
      expect(planned, what).toMatchObject({ code: 0, errors: '' });
      expect(planned.output, what).toContain(`${other.address} did not answer: `);
      expect(planned.output, what).not.toMatch(rawText);
    }
    await goesOn();
  });

  it('has lost nothing in all of this', async () => {
    await load.stop();
    await load.verify();
    expect(new Set((await cluster.settled()).values()).size).toBe(1);
    expect(present(cluster.nodes[0], 'There are nodes.').isUp).toBe(true);
  });
});

async function swap(one: string, other: string): Promise<void> {
  await rename(one, `${one}-aside`);
  await rename(other, one);
  await rename(`${one}-aside`, other);
}
