import { describe, expect, it } from 'vitest';
import { DELETED_KEYS_MAX, TXN_OPERATIONS_MAX } from '../../src/kv/types.js';
import { serve } from './kit.js';

type App = ReturnType<typeof serve>['app'];

async function call(app: App, method: 'GET' | 'POST' | 'DELETE' | 'PUT', url: string, body?: unknown) {
  const payload = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  const answer = await app.inject({ method, url, payload });
  return { status: answer.statusCode, body: JSON.parse(answer.body) };
}

describe('leases', () => {
  it('are granted, shown, kept alive, listed and revoked with their keys', async () => {
    const { app, node } = serve();
    expect(await call(app, 'POST', '/v1/leases', { ttlSeconds: 10 })).toEqual({
      status: 201,
      body: { lease: '1', ttlSeconds: 10, revision: 0 },
    });
    expect((await call(app, 'PUT', '/v1/kv/a?lease=1', 'x')).status).toBe(201);
    expect((await call(app, 'PUT', '/v1/kv/b?lease=1', 'x')).status).toBe(201);
    node.logTimeMs = 4_000;
    await call(app, 'PUT', '/v1/kv/c', 'x');
    const shown = { lease: '1', ttlSeconds: 10, remainingSeconds: 6 };
    expect((await call(app, 'GET', '/v1/leases/1')).body).toEqual({
      ...shown,
      keys: [{ key: 'a' }, { key: 'b' }],
    });
    expect((await call(app, 'GET', '/v1/leases')).body).toEqual({ leases: [shown], more: false });
    expect((await call(app, 'POST', '/v1/leases/1/keepalive')).body).toMatchObject({ ttlSeconds: 10 });
    expect((await call(app, 'GET', '/v1/leases/1')).body.remainingSeconds).toBe(10);
    expect((await call(app, 'POST', '/v1/leases/1/keepalive', { ttlSeconds: 2.5 })).body.ttlSeconds).toBe(
      2.5,
    );
    expect(await call(app, 'DELETE', '/v1/leases/1')).toEqual({
      status: 200,
      body: { lease: '1', deleted: 2, revision: 4 },
    });
    expect((await call(app, 'GET', '/v1/kv?keysOnly=true')).body.items).toHaveLength(1);
    for (const [method, url] of [
      ['GET', '/v1/leases/1'],
      ['DELETE', '/v1/leases/1'],
      ['POST', '/v1/leases/1/keepalive'],
      ['PUT', '/v1/kv/d?lease=1'],
    ] as const) {
      expect(await call(app, method, url)).toMatchObject({ status: 404, body: { code: 'lease_not_found' } });
    }
  });

  it('come with a put that gives a time to live, and go when the key is put without', async () => {
    const { app } = serve();
    const { body } = await call(app, 'PUT', '/v1/kv/a?ttl=30s', 'x');
    expect(body).toEqual({ key: 'a', revision: 1, created: true, lease: '1' });
    expect((await call(app, 'GET', '/v1/kv?prefix=a')).body.items[0].lease).toBe('1');
    await call(app, 'PUT', '/v1/kv/a', 'y');
    expect((await call(app, 'GET', '/v1/leases/1')).status).toBe(404);
    expect((await call(app, 'GET', '/v1/kv?prefix=a')).body.items[0]).not.toHaveProperty('lease');
  });

  it('with more keys than one step deletes are revoked in steps, and a repeat is answered as the first time', async () => {
    const { app, node } = serve();
    await call(app, 'POST', '/v1/leases', { ttlSeconds: 10 });
    const keys = Array.from({ length: DELETED_KEYS_MAX + 5 }, (_, at) => `k/${at}`);
    for (let at = 0; at < keys.length; at += TXN_OPERATIONS_MAX) {
      const success = keys
        .slice(at, at + TXN_OPERATIONS_MAX)
        .map((key) => ({ put: { key, value: '', lease: '1' } }));
      expect((await call(app, 'POST', '/v1/txn', { success })).status).toBe(200);
    }
    const revoke = async () => {
      const answer = await app.inject({
        method: 'DELETE',
        url: '/v1/leases/1',
        headers: { 'idempotency-key': 'revoke' },
      });
      return { status: answer.statusCode, body: JSON.parse(answer.body) };
    };
    const first = await revoke();
    expect(first).toMatchObject({ status: 200, body: { deleted: keys.length } });
    expect(node.calls.filter((name) => name.startsWith('write leaseRevoke'))).toHaveLength(2);
    expect(await revoke()).toEqual(first);
    expect((await call(app, 'GET', '/v1/kv?prefix=k/')).body.items).toEqual([]);
  });

  it('are listed in pages', async () => {
    const { app } = serve();
    for (let count = 0; count < 5; count += 1) await call(app, 'POST', '/v1/leases', { ttlSeconds: 10 });
    const ids = (body: { leases: { lease: string }[] }) => body.leases.map(({ lease }) => lease);
    const first = (await call(app, 'GET', '/v1/leases?limit=3')).body;
    expect([ids(first), first.more]).toEqual([['1', '2', '3'], true]);
    const rest = (await call(app, 'GET', '/v1/leases?limit=3&after=3')).body;
    expect([ids(rest), rest.more]).toEqual([['4', '5'], false]);
  });

  it.each([
    ['POST', '/v1/leases', '{}', '"ttlSeconds" is missing'],
    ['POST', '/v1/leases', '{"ttlSeconds":0.5}', 'from 1 to'],
    ['POST', '/v1/leases', '{"ttlSeconds":"30"}', 'a number of seconds'],
    ['POST', '/v1/leases', '{"ttlSeconds":1e10}', 'from 1 to'],
    ['POST', '/v1/leases', '{"ttlSeconds":10,"id":5}', '"id" is not known'],
    ['POST', '/v1/leases/1/keepalive', '{"ttl":5}', '"ttl" is not known'],
    ['POST', '/v1/leases/x/keepalive', '', 'whole number'],
    ['GET', '/v1/leases/0', undefined, 'whole number'],
    ['GET', '/v1/leases?limit=0', undefined, '"limit"'],
  ] as const)('%s %s %s is refused by name', async (method, url, body, word) => {
    const { app, node } = serve();
    const answer = await call(app, method, url, body);
    expect(answer.status).toBe(400);
    expect(answer.body.detail).toContain(word);
    expect(node.calls.filter((made) => made.startsWith('write'))).toEqual([]);
  });
});
