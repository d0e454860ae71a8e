import { describe, expect, it } from 'vitest';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import { openApiDocument } from '../../src/http/openapi.js';
import { LatePort } from '../../src/node/late-port.js';
import { FakeNode } from './fake-node.js';
import { serve } from './kit.js';

/** The app of a node that starts, and what lets it serve its cluster. */
function starting(cluster: string) {
  const identity = {
    cluster,
    id: 'n1',
    incarnation: 'i',
    peerAddress: 'p:1',
    clientUrl: 'http://c',
    versions: SPOKEN_VERSIONS,
  };
  const port = new LatePort(
    () => identity,
    () => '',
    () => [],
    '1.2.3',
    'follower',
  );
  const { app } = serve({ port });
  const node = new FakeNode();
  return {
    app,
    node,
    open: async () => {
      await node.opens();
      port.open(node);
    },
  };
}

/** What is asked of each route, so that its handler would do something. */
const targets: Readonly<Record<string, string>> = {
  'post /v1/kv/{key}': '?add=1',
  'delete /v1/kv': '?prefix=a',
  'delete /v1/locks/{name}': '?token=1',
  'get /v1/watch': '?prefix=',
};
const bodies: Readonly<Record<string, string>> = {
  'post /v1/txn': '{"success":[{"put":{"key":"a","value":"b"}}]}',
  'post /v1/leases': '{"ttlSeconds":9}',
  'post /v1/locks/{name}': '{"ttlSeconds":9}',
  'post /v1/members': '{"id":"n4","peer":"h:1"}',
  'put /v1/members': '{"members":[{"id":"n1","peer":"h:1"}]}',
  'put /v1/cluster-version': '{"clusterVersion":2}',
};
const answeredAtOnce = new Set(['/healthz', '/readyz', '/metrics', '/v1/status', '/openapi.json']);

const requests = Object.entries(openApiDocument.paths).flatMap(([path, operations]) =>
  answeredAtOnce.has(path)
    ? []
    : Object.keys(operations).map((method) => {
        const name = `${method} ${path}`;
        const url = path.replace(/\{[^}]*\}/, '1') + (targets[name] ?? '');
        return { method: method.toUpperCase() as 'GET', url, payload: bodies[name] ?? '' };
      }),
);
const stale = [
  { method: 'GET', url: '/v1/kv/a?consistency=stale' },
  { method: 'GET', url: '/v1/kv?consistency=stale' },
  { method: 'GET', url: '/v1/leases?consistency=stale' },
  { method: 'GET', url: '/v1/leases/1?consistency=stale' },
  { method: 'GET', url: '/v1/locks/a?consistency=stale' },
  { method: 'POST', url: '/v1/txn?consistency=stale', payload: '{"success":[{"get":{"key":"a"}}]}' },
] as const;

const withTimeout = (url: string, timeout: string) =>
  `${url}${url.includes('?') ? '&' : '?'}timeout=${timeout}`;

describe('a node that starts', () => {
  it.each([...requests, ...stale])('holds $method $url within its timeout', async (request) => {
    const { app } = starting('c0ffee');
    const startedAtMs = performance.now();
    const late = await app.inject({ ...request, url: withTimeout(request.url, '60ms') });
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(59);
    expect([late.statusCode, JSON.parse(late.body).code]).toEqual([503, 'no_leader']);
  });

  it.each(stale)('answers $method $url once it serves its cluster', async (request) => {
    const { app, open } = starting('c0ffee');
    const held = app.inject({ ...request });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await open();
    expect([200, 404]).toContain((await held).statusCode);
  });

  it.each([
    ['of this cluster', 'c0ffee', 201],
    ['of another cluster', 'decaf', 409],
  ])('and does not know its cluster yet judges a request %s when it does', async (_, cluster, status) => {
    const { app, node, open } = starting('');
    const held = app.inject({ method: 'PUT', url: `/v1/kv/a?cluster=${cluster}`, payload: 'x' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await open();
    expect((await held).statusCode).toBe(status);
    expect(node.get(Buffer.from('a'), undefined) !== undefined).toBe(status === 201);
  });
});
