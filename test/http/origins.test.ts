import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../src/http/openapi.js';
import { ownNames } from '../../src/http/own-names.js';
import { listen, RawConnection, serve } from './kit.js';

type Headers = Readonly<Record<string, string>>;

const foreign = 'http://evil.example';
const app = 'https://app.example.com';
/** Every way to change something, with a body that would be taken. */
const changes: readonly (readonly [string, string, string])[] = [
  ['PUT', '/v1/kv/a', 'x'],
  ['DELETE', '/v1/kv/a', ''],
  ['DELETE', '/v1/kv?prefix=a', ''],
  ['POST', '/v1/txn', '{"success":[{"put":{"key":"a","value":"b"}}]}'],
  ['POST', '/v1/leases', '{"ttlSeconds":9}'],
  ['POST', '/v1/leases/1/keepalive', ''],
  ['DELETE', '/v1/leases/1', ''],
  ['POST', '/v1/locks/a', '{"ttlSeconds":9}'],
  ['DELETE', '/v1/locks/a?token=1', ''],
  ['POST', '/v1/members', '{"id":"n4","peer":"h:1"}'],
  ['PUT', '/v1/members', '{"members":[{"id":"n4","peer":"h:1"}]}'],
  ['DELETE', '/v1/members/n1', ''],
  ['POST', '/v1/members/n1/promote', ''],
  ['POST', '/v1/leader', '{}'],
];

function ask(server: FastifyInstance, method: string, url: string, headers: Headers, payload = '') {
  return server.inject({ method: method as 'GET', url, headers, payload });
}

describe('a change that a web page of another origin asks for', () => {
  it.each(changes)('is refused, and nothing is done: %s %s', async (method, url, body) => {
    const { app: server, node } = serve();
    const asked: readonly Headers[] = [
      { origin: foreign, 'content-type': 'text/plain' },
      { origin: 'null' },
      { origin: 'http://localhost:81' },
      { origin: 'http://127.0.0.1:8109' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: foreign, 'sec-fetch-site': 'cross-site' },
    ];
    for (const headers of asked) {
      const answer = await ask(server, method, url, { host: 'localhost:80', ...headers }, body);
      expect(answer.statusCode, JSON.stringify(headers)).toBe(403);
      expect(JSON.parse(answer.body).code).toBe('origin_not_allowed');
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    }
    expect(node.calls).toEqual([]);
    expect(node.position().revision).toBe(0);
  });

  it('is done where the page is of the node, of another member, of a configured origin, or of no page at all', async () => {
    const { app: server, node } = serve({ corsOrigins: [app] });
    const [self] = node.memberList;
    if (self === undefined) throw new Error('The fake node is a member.');
    node.memberList.push({ ...self, id: 'n2', client: 'http://n2.example.com:8102' });
    const asked: readonly Headers[] = [
      {},
      { origin: 'http://localhost:80' },
      { origin: 'https://localhost:80' },
      { origin: 'http://127.0.0.1:8101' },
      { origin: 'http://localhost:8101' },
      { origin: 'http://n2.example.com:8102', 'sec-fetch-site': 'cross-site' },
      { origin: app, 'sec-fetch-site': 'cross-site' },
      // Behind a proxy that calls the node by another name, the browser still knows.
      { origin: 'https://kv.example.com', 'sec-fetch-site': 'same-origin' },
    ];
    for (const headers of asked) {
      const answer = await ask(server, 'PUT', '/v1/kv/a', { host: 'localhost:80', ...headers }, 'x');
      expect(answer.statusCode, JSON.stringify(headers)).toBeLessThan(300);
      expect(answer.headers['access-control-allow-origin']).toBe(headers['origin']);
    }
  });
});

describe('a read that a web page asks for', () => {
  it('is answered, and a page of another origin cannot see the answer', async () => {
    const { app: server } = serve();
    await ask(server, 'PUT', '/v1/kv/a', {}, 'x');
    const answer = await ask(server, 'GET', '/v1/kv/a', { origin: foreign });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
    expect(answer.headers['cross-origin-resource-policy']).toBe('same-origin');
    expect(answer.headers['vary']).toBe('Origin');
  });

  it('is seen with its headers by a page of a configured origin, errors included', async () => {
    const { app: server } = serve({ corsOrigins: [app] });
    for (const [url, status] of [
      ['/v1/kv/a', 404],
      ['/v1/kv?limit=x', 400],
      ['/v1/kv', 200],
      ['/v1/status', 200],
      ['/nowhere', 404],
    ] as const) {
      const answer = await ask(server, 'GET', url, { origin: app });
      expect(answer.statusCode).toBe(status);
      expect(answer.headers['access-control-allow-origin']).toBe(app);
      expect(answer.headers['access-control-expose-headers']).toBe('*');
      expect(String(answer.headers['vary'])).toContain('Origin');
    }
  });

  it('and every other request of a page is served and never redirected, which would make it one of nobody', async () => {
    const { app: server, node } = serve({ corsOrigins: [app] });
    node.routed = { kind: 'follower', leader: 'n2', url: 'http://leader:1' };
    expect((await ask(server, 'GET', '/v1/kv', {})).statusCode).toBe(307);
    expect((await ask(server, 'GET', '/v1/kv', { origin: app })).statusCode).toBe(200);
    // Browsers name no origin where a page reads from its own.
    expect((await ask(server, 'GET', '/v1/kv', { 'sec-fetch-site': 'same-origin' })).statusCode).toBe(200);
    expect((await ask(server, 'PUT', '/v1/kv/a', { origin: app }, 'x')).statusCode).toBe(201);
  });
});

describe('the question of a browser whether a page may', () => {
  const preflight = { 'access-control-request-method': 'PUT', 'access-control-request-headers': 'if-match' };

  it('is answered with yes for a configured origin', async () => {
    const { app: server } = serve({ corsOrigins: [app] });
    const answer = await ask(server, 'OPTIONS', '/v1/kv/a/b', { origin: app, ...preflight });
    expect(answer.statusCode).toBe(204);
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': app,
      'access-control-allow-methods': 'DELETE, GET, HEAD, POST, PUT',
      'access-control-allow-headers': '*',
      'access-control-max-age': '600',
    });
  });

  it('is answered with no for any other', async () => {
    const { app: server } = serve({ corsOrigins: [app] });
    const answer = await ask(server, 'OPTIONS', '/v1/kv/a', { origin: foreign, ...preflight });
    expect(answer.statusCode).toBe(403);
    expect(answer.headers['access-control-allow-origin']).toBeUndefined();
  });

  it('is no method of its own', async () => {
    const { app: server } = serve({ corsOrigins: [app] });
    expect((await ask(server, 'OPTIONS', '/v1/kv/a', { origin: app })).statusCode).toBe(405);
    expect((await ask(server, 'OPTIONS', '/nowhere', { origin: app, ...preflight })).statusCode).toBe(404);
  });
});

describe('the host that a request names', () => {
  it.each([
    ['127.0.0.1:8101'],
    ['10.1.2.3'],
    ['127.1:8101'],
    ['[::1]:8101'],
    ['[::ffff:10.0.0.1]'],
    ['localhost'],
    ['localhost.:8101'],
    ['n1:8101'],
    ['raftkv_n1'],
    ['kv.localhost:1'],
    ['KV.example.com:8101'],
    ['member.example.com:1'],
    ['peer.example.com'],
  ])('is allowed: %s', async (host) => {
    const { app: server, node } = serve({ allowedHosts: ['kv.example.com'] });
    const [self] = node.memberList;
    if (self === undefined) throw new Error('The fake node is a member.');
    node.memberList.push({
      ...self,
      id: 'n2',
      client: 'http://member.example.com:8101',
      peer: 'peer.example.com:7101',
    });
    for (let time = 0; time < 2; time += 1)
      expect((await ask(server, 'GET', '/v1/status', { host })).statusCode).toBe(200);
  });

  it.each([['evil.example'], ['evil.example:8101'], ['127.0.0.1.evil.example'], ['localhost.evil.example']])(
    'may be made up by a web page, and is refused whatever is asked for: %s',
    async (host) => {
      const { app: server, node } = serve({ allowedHosts: ['kv.example.com'] });
      for (const url of ['/v1/kv/a', '/v1/kv', '/v1/status', '/v1/watch?prefix=', '/metrics', '/nowhere']) {
        const answer = await ask(server, 'GET', url, { host, origin: `http://${host}` });
        expect([answer.statusCode, JSON.parse(answer.body).code]).toEqual([421, 'host_not_allowed']);
      }
      const put = await ask(server, 'PUT', '/v1/kv/a', { host, 'sec-fetch-site': 'same-origin' }, 'x');
      expect(put.statusCode).toBe(421);
      expect(node.calls).toEqual([]);
    },
  );

  it('is refused soon after the member that advertised it has gone', async () => {
    const { app: server, node } = serve();
    const [self] = node.memberList;
    if (self === undefined) throw new Error('The fake node is a member.');
    node.memberList.push({ ...self, id: 'n2', client: 'http://n2.example.com:8102' });
    const status = async () =>
      (await ask(server, 'GET', '/v1/status', { host: 'n2.example.com' })).statusCode;
    expect(await status()).toBe(200);
    node.memberList.pop();
    while ((await status()) !== 421) await new Promise((resolve) => setTimeout(resolve, 20));
  });

  it.each([['a b'], ['a/b'], ['a@b'], ['[::1'], ['a:b'], ['']])('must be one: %j', async (host) => {
    const { app: server } = serve();
    const port = await listen(server);
    const connection = new RawConnection(port);
    connection.send(`GET /v1/status HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await connection.until(/^HTTP\/1\.1 400 [\s\S]*"code":"bad_request"/);
    await server.close();
  });

  it('is named once', async () => {
    const { app: server, node } = serve();
    const port = await listen(server);
    const connection = new RawConnection(port);
    connection.send('PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nhOST: evil.example\r\nContent-Length: 1\r\n\r\nx');
    await connection.until(/^HTTP\/1\.1 400 [\s\S]*two Host headers/);
    expect(node.calls).toEqual([]);
    await server.close();
  });

  it('is that of the target where the target is a whole URL', async () => {
    const { app: server } = serve();
    const port = await listen(server);
    const connection = new RawConnection(port);
    connection.send('GET http://evil.example/v1/status HTTP/1.1\r\nHost: h\r\n\r\n');
    await connection.until(/^HTTP\/1\.1 421 /);
    await server.close();
  });
});

describe('what caches may do with an answer', () => {
  it('is said by every one: values of a named cluster may be kept and are asked about, nothing else', async () => {
    const { app: server, node } = serve();
    await node.opens();
    const put = await ask(server, 'PUT', '/v1/kv/a', {}, 'x');
    const requests: readonly (readonly [string, string, Headers, string])[] = [
      ['GET', '/v1/kv/a?cluster=c0ffee', {}, 'no-cache'],
      ['HEAD', '/v1/kv/a?cluster=c0ffee', {}, 'no-cache'],
      ['GET', '/v1/kv/a?revision=1&cluster=c0ffee', {}, 'no-cache'],
      ['GET', '/v1/kv/a?cluster=c0ffee', { 'if-none-match': String(put.headers['etag']) }, 'no-cache'],
      // A cache could not know under which cluster it kept the tag.
      ['GET', '/v1/kv/a', {}, 'no-store'],
      ['HEAD', '/v1/kv/a', {}, 'no-store'],
      ['GET', '/v1/kv/a?revision=1', {}, 'no-store'],
      ['GET', '/v1/kv/a', { 'if-none-match': String(put.headers['etag']) }, 'no-store'],
      ['GET', '/v1/kv/a?cluster=another', { 'if-none-match': String(put.headers['etag']) }, 'no-store'],
      ['GET', '/v1/kv/b?cluster=c0ffee', {}, 'no-store'],
      ['GET', '/v1/kv/a', { 'if-match': '"9"' }, 'no-store'],
      ['GET', '/v1/kv/b', {}, 'no-store'],
      ['GET', '/v1/kv', {}, 'no-store'],
      ['GET', '/v1/locks/a', {}, 'no-store'],
      ['GET', '/v1/leases', {}, 'no-store'],
      ['GET', '/v1/status', {}, 'no-store'],
      ['GET', '/v1/members', {}, 'no-store'],
      ['GET', '/healthz', {}, 'no-store'],
      ['GET', '/readyz', {}, 'no-store'],
      ['GET', '/metrics', {}, 'no-store'],
      ['GET', '/openapi.json', {}, 'no-store'],
      ['GET', '/nowhere', {}, 'no-store'],
      ['PUT', '/v1/kv/a', {}, 'no-store'],
      ['POST', '/v1/txn', {}, 'no-store'],
    ];
    for (const [method, url, headers, caching] of requests) {
      const answer = await ask(server, method, url, headers);
      expect(answer.headers['cache-control'], `${method} ${url}`).toBe(caching);
    }
    // What was kept of a cluster that was rebuilt is never taken for a value of this one, although its tag fits.
    const rebuilt = await ask(server, 'GET', '/v1/kv/a?cluster=another', {
      'if-none-match': String(put.headers['etag']),
    });
    expect([rebuilt.statusCode, rebuilt.json().code]).toEqual([409, 'other_cluster']);
    node.routed = { kind: 'follower', leader: 'n2', url: 'http://leader:1' };
    const redirected = await ask(server, 'GET', '/v1/kv/a', {});
    expect([redirected.statusCode, redirected.headers['cache-control']]).toEqual([307, 'no-store']);
  });

  it('is said by what is answered on the socket, too', async () => {
    const { app: server } = serve();
    const port = await listen(server);
    const connection = new RawConnection(port);
    connection.send('garbage\r\n\r\n');
    expect(await connection.untilEnd()).toMatch(/\r\nCache-Control: no-store\r\n/);
    await server.close();
  });
});

it('values run nothing where a browser shows them as pages', async () => {
  const { app: server } = serve();
  await ask(server, 'PUT', '/v1/kv/a', { 'content-type': 'text/html' }, '<script>alert(1)</script>');
  const { headers } = await ask(server, 'GET', '/v1/kv/a', {});
  expect(headers).toMatchObject({
    'content-type': 'text/html',
    'content-security-policy': "sandbox; default-src 'none'",
    'x-content-type-options': 'nosniff',
  });
  const shown = await ask(server, 'GET', '/v1/kv/a', { 'sec-fetch-site': 'cross-site' });
  expect(shown.headers['cross-origin-resource-policy']).toBe('same-origin');
});

it('the names of this machine are its host name and those beside it in the hosts file', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'raftkv-hosts-')), 'hosts');
  writeFileSync(file, '127.0.0.1 localhost\n# 10.0.0.9 db old.example\n10.0.0.5 db.example.com db # here\n');
  expect(ownNames(file, 'db')).toEqual(['db', 'db.example.com']);
  expect(ownNames(join(file, 'none'), 'db')).toEqual(['db']);
});

describe('another cluster under a percent-encoded name of the parameter', () => {
  const routes = Object.entries(openApiDocument.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => [method.toUpperCase(), path.replace(/\{[^}]*\}/, '1')] as const),
  );

  it.each(routes)('is asked for nothing: %s %s', async (method, path) => {
    const { app: served, node } = serve();
    const answer = await served.inject({
      method: method as 'GET',
      url: `${path}?%63luster=another`,
    });
    expect([answer.statusCode, answer.json().code]).toEqual([400, 'bad_request']);
    expect(node.calls).toEqual([]);
  });
});
