import { afterEach, describe, expect, it } from 'vitest';
import { NotReachableError, RaftkvClient, RaftkvClientError } from '../../src/client/index.js';
import { type Answer, FakeServer, hangUp, json, problem, redirect } from './fake-cluster.js';

const put = { revision: 1, created: true };
const servers: FakeServer[] = [];

async function start(...answers: Answer[]): Promise<FakeServer> {
  const server = await FakeServer.start(...answers);
  servers.push(server);
  return server;
}

const clientOf = (...endpoints: FakeServer[]) =>
  new RaftkvClient({ endpoints: endpoints.map(({ url }) => url), timeoutMs: 2_000 });
const keysOf = ({ requests }: FakeServer) => requests.map(({ headers }) => headers['idempotency-key']);

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

describe('a call', () => {
  it('follows to the leader with its body, and goes there first from then on', async () => {
    const leader = await start(json(201, put));
    const follower = await start(redirect(() => leader.url));
    const client = clientOf(follower);
    await client.put('a', 'x');
    await client.put('b', 'y');
    expect(leader.bodies).toEqual(['x', 'y']);
    expect(follower.requests).toHaveLength(1);
  });

  it('asks the node to do it itself where the leader cannot be reached by its name', async () => {
    const follower = await start(
      redirect(() => 'http://127.0.0.1:9'),
      json(201, put),
    );
    await clientOf(follower).put('a', 'x');
    expect(follower.requests[1]?.url).toContain('redirect=never');
    expect(new Set(keysOf(follower)).size).toBe(1);
  });

  it.each([
    ['a connection that breaks', hangUp],
    ['an unknown outcome', problem(504, 'outcome_unknown')],
    ['no leader', problem(503, 'no_leader')],
    ['a node that stops', problem(503, 'shutting_down')],
  ])('is repeated after %s, under the same Idempotency-Key', async (_, first) => {
    const server = await start(first, first, json(201, put));
    expect(await clientOf(server).put('a', 'x')).toEqual(put);
    expect(server.requests).toHaveLength(3);
    const keys = new Set(keysOf(server));
    expect(keys.size).toBe(1);
    expect([...keys][0]).toMatch(/^[0-9a-f-]{36}$/);
    // Another call is another request.
    await clientOf(server).put('a', 'x');
    expect(new Set(keysOf(server)).size).toBe(2);
  });

  it('goes to the next endpoint when one does not answer', async () => {
    const dead = await start(hangUp);
    const alive = await start(json(200, { revision: 3, items: [] }));
    const client = clientOf(dead, alive);
    for (let call = 0; call < 4; call += 1) expect((await client.list()).revision).toBe(3);
    // A read promises nothing that a key would be needed for.
    expect(keysOf(alive)).toEqual([undefined, undefined, undefined, undefined]);
  });

  it.each([
    [400, 'bad_request'],
    [404, 'lease_not_found'],
    [412, 'precondition_failed'],
    [422, 'idempotency_mismatch'],
  ])('is not repeated after %i %s', async (status, code) => {
    const server = await start(problem(status, code, { revision: 5 }));
    const failed = clientOf(server).put('a', 'x', { ifRevision: 4 });
    await expect(failed).rejects.toMatchObject({ status, code, problem: { revision: 5 } });
    await expect(failed).rejects.toBeInstanceOf(RaftkvClientError);
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]?.headers['if-match']).toBe('"4"');
  });

  it('ends in time with the last refusal, or says that nobody can be reached', async () => {
    const busy = await start(problem(503, 'no_leader'));
    const client = new RaftkvClient({ endpoints: [busy.url], timeoutMs: 200 });
    await expect(client.put('a', 'x')).rejects.toMatchObject({ code: 'no_leader' });
    const nobody = new RaftkvClient({ endpoints: ['http://127.0.0.1:9'], timeoutMs: 200 });
    await expect(nobody.put('a', 'x')).rejects.toBeInstanceOf(NotReachableError);
  });

  it('spells keys so that no URL folds them, and refuses the two that none can carry', async () => {
    const server = await start(json(201, put));
    const client = clientOf(server);
    await client.put('a/../b c', 'x');
    await client.put(Uint8Array.of(0xff, 0x2f), 'x');
    expect(server.requests.map(({ url }) => url.split('?')[0])).toEqual([
      '/v1/kv/a%2F%2E%2E%2Fb%20c',
      '/v1/kv/%FF%2F',
    ]);
    await expect(client.put('..', 'x')).rejects.toBeInstanceOf(TypeError);
  });
});
