import { afterEach, describe, expect, it } from 'vitest';
import { RaftkvClient, RaftkvClientError } from '../../src/client/index.js';
import { until } from '../e2e/wait.js';
import { type Answering, deadUrl, FakeServer, sendJson, sendProblem } from './fake-server.js';

const servers: FakeServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

/** Servers that all answer as members of one cluster; the list of its members can be changed. */
async function cluster(size: number) {
  const nodes: FakeServer[] = [];
  const urls: string[] = [];
  const state = { listed: size };
  const answer =
    (id: string): Answering =>
    ({ path }, response) => {
      response.setHeader('Raftkv-Node', id);
      response.setHeader('Raftkv-Cluster', 'c1');
      const listed = urls.slice(0, state.listed);
      const members = listed.map((client, place) => ({ id: `n${place + 1}`, client, health: 'healthy' }));
      if (path === '/v1/members') sendJson(response, 200, { members });
      else sendJson(response, 200, { key: 'a', revision: 1, created: true });
    };
  for (let place = 0; place < size; place += 1) {
    const server = await FakeServer.started(answer(`n${place + 1}`));
    nodes.push(server);
    urls.push(server.url);
    servers.push(server);
  }
  return { nodes, state };
}

function first<Value>(values: readonly Value[]): Value {
  const [value] = values;
  if (value === undefined) throw new Error('There is none.');
  return value;
}

const asked = (server: FakeServer) => server.arrived.map(({ path }) => path);

describe('discovery', () => {
  it('learns all members from one endpoint, and goes on with them when that one is gone', async () => {
    const { nodes } = await cluster(3);
    const one = first(nodes);
    const client = new RaftkvClient({ endpoints: [one.url], discover: true });
    await client.put('a', '1');
    await until('the members asked for', () => (asked(one).includes('/v1/members') ? true : undefined));
    await until('the members learned', async () =>
      (await client.statuses()).length === 3 ? true : undefined,
    );
    await one.close();
    servers.splice(servers.indexOf(one), 1);
    expect(await client.put('a', '2')).toMatchObject({ revision: 1 });
  });

  it('is beside the calls: one whose members cannot be asked is answered all the same', async () => {
    const server = await FakeServer.started(({ path }, response) => {
      if (path === '/v1/members') sendProblem(response, 500, 'internal');
      else sendJson(response, 200, { key: 'a', revision: 1, created: true });
    });
    servers.push(server);
    const client = new RaftkvClient({ endpoints: [server.url], discover: true });
    expect(await client.put('a', '1')).toMatchObject({ revision: 1 });
  });

  it('is not done unless it is asked for', async () => {
    const { nodes } = await cluster(3);
    const one = first(nodes);
    const client = new RaftkvClient({ endpoints: [one.url] });
    for (let count = 0; count < 5; count += 1) await client.put('a', '1');
    expect(asked(one)).not.toContain('/v1/members');
    expect(await client.statuses()).toHaveLength(1);
  });

  it('asks once for many calls', async () => {
    const { nodes } = await cluster(1);
    const one = first(nodes);
    const client = new RaftkvClient({ endpoints: [one.url], discover: true });
    for (let count = 0; count < 20; count += 1) await client.put('a', '1');
    expect(asked(one).filter((path) => path === '/v1/members')).toHaveLength(1);
  });
});

describe('the members', () => {
  it('are asked of a member where a node that was removed answers first', async () => {
    const { nodes, state } = await cluster(3);
    state.listed = 2;
    const [one, , removed] = nodes.map(({ url }) => url);
    const client = new RaftkvClient({ endpoints: [removed ?? '', one ?? ''] });
    expect((await client.members()).map(({ id }) => id)).toEqual(['n1', 'n2']);
    expect(asked(first(nodes))).toEqual(['/v1/members']);
  });

  it('fail with not_a_member where nobody else answers', async () => {
    const { nodes, state } = await cluster(3);
    state.listed = 2;
    const client = new RaftkvClient({ endpoints: [nodes[2]?.url ?? '', await deadUrl()] });
    const error = await client.members().catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(RaftkvClientError);
    expect(error).toMatchObject({ code: 'not_a_member' });
    expect(String(error)).toContain('n3 was removed from the cluster');
  });
});
