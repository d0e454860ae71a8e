import { afterEach, describe, expect, it, vi } from 'vitest';
import { NotReachableError, RaftkvClient, RaftkvClientError } from '../../src/client/index.js';
import { type Answering, deadUrl, FakeServer, sendJson, sendProblem } from './fake-server.js';
import { answerOf, asTimePasses, fakeTime, fetchFailed, fetchOf, problemOf } from './fake-time.js';

const servers: FakeServer[] = [];

async function fake(answer?: Answering): Promise<FakeServer> {
  const server = await FakeServer.started(answer);
  servers.push(server);
  return server;
}

afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

const putDone: Answering = (_, response) => sendJson(response, 201, { key: 'a', revision: 1, created: true });

const ofNode = { 'Raftkv-Node': 'n1' };

function redirectTo(url: string): Answering {
  return ({ path, query }, response) =>
    query.get('redirect') === 'never'
      ? sendJson(response, 200, { key: 'a', revision: 2, created: false })
      : sendJson(response, 307, {}, { Location: `${url}${path}?${query}` });
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'done',
    (error: unknown) => (error instanceof RaftkvClientError ? error.code : String(error)),
  );
}

describe('a timeout of 40 days', () => {
  it('waits for the answer to the first attempt, of which the server gets an hour', async () => {
    const server = await fake((arrived, response) => setTimeout(() => putDone(arrived, response), 200));
    const client = new RaftkvClient({ endpoints: [server.url], timeoutMs: 40 * 24 * 3_600_000 });
    expect(await client.put('a', 'x')).toMatchObject({ revision: 1 });
    expect(server.arrived.map(({ query }) => query.get('timeout'))).toEqual(['3600000ms']);
  });
});

describe('an entry', () => {
  it('tells its text, its JSON, and what the headers say of the key', async () => {
    const server = await fake((_, response) =>
      sendJson(
        response,
        200,
        { max: 'ü' },
        {
          ETag: '"9"',
          'Raftkv-Revision': '12',
          'Raftkv-Create-Revision': '7',
          'Raftkv-Version': '3',
          'Raftkv-Lease': '5',
          'Raftkv-Consistency': 'linearizable',
        },
      ),
    );
    const client = new RaftkvClient({ endpoints: [server.url] });
    const entry = await client.get('a', { mustExist: true });
    expect([entry.text, entry.json<{ max: string }>().max]).toEqual(['{"max":"ü"}', 'ü']);
    expect(entry).toMatchObject({
      modRevision: 9,
      revision: 12,
      createRevision: 7,
      version: 3,
      lease: '5',
      consistency: 'linearizable',
    });
  });
});

describe('the leader', () => {
  it('row 34: is found by a redirect, to which the body is sent again, and remembered', async () => {
    const leader = await fake(putDone);
    const follower = await fake(redirectTo(leader.url));
    const client = new RaftkvClient({ endpoints: [follower.url] });
    expect(await client.put('a', 'hello')).toMatchObject({ revision: 1 });
    expect([follower.arrived[0]?.body, leader.arrived[0]?.body]).toEqual(['hello', 'hello']);
    expect(leader.arrived[0]?.headers['idempotency-key']).toBe(
      follower.arrived[0]?.headers['idempotency-key'],
    );
    await client.put('a', 'again');
    expect([follower.arrived.length, leader.arrived.length]).toEqual([1, 2]);
  });

  it('is forgotten when it cannot be reached any more, and looked for anew', async () => {
    const first = await fake(putDone);
    const second = await fake(putDone);
    const follower = await fake(redirectTo(first.url));
    const client = new RaftkvClient({ endpoints: [follower.url] });
    await client.put('a', '1');
    await first.close();
    servers.splice(servers.indexOf(first), 1);
    follower.answer = redirectTo(second.url);
    expect(await client.put('a', '2')).toMatchObject({ revision: 1 });
    expect(second.arrived).toHaveLength(1);
  });

  it('is asked no more after it failed, until a redirect names it again', async () => {
    const leader = await fake(putDone);
    const follower = await fake(redirectTo(leader.url));
    const client = new RaftkvClient({ endpoints: [follower.url] });
    await client.put('a', '1');
    leader.answer = (_, response) => response.destroy();
    let elections = 2;
    follower.answer = (arrived, response) => {
      elections -= 1;
      if (elections < 0) putDone(arrived, response);
      else sendProblem(response, 503, 'no_leader');
    };
    await client.put('a', '2');
    expect([leader.arrived.length, follower.arrived.length]).toEqual([2, 4]);
  });

  it('need not be reachable: the node that was asked then does the work, and at once the next time', async () => {
    const follower = await fake(redirectTo(await deadUrl()));
    const client = new RaftkvClient({ endpoints: [follower.url] });
    expect(await client.put('a', 'hello')).toMatchObject({ revision: 2 });
    const requests = follower.arrived.map(({ query, body }) => [query.get('redirect'), body]);
    expect(requests).toEqual([
      [null, 'hello'],
      ['never', 'hello'],
    ]);
    await client.put('a', 'again');
    expect(follower.arrived.at(-1)?.query.get('redirect')).toBe('never');
    expect(follower.arrived).toHaveLength(3);
  });

  it('is not looked for where a browser hides where a redirect leads to', async () => {
    const seen: string[] = [];
    const client = new RaftkvClient({
      endpoints: ['http://n1'],
      fetch: async (url, init) => {
        seen.push(url);
        expect(init.redirect).toBe('manual');
        if (!url.includes('redirect=never')) return { status: 0, headers: new Headers(), body: null };
        return new Response('{"revision":3,"created":true}', { status: 201, headers: ofNode });
      },
    });
    expect(await client.put('a', 'x')).toMatchObject({ revision: 3 });
    expect(seen).toHaveLength(2);
  });

  it('is not followed round and round, nor from https to http', async () => {
    const one = await fake();
    const other = await fake(redirectTo(one.url));
    one.answer = redirectTo(other.url);
    const client = new RaftkvClient({ endpoints: [one.url] });
    expect(await client.put('a', 'x')).toMatchObject({ revision: 2 });
    expect(one.arrived.length + other.arrived.length).toBe(5);

    const seen: string[] = [];
    const secure = new RaftkvClient({
      endpoints: ['https://n1'],
      fetch: async (url) => {
        seen.push(url);
        if (url.includes('redirect=never')) return new Response('{"revision":4}', { headers: ofNode });
        return new Response('{}', { status: 307, headers: { Location: 'http://n2/v1/kv/a' } });
      },
    });
    expect(await secure.put('a', 'x')).toMatchObject({ revision: 4 });
    expect(seen.every((url) => url.startsWith('https://n1/'))).toBe(true);
  });

  it('is not asked for stale reads, nor by a client that follows no redirects', async () => {
    const leader = await fake(putDone);
    const follower = await fake(redirectTo(leader.url));
    const client = new RaftkvClient({ endpoints: [follower.url] });
    await client.put('a', 'x');
    follower.answer = (_, response) => response.writeHead(200, { ETag: '"5"' }).end('stale');
    expect(await client.getText('a', { consistency: 'stale' })).toBe('stale');
    follower.answer = redirectTo(leader.url);
    const before = leader.arrived.length;
    const never = new RaftkvClient({ endpoints: [follower.url], redirects: 'never' });
    expect(await never.put('a', 'x')).toMatchObject({ revision: 2 });
    expect(leader.arrived.length).toBe(before);
  });
});

describe('endpoints', () => {
  it('are asked in turn, and the one that answered comes first the next time', async () => {
    const alive = await fake(putDone);
    const broken = await fake((_, response) => response.destroy());
    const client = new RaftkvClient({ endpoints: [broken.url, await deadUrl(), `${alive.url}/`] });
    await client.put('a', 'x');
    await client.put('a', 'y');
    expect([broken.arrived.length, alive.arrived.length]).toEqual([1, 2]);
  });

  it('that hang do not cost the whole call', async () => {
    fakeTime();
    const asked: URL[] = [];
    const fetch = fetchOf((url) => {
      asked.push(url);
      return url.hostname === 'hung' ? undefined : answerOf(201, { key: 'a', revision: 1, created: true });
    });
    const client = new RaftkvClient({ endpoints: ['http://hung', 'http://alive'], timeoutMs: 8_000, fetch });
    expect(await asTimePasses(client.put('a', 'x', { timeoutMs: 2_000 }))).toMatchObject({ revision: 1 });
    expect(asked.map(({ hostname }) => hostname)).toEqual(['hung', 'alive']);
    expect(asked[0]?.searchParams.get('timeout')).toBe('1000ms');
  });

  it.each([[[]], [['ftp://h']], [['nowhere']], [['http://u:p@h']], [['http://h?q=1']]])(
    '%j are refused',
    (endpoints) => {
      expect(() => new RaftkvClient({ endpoints })).toThrow(RaftkvClientError);
    },
  );

  it('that cannot be reached are waited for, or not', async () => {
    const url = await deadUrl();
    const startedAtMs = performance.now();
    const error = await new RaftkvClient({ endpoints: [url], timeoutMs: 400 })
      .get('a')
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(NotReachableError);
    expect(error).toMatchObject({
      code: 'unreachable',
      status: 0,
      failures: [{ endpoint: url, reason: 'ECONNREFUSED' }],
    });
    expect(performance.now() - startedAtMs).toBeGreaterThan(150);
    const impatient = new RaftkvClient({ endpoints: [url], timeoutMs: 3_600_000, waitForNodes: false });
    expect(await codeOf(impatient.put('a', 'x'))).toBe('unreachable');
  });

  it('say of themselves how they are, each for itself', async () => {
    const alive = await fake((_, response) => sendJson(response, 200, { id: 'n1', role: 'leader' }));
    const closing = await fake((_, response) => sendProblem(response, 503, 'shutting_down'));
    const dead = await deadUrl();
    const client = new RaftkvClient({ endpoints: [alive.url, closing.url, dead] });
    expect(await client.statuses()).toMatchObject([
      { endpoint: alive.url, status: { id: 'n1' } },
      { endpoint: closing.url, error: { code: 'shutting_down' } },
      { endpoint: dead, error: { code: 'unreachable' } },
    ]);
    expect(closing.arrived).toHaveLength(1);
    expect(await client.status()).toMatchObject({ role: 'leader' });
  });
});

/** Does what the contract says of idempotency keys: makes a change once, and gives a repeat the first answer. */
class Counter {
  count = 0;
  readonly keys: string[] = [];
  private readonly answers = new Map<string, object>();

  change(key: string): object {
    this.keys.push(key);
    const known = this.answers.get(key);
    if (known !== undefined) return known;
    this.count += 1;
    const answer = { revision: this.count, created: true };
    this.answers.set(key, answer);
    return answer;
  }
}

describe('a change', () => {
  it('is repeated under one key when its answer is lost, and made once', async () => {
    const counter = new Counter();
    let losses = 3;
    const losing: Answering = ({ headers }, response) => {
      const answer = counter.change(String(headers['idempotency-key']));
      losses -= 1;
      if (losses >= 0) response.destroy();
      else sendJson(response, 201, answer);
    };
    const [one, other] = [await fake(losing), await fake(losing)];
    const client = new RaftkvClient({ endpoints: [one.url, other.url] });
    expect(await client.put('a', 'x')).toMatchObject({ revision: 1 });
    expect([counter.count, counter.keys.length, new Set(counter.keys).size]).toEqual([1, 4, 1]);
    expect([one.arrived.length, other.arrived.length]).toEqual([2, 2]);
    expect(await client.put('a', 'x')).toMatchObject({ revision: 2 });
    expect(new Set(counter.keys).size).toBe(2);
  });

  it.each([
    ['delete', (client: RaftkvClient) => client.delete('a')],
    ['deletePrefix', (client: RaftkvClient) => client.deletePrefix('a')],
    ['txn', (client: RaftkvClient) => client.txn({ success: [{ delete: { key: 'a' } }] })],
    ['grantLease', (client: RaftkvClient) => client.grantLease({ ttlSeconds: 5 })],
    ['revokeLease', (client: RaftkvClient) => client.revokeLease('7')],
    ['lock', (client: RaftkvClient) => client.lock('l')],
    ['unlock', (client: RaftkvClient) => client.unlock('l', 7)],
  ])('by %s has a key, too', async (_, change) => {
    const keys: unknown[] = [];
    const server = await fake(({ headers }, response) => {
      keys.push(headers['idempotency-key']);
      if (keys.length === 1) response.destroy();
      else sendJson(response, 200, { results: [] });
    });
    await change(new RaftkvClient({ endpoints: [server.url] }));
    expect(keys).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/), keys[0]]);
  });

  it('that nobody knows the outcome of is asked for until the time is up, and then called unknown', async () => {
    fakeTime();
    let requests = 0;
    const fetch = fetchOf(() => {
      requests += 1;
      return problemOf(504, 'outcome_unknown');
    });
    const client = new RaftkvClient({ endpoints: ['http://n1'], timeoutMs: 300, fetch });
    const error = await asTimePasses(client.put('a', 'x').catch((caught: unknown) => caught));
    expect(error).toMatchObject({ code: 'outcome_unknown', status: 504, detail: 'It is outcome_unknown.' });
    expect(requests).toBeGreaterThan(1);
  });

  it('that may have been made stays unknown, whatever is said afterwards', async () => {
    fakeTime();
    let requests = 0;
    const fetch = fetchOf(() => {
      requests += 1;
      return requests === 1 ? Promise.reject(fetchFailed('ECONNRESET')) : problemOf(503, 'no_leader');
    });
    const client = new RaftkvClient({ endpoints: ['http://n1'], timeoutMs: 300, fetch });
    expect(await asTimePasses(codeOf(client.put('a', 'x')))).toBe('outcome_unknown');
    expect(requests).toBeGreaterThan(1);
    expect(await asTimePasses(codeOf(client.put('a', 'x')))).toBe('no_leader');
  });

  it('is refused clearly where a server cannot make a repeat harmless', async () => {
    const server = await fake((_, response) =>
      sendJson(response, 400, {
        code: 'bad_request',
        detail: 'The header Idempotency-Key is not supported yet by this version; leave it out.',
      }),
    );
    const client = new RaftkvClient({ endpoints: [server.url] });
    expect(await codeOf(client.put('a', 'x'))).toBe('idempotency_unsupported');
    expect(server.arrived).toHaveLength(1);
  });

  it('of the members is sent once', async () => {
    const server = await fake((_, response) => response.destroy());
    const client = new RaftkvClient({
      endpoints: [server.url, server.url.replace('127.0.0.1', 'localhost')],
    });
    for (const change of [
      () => client.addMember({ id: 'n4', peer: 'h:1' }),
      () => client.removeMember('n4'),
      () => client.promoteMember('n4'),
      () => client.setMembers([{ id: 'n1', peer: 'h:1' }]),
      () => client.transferLeadership(),
    ]) {
      expect(await codeOf(change())).toBe('outcome_unknown');
    }
    expect(server.arrived).toHaveLength(5);
    expect(server.arrived.some(({ headers }) => 'idempotency-key' in headers)).toBe(false);
  });
});

describe('answers', () => {
  it('that pass are asked for again; others are final', async () => {
    const codes = ['no_leader', 'overloaded', 'unavailable', 'shutting_down', 'not_ready'];
    const server = await fake((_, response) => {
      const code = codes.shift();
      if (code === undefined) sendProblem(response, 412, 'precondition_failed');
      else sendProblem(response, 503, code);
    });
    const client = new RaftkvClient({ endpoints: [server.url] });
    const error = await client.put('a', 'x').catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      name: 'RaftkvClientError',
      code: 'precondition_failed',
      status: 412,
      problem: { type: 'urn:raftkv:problem:precondition_failed' },
    });
    expect(server.arrived).toHaveLength(6);
  });

  it('of a proxy that lost its node are asked for again; those of something else are called so', async () => {
    let requests = 0;
    const server = await fake((_, response) => {
      requests += 1;
      response.writeHead(requests === 1 ? 502 : 404).end('<html>');
    });
    const client = new RaftkvClient({ endpoints: [server.url] });
    expect(await codeOf(client.get('a'))).toBe('not_raftkv');
    expect(requests).toBe(2);
  });

  it('of something else count for nothing where they say yes, either', async () => {
    const server = await fake((_, response) => {
      response.removeHeader('Raftkv-Node');
      response.writeHead(200, { 'Content-Type': 'text/html' }).end('<html>');
    });
    const client = new RaftkvClient({ endpoints: [server.url] });
    const calls = [client.get('a'), client.put('a', 'x'), client.list(), client.watch({ key: 'a' }).next()];
    expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => 'not_raftkv'));
    expect(await client.statuses()).toMatchObject([{ error: { code: 'not_raftkv' } }]);
    expect(server.arrived).toHaveLength(calls.length + 1);
  });

  it('that do not come in time are not waited for', async () => {
    fakeTime();
    const asked: URL[] = [];
    const fetch = fetchOf((url) => {
      asked.push(url);
      return undefined;
    });
    const client = new RaftkvClient({ endpoints: ['http://n1'], timeoutMs: 50, fetch });
    const startedAtMs = performance.now();
    expect(await asTimePasses(codeOf(client.get('a')))).toBe('unreachable');
    expect(await asTimePasses(codeOf(client.put('a', 'x')))).toBe('outcome_unknown');
    expect(performance.now() - startedAtMs).toBeLessThan(4_000);
    expect(asked[0]?.searchParams.get('timeout')).toBe('50ms');
  });

  it('are not waited for when the caller gives up', async () => {
    const server = await fake(() => controller.abort(new Error('enough')));
    const controller = new AbortController();
    const client = new RaftkvClient({ endpoints: [server.url] });
    await expect(client.put('a', 'x', { signal: controller.signal })).rejects.toThrow('enough');
    await expect(client.get('a', { signal: controller.signal })).rejects.toThrow('enough');
    expect(server.arrived).toHaveLength(1);
  });
});
