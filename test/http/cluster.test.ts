import { describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { type ErrorCode, errorCatalogue, RaftkvError } from '../../src/errors.js';
import type { openApiDocument } from '../../src/http/openapi.js';
import { examplePlan } from './fake-node.js';
import { listen, RawConnection, serve } from './kit.js';

const leaderUrl = 'http://10.0.0.2:8101';
const follower = { kind: 'follower', leader: 'n2', url: leaderUrl } as const;

/** A request for everything that needs the leader. */
const needLeader: readonly {
  method: 'GET' | 'HEAD' | 'PUT' | 'DELETE' | 'POST';
  url: string;
  payload?: string;
}[] = [
  { method: 'PUT', url: '/v1/kv/a%FFb/c', payload: 'x' },
  { method: 'GET', url: '/v1/kv/a' },
  { method: 'HEAD', url: '/v1/kv/a' },
  { method: 'DELETE', url: '/v1/kv/a' },
  { method: 'GET', url: '/v1/kv?prefix=%FF&limit=5' },
  { method: 'DELETE', url: '/v1/kv?prefix=a' },
  { method: 'POST', url: '/v1/members', payload: '{"id":"n4","peer":"h:1"}' },
  { method: 'PUT', url: '/v1/members', payload: '{"members":[{"id":"n1","peer":"h:1"}]}' },
  { method: 'DELETE', url: '/v1/members/n1' },
  { method: 'POST', url: '/v1/members/n1/promote' },
  { method: 'POST', url: '/v1/leader', payload: '{"to":"n1"}' },
];

describe('routing', () => {
  it.each(needLeader)('redirects $method $url from a follower', async (request) => {
    const { app, node } = serve();
    node.routed = follower;
    const answer = await app.inject(request);
    expect(answer.statusCode).toBe(307);
    expect(answer.headers.location).toBe(leaderUrl + request.url);
    if (request.method !== 'HEAD') {
      expect(JSON.parse(answer.body)).toMatchObject({ status: 307, leader: 'n2', leaderUrl });
      expect(answer.body).toContain('curl');
    }
    expect(node.calls).toEqual([]);
  });

  it.each(needLeader)('does $method $url itself with redirect=never', async (request) => {
    const { app, node } = serve();
    await app.inject({ method: 'PUT', url: '/v1/kv/a' });
    node.routed = follower;
    const separator = request.url.includes('?') ? '&' : '?';
    const answer = await app.inject({ ...request, url: `${request.url}${separator}redirect=never` });
    expect(answer.statusCode).toBeLessThan(300);
  });

  it.each(needLeader)('does $method $url itself where clients are served', async (request) => {
    const { app, node } = serve({ clientRouting: 'serve' });
    await app.inject({ method: 'PUT', url: '/v1/kv/a' });
    node.routed = follower;
    expect((await app.inject(request)).statusCode).toBeLessThan(300);
  });

  it.each(needLeader)(
    'holds $method $url without a leader, and answers 503 when its time is up',
    async (request) => {
      const { app, node } = serve();
      node.routed = { kind: 'noLeader' };
      const separator = request.url.includes('?') ? '&' : '?';
      const startedAtMs = performance.now();
      const answer = await app.inject({ ...request, url: `${request.url}${separator}timeout=40ms` });
      expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(39);
      expect(answer.statusCode).toBe(503);
      expect(answer.headers['retry-after']).toBe('1');
      if (request.method !== 'HEAD') expect(JSON.parse(answer.body)).toMatchObject({ code: 'no_leader' });
    },
  );

  it('serves what it held as soon as it leads, and redirects it as soon as it knows who does', async () => {
    const { app, node } = serve();
    node.routed = { kind: 'noLeader' };
    const held = app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'x' });
    const also = app.inject('/v1/kv?redirect=never');
    // Nothing changed for them, so they go on waiting.
    node.routeTo({ kind: 'noLeader' });
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(node.calls).toEqual([]);
    node.routeTo({ kind: 'leader' });
    expect((await held).statusCode).toBe(201);
    expect((await also).statusCode).toBe(200);
    node.routed = { kind: 'noLeader' };
    const redirected = app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'y' });
    await new Promise((resolve) => setTimeout(resolve, 10));
    node.routeTo(follower);
    expect((await redirected).statusCode).toBe(307);
  });

  it('refuses what it holds when it shuts down, and forgets it when its client leaves', async () => {
    const { app, node } = serve();
    const port = await listen(app);
    node.routed = { kind: 'noLeader' };
    const [left, stays, browser] = [0, 1, 2].map(() => new RawConnection(port));
    left?.send('PUT /v1/kv/gone HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx');
    stays?.send('PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx');
    browser?.send('GET /v1/watch?prefix= HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n');
    await browser?.until(/200 OK/);
    left?.socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await app.close();
    expect(await stays?.untilEnd()).toMatch(/^HTTP\/1.1 503 (.|\r\n)*"shutting_down"/);
    expect(node.calls).toEqual([]);
  });

  it.each([
    ['DELETE', '/v1/kv/a', 'write delete'],
    ['DELETE', '/v1/kv?prefix=a', 'write deletePrefix'],
    ['POST', '/v1/kv/a?add=1', 'write add'],
    ['GET', '/v1/kv/a', 'confirmRead'],
    ['GET', '/v1/kv?prefix=a', 'confirmRead'],
    ['DELETE', '/v1/leases/1', 'write leaseRevoke'],
    ['DELETE', '/v1/members/n2', 'removeMember n2'],
    ['POST', '/v1/members/n2/promote', 'promoteMember n2'],
  ] as const)('leaves what it held the rest of its timeout: %s %s', async (method, path, call) => {
    const { app, node } = serve();
    node.routed = { kind: 'noLeader' };
    const url = `${path}${path.includes('?') ? '&' : '?'}timeout=10s`;
    // On a busy machine, what is injected arrives much later.
    const arrived = new Promise<void>((resolve) => {
      const route = node.route.bind(node);
      node.route = () => {
        resolve();
        return route();
      };
    });
    const held = app.inject({ method, url });
    await arrived;
    await new Promise((resolve) => setTimeout(resolve, 60));
    node.routeTo({ kind: 'leader' });
    await held;
    const asked = present(
      node.calls.find((line) => line.startsWith(call)),
      'The node was asked.',
    );
    const leftMs = call.includes('Member') ? node.memberTimeoutMs : Number(asked.split(' ').at(-1));
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThanOrEqual(9_950);
  });

  it('hangs up on a browser whose watch was held until its timeout, and tells others', async () => {
    const { app, node } = serve();
    node.watch = () => {
      throw new RaftkvError('no_leader', 'This node is starting.');
    };
    const port = await listen(app);
    const path = '/v1/watch?prefix=&timeout=40ms';
    const browser = new RawConnection(port);
    browser.send(`GET ${path} HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n`);
    expect(await browser.untilEnd()).toBe('');
    expect((await app.inject(path)).statusCode).toBe(503);
  });

  it('hangs up on a browser that asks for a watch while it shuts down, because any status would be final to it', async () => {
    const { app, node } = serve();
    const port = await listen(app);
    node.routed = { kind: 'noLeader' };
    // What is held keeps the connection busy, so that it is still open when the server closes.
    const browser = new RawConnection(port);
    const watch = 'GET /v1/watch?prefix= HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n';
    browser.send(`GET /v1/kv/a HTTP/1.1\r\nHost: h\r\n\r\n${watch}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await app.close();
    expect(await browser.untilEnd()).not.toMatch(/HTTP(.|\n)*HTTP/);
  });

  it('does the work itself while the URL of the leader is not known', async () => {
    const { app, node } = serve();
    node.routed = { ...follower, url: '' };
    expect((await app.inject({ method: 'PUT', url: '/v1/kv/a' })).statusCode).toBe(201);
  });

  it('checks path, query and headers where the request lands, before it redirects', async () => {
    const { app, node } = serve();
    node.routed = follower;
    for (const url of ['/v1/kv/a?bad=1', '/v1/kv/%', '/v1/kv?prefix=']) {
      expect((await app.inject({ method: 'DELETE', url })).statusCode).toBe(400);
    }
    const header = await app.inject({ method: 'PUT', url: '/v1/kv/a', headers: { 'if-match': 'x' } });
    expect(header.statusCode).toBe(400);
  });
});

describe('cluster', () => {
  it('answers status and members where they land', async () => {
    const { app, node } = serve();
    node.routed = { kind: 'noLeader' };
    const status = await app.inject('/v1/status');
    expect(JSON.parse(status.body)).toEqual(node.status());
    const members = await app.inject('/v1/members');
    expect(JSON.parse(members.body)).toEqual({ members: node.memberList });
  });

  it('adds a member once: 201, then 200', async () => {
    const { app, node } = serve();
    const payload = { id: 'n4', peer: '10.0.0.4:7101', client: 'http://10.0.0.4:8101', incarnation: 'ab12' };
    const added = await app.inject({ method: 'POST', url: '/v1/members', payload });
    expect(added.statusCode).toBe(201);
    expect(JSON.parse(added.body)).toMatchObject({
      cluster: 'c0ffee',
      member: { id: 'n4', role: 'learner' },
    });
    expect(node.calls[0]).toContain(`addMember ${JSON.stringify(payload)} `);
    expect((await app.inject({ method: 'POST', url: '/v1/members', payload })).statusCode).toBe(200);
  });

  it.each([
    '',
    '[]',
    'null',
    '{',
    '\xff',
    '{"id":"n4"}',
    '{"id":"n4","peer":5}',
    '{"id":"n4","peer":"nowhere"}',
    '{"id":"a b","peer":"h:1"}',
    '{"id":"n4","peer":"h:1","extra":1}',
    '{"id":"n4","peer":"h:1","__proto__":{}}',
    '{"id":"n4","peer":"h:1","client":"ftp://x"}',
    '{"id":"n4","peer":"1.2.3.4:0"}',
    '{"id":"n4","peer":"1.2.3.4:99999"}',
    '{"id":"n4","peer":"0.0.0.0:7104"}',
    '{"id":"n4","peer":"[::]:7104"}',
    '{"id":"n4","peer":"h:1","client":"http://x:99999"}',
    '{"id":"n4","peer":"h:1","client":"http://x:0"}',
    '{"id":"n4","peer":"h:1","client":"http://0.0.0.0:8104"}',
  ])('refuses the new member %j', async (body) => {
    const { app, node } = serve();
    const answer = await app.inject({
      method: 'POST',
      url: '/v1/members',
      payload: Buffer.from(body, 'latin1'),
    });
    expect(answer.statusCode).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'bad_request' });
    expect(node.calls).toEqual([]);
  });

  it('removes, with force passed on, promotes, and transfers', async () => {
    const { app, node } = serve();
    expect((await app.inject({ method: 'POST', url: '/v1/members/n1/promote' })).statusCode).toBe(200);
    expect((await app.inject({ method: 'DELETE', url: '/v1/members/n1?force=true' })).statusCode).toBe(200);
    const unknown = await app.inject({ method: 'DELETE', url: '/v1/members/n9' });
    expect(unknown.statusCode).toBe(404);
    expect(JSON.parse(unknown.body)).toMatchObject({ code: 'member_not_found' });
    expect((await app.inject({ method: 'DELETE', url: '/v1/members/a%20b' })).statusCode).toBe(400);
    const anyone = await app.inject({ method: 'POST', url: '/v1/leader' });
    expect(JSON.parse(anyone.body)).toEqual({ leader: 'n2' });
    const one = await app.inject({ method: 'POST', url: '/v1/leader', payload: { to: 'n3' } });
    expect(JSON.parse(one.body)).toEqual({ leader: 'n3' });
    expect(node.calls).toEqual([
      'promoteMember n1',
      'removeMember n1 true',
      'removeMember n9 false',
      'transferLeadership -',
      'transferLeadership n3',
    ]);
  });

  it('sets the members, with force passed on', async () => {
    const { app, node } = serve();
    const payload = {
      members: [
        { id: 'n1', peer: '10.0.0.1:7101' },
        { id: 'n4', peer: '[::1]:7104' },
      ],
    };
    const answer = await app.inject({ method: 'PUT', url: '/v1/members', payload });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['raftkv-consistency']).toBe('linearizable');
    expect(JSON.parse(answer.body)).toEqual({ voters: ['n1', 'n4'], added: ['n4'], removed: [] });
    await app.inject({ method: 'PUT', url: '/v1/members?force=true', payload });
    expect(node.calls).toEqual([
      'setMembers n1=10.0.0.1:7101,n4=[::1]:7104 false',
      'setMembers n1=10.0.0.1:7101,n4=[::1]:7104 true',
    ]);
  });

  it.each([
    '',
    '[]',
    'null',
    '{"members":{}}',
    '{"members":[]}',
    '{"members":["n1"]}',
    '{"members":[{"id":"n1"}]}',
    '{"members":[{"id":"n1","peer":"h:1"}],"force":true}',
    '{"members":[{"id":"n1","peer":"h:1","client":"http://h:2"}]}',
    '{"members":[{"id":"n1","peer":"h:1"},{"id":"n1","peer":"h:2"}]}',
    '{"members":[{"id":"n1","peer":"h:1"},{"id":"n2","peer":"h:1"}]}',
    '{"members":[{"id":"n1","peer":"h:0"}]}',
    '{"members":[{"id":"n1","peer":"0.0.0.0:1"}]}',
    '{"members":[{"id":"a b","peer":"h:1"}]}',
  ])('refuses to set the members %j', async (payload) => {
    const { app, node } = serve();
    for (const url of ['/v1/members', '/v1/members?plan=true']) {
      const answer = await app.inject({ method: 'PUT', url, payload });
      expect([answer.statusCode, JSON.parse(answer.body)]).toMatchObject([400, { code: 'bad_request' }]);
    }
    expect(node.calls).toEqual([]);
  });

  it.each([
    [
      'POST',
      '/v1/members?',
      { id: 'n4', peer: 'h:4', client: 'http://h:5' },
      { kind: 'add', member: { id: 'n4', peer: 'h:4' } },
    ],
    ['DELETE', '/v1/members/n2?force=true&', '', { kind: 'remove', id: 'n2' }],
    ['POST', '/v1/members/n4/promote?', '', { kind: 'promote', id: 'n4' }],
    [
      'PUT',
      '/v1/members?',
      { members: [{ id: 'n1', peer: 'h:1' }] },
      { kind: 'set', members: [{ id: 'n1', peer: 'h:1' }] },
    ],
  ] as const)(
    'answers plan=true on %s %s with the plan, and changes nothing',
    async (method, url, payload, change) => {
      const { app, node } = serve();
      const answer = await app.inject({ method, url: `${url}plan=true`, payload });
      expect([answer.statusCode, JSON.parse(answer.body)]).toEqual([200, examplePlan]);
      expect(answer.headers['raftkv-consistency']).toBe('stale');
      expect(node.calls).toEqual([`planMembers ${JSON.stringify(change)}`]);
      expect((await app.inject({ method, url: `${url}plan=perhaps`, payload })).statusCode).toBe(400);
      expect(node.calls).toHaveLength(1);
    },
  );

  it('refuses plan=true where nothing can be planned', async () => {
    const { app, node } = serve();
    expect((await app.inject({ method: 'POST', url: '/v1/leader?plan=true' })).statusCode).toBe(400);
    expect(node.calls).toEqual([]);
  });

  it.each(needLeader.slice(6))('refuses Idempotency-Key on $method $url', async (request) => {
    const { app, node } = serve();
    const key = await app.inject({ ...request, headers: { 'idempotency-key': 'k' } });
    expect(key.statusCode).toBe(400);
    expect(node.calls).toEqual([]);
  });
});

describe('errors', () => {
  it.each(Object.keys(errorCatalogue) as ErrorCode[])(
    'gives %s the status of the catalogue',
    async (code) => {
      const { app, node } = serve();
      node.failure = new RaftkvError(code, 'What is wrong; what to do.', { more: 1 });
      const answer = await app.inject({ method: 'PUT', url: '/v1/kv/a' });
      const { status, title } = errorCatalogue[code];
      expect(answer.statusCode).toBe(status);
      expect(answer.headers['content-type']).toBe('application/problem+json');
      expect(JSON.parse(answer.body)).toEqual({
        type: `urn:raftkv:problem:${code}`,
        title,
        status,
        code,
        detail: 'What is wrong; what to do.',
        more: 1,
      });
      const retried = ['no_leader', 'overloaded', 'shutting_down'].includes(code);
      expect(answer.headers['retry-after']).toBe(retried ? '1' : undefined);
    },
  );

  it('keeps what an unexpected error says to the log', async () => {
    const { app, node } = serve();
    node.failure = new Error('secret');
    const answer = await app.inject('/v1/kv/a');
    expect(answer.statusCode).toBe(500);
    expect(answer.body).not.toContain('secret');
  });

  it.each([
    ['OPTIONS', '/v1/kv/a', 'DELETE, GET, HEAD, POST, PUT'],
    ['PATCH', '/v1/kv/a', 'DELETE, GET, HEAD, POST, PUT'],
    ['PUT', '/v1/kv', 'DELETE, GET, HEAD'],
    ['PUT', '/v1/status', 'GET, HEAD'],
    ['GET', '/v1/leader', 'POST'],
    ['GET', '/v1/members/n1', 'DELETE'],
    ['OPTIONS', '/healthz', 'GET, HEAD'],
  ] as const)('answers 405 to %s %s and names what is allowed', async (method, url, allow) => {
    const { app } = serve();
    const answer = await app.inject({ method, url });
    expect(answer.statusCode).toBe(405);
    expect(answer.headers.allow).toBe(allow);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'method_not_allowed' });
  });

  it.each(['/', '/v1', '/v1/nothing', '/v2/kv/a', '/v1/status/x', '/V1/kv/a'])(
    'answers 404 to %s',
    async (url) => {
      const { app } = serve();
      const answer = await app.inject(url);
      expect(answer.statusCode).toBe(404);
      expect(JSON.parse(answer.body)).toMatchObject({ code: 'not_found' });
    },
  );

  it('answers 400 to a path that cannot be decoded', async () => {
    const { app } = serve();
    expect((await app.inject('/v1/%FF')).statusCode).toBe(400);
    expect((await app.inject({ method: 'DELETE', url: `/v1/members/${'x'.repeat(2000)}` })).statusCode).toBe(
      400,
    );
  });
});

describe('health', () => {
  it('is alive, and ready only when the node says so', async () => {
    const { app, node } = serve();
    expect((await app.inject('/healthz')).statusCode).toBe(200);
    expect((await app.inject('/readyz')).statusCode).toBe(200);
    node.ready = { ready: false, reason: 'catching up' };
    expect((await app.inject('/healthz')).statusCode).toBe(200);
    const answer = await app.inject('/readyz');
    expect(answer.statusCode).toBe(503);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'not_ready', reason: 'catching up' });
  });

  it('shows metrics with routes, not with paths', async () => {
    const { app } = serve();
    await app.inject('/v1/kv/some-key');
    await app.inject({ method: 'PUT', url: '/v1/kv/some-key' });
    await app.inject('/nowhere');
    const { body, headers } = await app.inject('/metrics');
    expect(headers['content-type']).toContain('text/plain');
    expect(body).toContain(
      'raftkv_http_request_duration_seconds_count{route="/v1/kv/{key}",method="PUT",status="201"} 1',
    );
    expect(body).toContain('raftkv_role{role="leader"} 1');
    expect(body).toContain('raftkv_revision 1');
    expect(body).toContain('nodejs_eventloop_lag');
    expect(body).not.toContain('some-key');
    expect(body).not.toContain('nowhere');
  });

  it('describes exactly the routes that there are', async () => {
    const { app } = serve();
    const document: typeof openApiDocument = JSON.parse((await app.inject('/openapi.json')).body);
    for (const [path, operations] of Object.entries(document.paths)) {
      const url = path.replace('{key}', 'k').replace('{id}', 'n1');
      for (const method of ['get', 'put', 'post', 'delete'] as const) {
        const known = (await app.inject({ method, url })).statusCode !== 405;
        expect([method, path, known]).toEqual([method, path, method in operations]);
      }
    }
  });
});
