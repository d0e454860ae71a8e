import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { afterEach, expect, it } from 'vitest';
import type { ClusterVersionStatus, NodeStatus } from '../../src/http/port.js';
import { call } from './client.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { earlierProgram } from './earlier-program.js';
import { Load } from './load.js';
import { currentProgram } from './program.js';
import { expectRefusal } from './refusals.js';
import { until } from './wait.js';

let cluster: Cluster | undefined;
showLogsOfFailures(() => cluster);
afterEach(() => cluster?.remove());

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/**
 * One request at one node, which does the work itself; asked again while the cluster is between two leaders. Where the first answer
 * was lost, the key has the node give it again.
 */
async function ask(
  node: TestNode,
  method: string,
  path: string,
  body?: unknown,
  idempotencyKey: string = randomUUID(),
): Promise<Answer> {
  const takesKey = method !== 'GET' && /^\/v1\/(kv|txn|leases|locks)\b/.test(path);
  const headers: Record<string, string> = takesKey ? { 'idempotency-key': idempotencyKey } : {};
  return until(`an answer of ${node.id} to ${method} ${path}`, async () => {
    const init = { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    const response = await call(node.url, path, { query: 'redirect=never', headers }, init).catch(
      () => undefined,
    );
    if (response === undefined) return undefined;
    const text = await response.text();
    if (response.status === 503 || response.status === 504) return undefined;
    return { status: response.status, body: JSON.parse(text) as Record<string, unknown> };
  });
}

/** Every kind of change, asked of each node in turn: what one program proposes, the other has to apply. */
class Clients {
  private count = 0;
  private lease = '';
  private token = 0;

  /** What is taken by the old program and held until the end. */
  async begin(node: TestNode): Promise<void> {
    this.lease = String((await ask(node, 'POST', '/v1/leases', { ttlSeconds: 3600 })).body['lease']);
    await ask(node, 'PUT', `/v1/kv/kept?lease=${this.lease}`, 'leased');
    const lock = await ask(node, 'POST', '/v1/locks/kept', { ttlSeconds: 3600 });
    this.token = Number(lock.body['token']);
    expect([lock.status, this.lease]).toEqual([200, '1']);
  }

  async useAll(nodes: readonly TestNode[]): Promise<void> {
    for (const node of nodes) await this.use(node);
  }

  private async use(node: TestNode): Promise<void> {
    this.count += 1;
    const name = `${node.id}-${this.count}`;
    const txn = {
      compare: [{ key: `t/${name}`, target: 'exists', op: '=', value: false }],
      success: [
        { put: { key: `t/${name}`, value: name } },
        { put: { key: 'last', value: name } },
        { get: { prefix: `t/${name}` } },
      ],
      failure: [{ get: { key: `t/${name}` } }],
    };
    const once = `txn-${name}`;
    const done = await ask(node, 'POST', '/v1/txn', txn, once);
    expect([done.status, done.body['succeeded']], JSON.stringify(done.body)).toEqual([200, true]);
    // Repeated at the same node, under the same key: the first answer again, not the other branch.
    const again = await ask(node, 'POST', '/v1/txn', txn, once);
    expect(again.body['succeeded']).toBe(true);

    const { lease } = (await ask(node, 'POST', '/v1/leases', { ttlSeconds: 600 })).body;
    expect((await ask(node, 'PUT', `/v1/kv/l/${name}?lease=${lease}`, name)).status).toBe(201);
    expect((await ask(node, 'POST', `/v1/leases/${lease}/keepalive`)).status).toBe(200);
    expect((await ask(node, 'DELETE', `/v1/leases/${lease}`)).status).toBe(200);
    expect((await ask(node, 'GET', `/v1/kv/l/${name}`)).status).toBe(404);

    const lock = await ask(node, 'POST', `/v1/locks/${name}`, { ttlSeconds: 600 });
    expect(lock.status, JSON.stringify(lock.body)).toBe(200);
    expect(Number(lock.body['token'])).toBeGreaterThan(this.token);
    expect((await ask(node, 'DELETE', `/v1/locks/${name}?token=${lock.body['token']}`)).status).toBe(200);

    const kept = await ask(node, 'GET', '/v1/locks/kept');
    expect(kept.body).toMatchObject({ held: true, token: this.token });
    expect((await ask(node, 'GET', `/v1/leases/${this.lease}`)).body).toMatchObject({
      keys: [{ key: 'kept' }],
    });
  }

  /** What was held from the beginning is given back, and goes with its keys. */
  async end(node: TestNode): Promise<void> {
    expect((await ask(node, 'DELETE', `/v1/locks/kept?token=${this.token}`)).status).toBe(200);
    expect((await ask(node, 'DELETE', `/v1/leases/${this.lease}`)).status).toBe(200);
    expect((await ask(node, 'GET', '/v1/kv/kept')).status).toBe(404);
  }
}

it('rolls a cluster up, back, and up again under load, until older programs are locked out', async (context) => {
  const earlier = await earlierProgram();
  if ('reason' in earlier) {
    console.warn(`Skipped: ${earlier.reason}`);
    return context.skip(earlier.reason);
  }
  const { program } = earlier;
  // The earlier program ignores a variable that it does not know. The raise comes by command alone.
  cluster = await Cluster.started(3, {
    program,
    flags: ['--log-entries-max', '50'],
    environment: { RAFTKV_UPGRADE_DELAY: '1h' },
  });
  const nodes = cluster;
  const [first, second, third] = nodes.nodes as [TestNode, TestNode, TestNode];
  const clients = new Clients();
  await clients.begin(first);
  const load = Load.start(nodes, { prefix: 'load/', writers: 4 });

  const restart = async (node: TestNode, as: string) => {
    expect(await node.stop()).toEqual({ code: 0, signal: null });
    node.program = as;
    node.start();
    await nodes.ready();
  };
  const leadBy = async (node: TestNode) => {
    await until(`${node.id} leads`, async () => {
      const leader = await nodes.leader();
      if (leader === node) return true;
      await call(leader.url, '/v1/leader', {}, { method: 'POST', body: JSON.stringify({ to: node.id }) })
        .then((response) => response.arrayBuffer())
        .catch(() => {});
      return undefined;
    });
  };
  const versionOf = async (node: TestNode) => ((await node.status()) as NodeStatus).clusterVersion;

  // One new follower under an old leader.
  await leadBy(second);
  await restart(first, currentProgram);
  // Such a leader appends what it is sent without decoding it, and would end for good when it applies it.
  const tooNew = [
    ['/v1/compact', {}],
    ['/v1/kv/count?add=1', undefined],
    ['/v1/txn', { success: [{ put: { key: 'timed', value: '1', ttlSeconds: 60 } }] }],
    ['/v1/txn', { success: [{ add: { key: 'count', delta: 1 } }] }],
  ] as const;
  for (const [path, body] of tooNew) {
    const refused = await ask(first, 'POST', path, body);
    expect([refused.status, refused.body['code']], `${path}: ${JSON.stringify(refused.body)}`).toEqual([
      409,
      'cluster_not_upgraded',
    ]);
  }
  await clients.useAll(nodes.running);
  // A new leader over old followers: a transaction through it stopped both of them.
  await leadBy(first);
  await clients.useAll(nodes.running);
  const early = await ask(first, 'PUT', '/v1/cluster-version', { clusterVersion: 2 });
  expect(early).toMatchObject({ status: 409, body: { code: 'cluster_not_upgraded' } });
  expect(early.body['missing']).toEqual(['n2', 'n3']);

  // Back again, on the directory that the new program wrote.
  await restart(first, program);
  await clients.useAll(nodes.running);

  // A member that joins meanwhile is an old one.
  const fourth = await nodes.addNode();
  fourth.start(['--join', first.url]);
  await nodes.voters('n1', 'n2', 'n3', 'n4');
  for (const node of [first, second, third]) {
    await restart(node, currentProgram);
    await clients.useAll(nodes.running);
  }
  const missing = await ask(third, 'PUT', '/v1/cluster-version', { clusterVersion: 2 });
  expect(missing).toMatchObject({ status: 409, body: { missing: ['n4'] } });
  await restart(fourth, currentProgram);
  expect(await versionOf(first)).toBe(1);

  // All are new, and one can still go back.
  await restart(second, program);
  await clients.useAll(nodes.running);
  await restart(second, currentProgram);
  await leadBy(third);
  await until('all reports', async () => {
    const { body } = await ask(first, 'GET', '/v1/cluster-version');
    return (body as unknown as ClusterVersionStatus).spokenByAll === 2 ? true : undefined;
  });
  const raised = await ask(first, 'PUT', '/v1/cluster-version', { clusterVersion: 2 });
  expect(raised).toEqual({ status: 200, body: { clusterVersion: 2 } });
  for (const node of nodes.nodes) {
    await until(`${node.id} at version 2`, async () => ((await versionOf(node)) === 2 ? true : undefined));
  }
  await clients.useAll(nodes.running);

  // From here on the earlier program neither starts on the directory nor harms it …
  await second.stop();
  second.program = program;
  await expectRefusal(
    second.start(),
    1,
    'The state has format 5; this version of raftkv reads format 4',
    'Nothing was changed.',
  );
  second.program = currentProgram;
  second.start();
  await nodes.ready();
  // … nor joins.
  const fifth = await nodes.addNode();
  const joining = fifth.start(['--join', first.url]);
  await expectRefusal(joining, 1, 'n5 speaks cluster version 1 and the cluster has moved to version 2');
  nodes.nodes.pop();

  await load.stop();
  await load.verify();
  await clients.useAll(nodes.running);
  await clients.end(fourth);
  const digests = await nodes.settled();
  expect(new Set(digests.values()).size, JSON.stringify([...digests])).toBe(1);
  expect(nodes.running).toHaveLength(4);
  // Each snapshot that arrives makes a state of a higher number; the log is so short that nodes which come back need one.
  const states = (await Promise.all(nodes.nodes.map((node) => readdir(node.dataDirectory)))).flat();
  expect(
    states.some((name) => /^state-([2-9]|\d\d)/.test(name)),
    states.join(' '),
  ).toBe(true);
});
