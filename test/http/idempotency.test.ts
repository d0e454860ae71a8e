import type { InjectOptions } from 'fastify';
import { describe, expect, it } from 'vitest';
import type { Exchange } from '../../src/http/exchange.js';
import { idempotencyOf } from '../../src/http/idempotency.js';
import { serve } from './kit.js';

const repeatable: readonly InjectOptions[] = [
  { method: 'PUT', url: '/v1/kv/a', payload: 'x' },
  { method: 'PUT', url: '/v1/kv/a?ttl=1m', payload: 'x' },
  { method: 'PUT', url: '/v1/kv/a', payload: 'x', headers: { 'if-none-match': '*' } },
  { method: 'PUT', url: '/v1/kv/a', payload: 'x', headers: { 'if-match': '"99"' } },
  { method: 'DELETE', url: '/v1/kv/a' },
  { method: 'DELETE', url: '/v1/kv/b' },
  { method: 'DELETE', url: '/v1/kv?prefix=b' },
  { method: 'POST', url: '/v1/txn', payload: '{"success":[{"put":{"key":"a","value":"b"}}]}' },
  { method: 'POST', url: '/v1/leases', payload: '{"ttlSeconds":5}' },
  { method: 'POST', url: '/v1/leases/1/keepalive' },
  { method: 'DELETE', url: '/v1/leases/1' },
  { method: 'POST', url: '/v1/locks/l', payload: '{"ttlSeconds":5}' },
  { method: 'DELETE', url: '/v1/locks/held?token=3' },
  { method: 'DELETE', url: '/v1/locks/held', payload: '{"token":3}' },
  { method: 'DELETE', url: '/v1/locks/held?token=2' },
];

async function prepared() {
  const { app, node } = serve();
  for (const url of ['/v1/kv/b', '/v1/kv/b2']) await app.inject({ method: 'PUT', url });
  await app.inject({ method: 'POST', url: '/v1/leases', payload: '{"ttlSeconds":60}' });
  await app.inject({ method: 'POST', url: '/v1/locks/held', payload: '{"ttlSeconds":60}' });
  return { app, node };
}

describe('a request with an Idempotency-Key', () => {
  it.each(repeatable)('changes nothing when it is repeated: $method $url $headers', async (request) => {
    const { app, node } = await prepared();
    const keyed = { ...request, headers: { ...request.headers, 'idempotency-key': 'once' } };
    const first = await app.inject(keyed);
    const { revision } = node.position();
    const again = await app.inject(keyed);
    expect([again.statusCode, again.body]).toEqual([first.statusCode, first.body]);
    expect(node.position().revision).toBe(revision);
    // Without the key the second one would have shown.
    expect(first.statusCode).toBeLessThan(500);
  });

  it('may travel another way when it is repeated', async () => {
    const { app } = await prepared();
    const headers = { 'idempotency-key': 'once' };
    const first = await app.inject({ method: 'PUT', url: '/v1/kv/a?timeout=1s', payload: 'x', headers });
    const again = await app.inject({
      method: 'PUT',
      url: '/v1/kv/a?redirect=never&timeout=2s',
      payload: 'x',
      headers,
    });
    expect(again.body).toBe(first.body);
  });

  it.each<InjectOptions>([
    { url: '/v1/kv/other' },
    { payload: 'y' },
    { method: 'DELETE', payload: '' },
    { url: '/v1/kv/a?ttl=5s' },
    { headers: { 'if-none-match': '*' } },
    { method: 'DELETE', url: '/v1/locks/held?token=3', payload: '' },
    { headers: { 'content-type': 'text/plain' } },
  ])('is refused with 422 when %j differs', async (difference) => {
    const { app, node } = await prepared();
    const request: InjectOptions = { method: 'PUT', url: '/v1/kv/a', payload: 'x' };
    const headers = { 'idempotency-key': 'once' };
    await app.inject({ ...request, headers });
    const { revision } = node.position();
    const answer = await app.inject({
      ...request,
      ...difference,
      headers: { ...difference.headers, ...headers },
    });
    expect(answer.statusCode).toBe(422);
    expect(JSON.parse(answer.body).code).toBe('idempotency_mismatch');
    expect(node.position().revision).toBe(revision);
  });

  it('is forgotten after a day of log time', async () => {
    const { app, node } = await prepared();
    const request: InjectOptions = {
      method: 'PUT',
      url: '/v1/kv/a',
      payload: 'x',
      headers: { 'idempotency-key': 'once' },
    };
    const first = JSON.parse((await app.inject(request)).body);
    node.logTimeMs += 24 * 3_600_000 + 1;
    expect(JSON.parse((await app.inject(request)).body).revision).toBe(first.revision + 1);
  });

  it('is refused where the answer is not kept', async () => {
    const { app } = serve();
    const answer = await app.inject({
      method: 'POST',
      url: '/v1/leader',
      headers: { 'idempotency-key': 'k' },
    });
    expect(answer.statusCode).toBe(400);
    expect(answer.body).toContain('Idempotency-Key');
  });
});

it('row 27: a request has the same fingerprint in every version, since a repeat may arrive at a node of another version', () => {
  const target = { path: '/v1/kv/a%20%22b', query: 'ttl=30s&timeout=2s&lease=1' };
  const fingerprintOf = (method: string, headers: object, body?: Uint8Array) => {
    const exchange = { request: { method, headers }, target } as unknown as Exchange;
    return Buffer.from(idempotencyOf(exchange, 'k', body).fingerprint).toString('hex');
  };
  const headers = { 'if-match': '"7"', 'content-type': 'text/plain' };
  expect(fingerprintOf('PUT', headers, Buffer.from('vé'))).toBe('5274a41d27ea65a9f049e614b5b512ef');
  expect(fingerprintOf('DELETE', {})).toBe('e236126b17ada2b78184c5792c959eb6');
});

it('row 27: the fingerprint of a request covers all that it asks for, and not how it travels', () => {
  const request = {
    method: 'PUT',
    path: '/v1/kv/a',
    query: 'ttl=5s',
    headers: { 'if-match': '"1"', 'if-none-match': '"2"', 'content-type': 'text/plain' },
    body: Buffer.from('x'),
  };
  const fingerprintOf = ({ method, path, query, headers, body }: typeof request) => {
    const exchange = { request: { method, headers }, target: { path, query } } as unknown as Exchange;
    return Buffer.from(idempotencyOf(exchange, 'k', body).fingerprint).toString('hex');
  };
  const { headers } = request;
  const others = [
    { ...request, method: 'POST' },
    { ...request, path: '/v1/kv/b' },
    { ...request, query: 'ttl=6s' },
    { ...request, query: '' },
    { ...request, headers: { ...headers, 'if-match': '"3"' } },
    { ...request, headers: { ...headers, 'if-none-match': '"3"' } },
    { ...request, headers: { ...headers, 'content-type': 'text/html' } },
    { ...request, body: Buffer.from('y') },
    { ...request, body: Buffer.from('') },
  ];
  const prints = [request, ...others].map(fingerprintOf);
  expect(new Set(prints).size).toBe(prints.length);
  const travelled = {
    ...request,
    query: 'redirect=never&ttl=5s&timeout=3s&cluster=c',
    headers: { ...headers, host: 'h' },
  };
  expect(fingerprintOf(travelled)).toBe(prints[0]);
});
