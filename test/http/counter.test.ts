import { describe, expect, it } from 'vitest';
import { serve } from './kit.js';

type App = ReturnType<typeof serve>['app'];

async function add(app: App, key: string, query: string, headers: Record<string, string> = {}) {
  const answer = await app.inject({ method: 'POST', url: `/v1/kv/${key}?${query}`, headers });
  return { status: answer.statusCode, body: answer.json(), etag: answer.headers.etag };
}

const put = (app: App, key: string, payload: string, query = '', headers = {}) =>
  app.inject({ method: 'PUT', url: `/v1/kv/${key}${query}`, payload, headers });

describe('a counter', () => {
  it('is created, counts up and down, and is a value like any other', async () => {
    const { app } = serve();
    expect(await add(app, 'n', 'add=5')).toEqual({
      status: 201,
      body: { key: 'n', value: 5, revision: 1, created: true },
      etag: '"1"',
    });
    expect((await add(app, 'n', 'add=-7&initial=100')).body).toMatchObject({ value: -2, created: false });
    expect((await add(app, 'm', 'add=1&initial=-10')).body).toMatchObject({ value: -9, created: true });
    const read = await app.inject('/v1/kv/n');
    expect([read.body, read.headers['raftkv-version'], read.headers['raftkv-create-revision']]).toEqual([
      '-2',
      '2',
      '1',
    ]);
  });

  it('keeps the content type and the lease of its key', async () => {
    const { app, node } = serve();
    await put(app, 'n', '1', '?ttl=30s', { 'content-type': 'text/plain' });
    await add(app, 'n', 'add=1');
    const read = await app.inject('/v1/kv/n');
    expect([read.body, read.headers['content-type'], read.headers['raftkv-lease']]).toEqual([
      '2',
      'text/plain',
      '1',
    ]);
    // The lease is still the key's own, and goes with it.
    await app.inject({ method: 'DELETE', url: '/v1/kv/n' });
    expect(node.lease(1)).toBeUndefined();
  });

  it('is made once, however often the request is repeated', async () => {
    const { app } = serve();
    const headers = { 'Idempotency-Key': 'k' };
    const first = await add(app, 'n', 'add=3', headers);
    expect(await add(app, 'n', 'add=3', headers)).toEqual(first);
    expect((await add(app, 'n', 'add=4', headers)).body.code).toBe('idempotency_mismatch');
    expect((await app.inject('/v1/kv/n')).body).toBe('3');
  });

  it.each([
    ['five', 'add=1', 409, 'not_a_number'],
    ['', 'add=1', 409, 'not_a_number'],
    ['1.5', 'add=1', 409, 'not_a_number'],
    ['9007199254740992', 'add=1', 409, 'not_a_number'],
    ['9007199254740991', 'add=1', 409, 'sum_out_of_range'],
    ['-9007199254740991', 'add=-1', 409, 'sum_out_of_range'],
    ['1', '', 400, 'bad_request'],
    ['1', 'add=', 400, 'bad_request'],
    ['1', 'add=1.5', 400, 'bad_request'],
    ['1', 'add=9007199254740992', 400, 'bad_request'],
    ['1', 'add=1&initial=x', 400, 'bad_request'],
    ['1', 'add=1&ttl=5s', 400, 'bad_request'],
  ])('that holds %j refuses %j', async (value, query, status, code) => {
    const { app } = serve();
    await put(app, 'n', value);
    const refused = await add(app, 'n', query);
    expect([refused.status, refused.body.code]).toEqual([status, code]);
    expect((await app.inject('/v1/kv/n')).body).toBe(value);
  });

  it('takes no condition, and is not below the keys of the server', async () => {
    const { app } = serve();
    expect((await add(app, 'n', 'add=1', { 'if-match': '"1"' })).status).toBe(400);
    expect((await add(app, '.raftkv/n', 'add=1')).status).toBe(400);
  });
});

describe('compaction by request', () => {
  it('drops the past up to a revision, or all of it', async () => {
    const { app } = serve();
    for (const value of ['1', '2', '3']) await put(app, 'a', value);
    const compact = async (payload: string) => {
      const answer = await app.inject({ method: 'POST', url: '/v1/compact', payload });
      return [answer.statusCode, answer.json()];
    };
    expect(await compact('{"revision":2}')).toEqual([200, { revision: 3, compactedRevision: 2 }]);
    const past = (revision: number) => app.inject(`/v1/kv/a?revision=${revision}`);
    expect([(await past(1)).statusCode, (await past(2)).body]).toEqual([410, '2']);
    // What is gone does not come back, and what does not exist yet cannot go.
    expect((await compact('{"revision":1}'))[1]).toEqual({ revision: 3, compactedRevision: 2 });
    expect(await compact('{"revision":4}')).toMatchObject([409, { code: 'revision_in_future', revision: 3 }]);
    expect((await compact('{"revision":1}'))[1]).toEqual({ revision: 3, compactedRevision: 2 });
    expect((await compact('{"revision":3}'))[1]).toEqual({ revision: 3, compactedRevision: 3 });
    expect((await compact(''))[0]).toBe(200);
    expect((await app.inject('/v1/kv/a')).body).toBe('3');
    expect((await compact('{"revision":0}'))[0]).toBe(400);
  });
});

describe('a put in a transaction', () => {
  it('takes a content type', async () => {
    const { app } = serve();
    const operation = { put: { key: 'a', value: '{}', contentType: 'application/json' } };
    const payload = JSON.stringify({ success: [operation] });
    expect((await app.inject({ method: 'POST', url: '/v1/txn', payload })).statusCode).toBe(200);
    expect((await app.inject('/v1/kv/a')).headers['content-type']).toBe('application/json');
    const wrong = JSON.stringify({ success: [{ put: { ...operation.put, contentType: 'a\nb' } }] });
    expect((await app.inject({ method: 'POST', url: '/v1/txn', payload: wrong })).statusCode).toBe(400);
  });
});
