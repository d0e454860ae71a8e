import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { serve } from './kit.js';

const json = (body: string): { readonly nextCursor?: string; readonly detail?: string } => JSON.parse(body);

describe('put', () => {
  it('answers 201 for a new key and 200 for a replaced one, with the revision as a strong ETag', async () => {
    const { app } = serve();
    const created = await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'x' });
    expect(created.statusCode).toBe(201);
    expect(json(created.body)).toEqual({ key: 'a', revision: 1, created: true });
    expect(created.headers.etag).toBe('"1"');
    const replaced = await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'y' });
    expect(replaced.statusCode).toBe(200);
    expect(json(replaced.body)).toEqual({ key: 'a', revision: 2, created: false });
  });

  it('stores every body as bytes, whatever its Content-Type says', async () => {
    const { app } = serve();
    for (const contentType of [
      'application/json',
      'multipart/form-data; boundary=x',
      'text/plain',
      'a/b;c=d',
    ]) {
      const payload = Buffer.from('{"not json\x00\xff', 'latin1');
      const put = await app.inject({
        method: 'PUT',
        url: '/v1/kv/a',
        payload,
        headers: { 'content-type': contentType },
      });
      expect(put.statusCode).toBeLessThan(300);
      const got = await app.inject('/v1/kv/a');
      expect(got.rawPayload).toEqual(payload);
      expect(got.headers['content-type']).toBe(contentType);
    }
  });

  it.each([
    ['application/x-www-form-urlencoded'],
    ['Application/X-WWW-form-urlencoded; charset=utf-8'],
    [''],
  ])('keeps %j as application/octet-stream', async (contentType) => {
    const { app } = serve();
    await app.inject({
      method: 'PUT',
      url: '/v1/kv/a',
      payload: 'a=b',
      headers: { 'content-type': contentType },
    });
    const got = await app.inject('/v1/kv/a');
    expect(got.headers['content-type']).toBe('application/octet-stream');
  });

  it('accepts an empty value and one of exactly the limit, and refuses one byte more with 413', async () => {
    const { app, node } = serve({ valueBytesMax: 10 });
    expect((await app.inject({ method: 'PUT', url: '/v1/kv/a' })).statusCode).toBe(201);
    expect((await app.inject('/v1/kv/a')).rawPayload.length).toBe(0);
    const full = await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: Buffer.alloc(10) });
    expect(full.statusCode).toBe(200);
    const calls = node.calls.length;
    const over = await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: Buffer.alloc(11) });
    expect(over.statusCode).toBe(413);
    expect(json(over.body)).toMatchObject({ code: 'value_too_large', bytesMax: 10 });
    expect(node.calls.length).toBe(calls);
  });

  it.each([
    ['If-Match', '"1"', 200],
    ['If-Match', '"7"', 412],
    ['If-None-Match', '*', 412],
    ['If-Match', '*', 200],
    ['If-Match', '1', 400],
    ['If-Match', '', 400],
    // If-Match compares strongly, and If-None-Match weakly.
    ['If-Match', 'W/"1"', 412],
    ['If-Match', '"2", "1"', 200],
    ['If-Match', '"2", "3"', 412],
    ['If-Match', '"abc"', 412],
    ['If-Match', '"99999999999999999999"', 412],
    ['If-Match', Array.from({ length: 101 }, (_, tag) => `"${tag}"`).join(), 400],
    ['If-None-Match', '"1"', 412],
    ['If-None-Match', '"2", W/"1"', 412],
    ['If-None-Match', '"2"', 200],
    ['If-None-Match', '"abc"', 200],
    ['If-None-Match', '1', 400],
  ])('with %s: %s on revision 1 answers %i', async (name, value, status) => {
    const { app, node } = serve();
    await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'x' });
    const answer = await app.inject({
      method: 'PUT',
      url: '/v1/kv/a',
      payload: 'y',
      headers: { [name]: value },
    });
    expect(answer.statusCode).toBe(status);
    if (status === 412) expect(json(answer.body)).toMatchObject({ code: 'precondition_failed', revision: 1 });
    expect(node.position().revision).toBe(status === 200 ? 2 : 1);
  });

  it.each(['"1"', '"1", "2"', '*'])(
    'answers 412 to If-Match: %s on a key that does not exist',
    async (tags) => {
      const { app } = serve();
      for (const method of ['PUT', 'DELETE'] as const) {
        const answer = await app.inject({ method, url: '/v1/kv/a', headers: { 'if-match': tags } });
        expect(answer.statusCode).toBe(412);
        expect(json(answer.body)).toMatchObject({ revision: 0 });
      }
    },
  );

  it('takes If-None-Match with a tag for a key that does not exist', async () => {
    const { app } = serve();
    const headers = { 'if-none-match': '"1"' };
    expect((await app.inject({ method: 'PUT', url: '/v1/kv/a', headers })).statusCode).toBe(201);
  });

  it.each([
    [{ url: '/v1/kv/a?ttl=30' }, '"ttl"'],
    [{ url: '/v1/kv/a?ttl=999ms' }, '"ttl"'],
    [{ url: '/v1/kv/a?ttl=8761h' }, '"ttl"'],
    [{ url: '/v1/kv/a?lease=0' }, '"lease"'],
    [{ url: '/v1/kv/a?lease=1&ttl=30s' }, '"ttl"'],
    [{ url: '/v1/kv/a', headers: { 'idempotency-key': '' } }, 'Idempotency-Key'],
    [{ url: '/v1/kv/a', headers: { 'idempotency-key': 'k'.repeat(129) } }, 'Idempotency-Key'],
    [{ url: '/v1/kv/.raftkv/locks/a' }, '.raftkv/'],
    [{ url: '/v1/kv/a', headers: { 'content-encoding': 'gzip' } }, 'Content-Encoding'],
    [{ url: '/v1/kv/a', headers: { 'content-range': 'bytes 0-1/2' } }, 'Content-Range'],
    [{ url: '/v1/kv/a', headers: { 'content-type': 'nonsense' } }, 'Content-Type'],
  ])('refuses %j by name, and does not ignore it', async (request, word) => {
    const { app, node } = serve();
    const answer = await app.inject({ method: 'PUT', payload: 'x', ...request });
    expect(answer.statusCode).toBe(400);
    expect(json(answer.body).detail).toContain(word);
    expect(node.calls).toEqual([]);
  });
});

describe('get and head', () => {
  it('gives the bytes with the headers of every answer, and HEAD the same without a body', async () => {
    const { app } = serve();
    await app.inject({
      method: 'PUT',
      url: '/v1/kv/a',
      payload: 'hello',
      headers: { 'content-type': 'text/html' },
    });
    for (const method of ['GET', 'HEAD'] as const) {
      const answer = await app.inject({ method, url: '/v1/kv/a' });
      expect(answer.statusCode).toBe(200);
      expect(answer.headers).toMatchObject({
        'content-type': 'text/html',
        'content-length': '5',
        etag: '"1"',
        'raftkv-revision': '1',
        'raftkv-term': '7',
        'raftkv-node': 'n1',
        'raftkv-consistency': 'linearizable',
        'x-content-type-options': 'nosniff',
      });
      expect(answer.body).toBe(method === 'GET' ? 'hello' : '');
    }
  });

  it('answers 404 key_not_found', async () => {
    const { app } = serve();
    const answer = await app.inject('/v1/kv/a');
    expect(answer.statusCode).toBe(404);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(json(answer.body)).toMatchObject({ status: 404, code: 'key_not_found' });
  });

  it.each([
    ['If-None-Match', '"1"', 304],
    ['If-None-Match', 'W/"1"', 304],
    ['If-None-Match', '"9", "1"', 304],
    ['If-None-Match', '*', 304],
    ['If-None-Match', ',"3", ,"1",', 304],
    ['If-None-Match', ',"3",', 200],
    ['If-None-Match', ' , ', 400],
    ['If-None-Match', '"1" "3"', 400],
    ['If-None-Match', '"2"', 200],
    ['If-None-Match', '"abc"', 200],
    ['If-None-Match', '1', 400],
    ['If-Match', '"1"', 200],
    ['If-Match', '*', 200],
    ['If-Match', 'W/"1"', 412],
    ['If-Match', '"2"', 412],
  ])('with %s: %s on revision 1 answers %i', async (name, value, status) => {
    const { app } = serve();
    await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'x' });
    const answer = await app.inject({ url: '/v1/kv/a', headers: { [name]: value } });
    expect(answer.statusCode).toBe(status);
    if (status === 304) {
      expect(answer.body).toBe('');
      expect(answer.headers.etag).toBe('"1"');
    }
  });
});

describe('keys', () => {
  it.each([
    ['/v1/kv/a/b', { key: 'a/b' }],
    ['/v1/kv/a%2Fb', { key: 'a/b' }],
    ['/v1/kv/a+b', { key: 'a+b' }],
    ['/v1/kv/a%20b', { key: 'a b' }],
    ['/v1/kv//', { key: '/' }],
    ['/v1/kv/%FF', { keyBase64: '/w==' }],
    ['/v1/kv/%00', { key: '\0' }],
    ['/v1/kv/e%CC%81', { key: 'e\u0301' }],
    ['/v1/kv/%C3%A9', { key: 'é' }],
    ['/v1/kv/%25', { key: '%' }],
    ['/v1/kv/key', { key: 'key' }],
    [`/v1/kv/${'k'.repeat(4096)}`, { key: 'k'.repeat(4096) }],
  ])('%s is taken byte for byte', async (url, key) => {
    const { app } = serve();
    const answer = await app.inject({ method: 'PUT', url, payload: 'x' });
    expect(answer.statusCode).toBe(201);
    expect(json(answer.body)).toEqual({ ...key, revision: 1, created: true });
    expect((await app.inject(url)).body).toBe('x');
  });

  it.each([['/v1/kv/'], ['/v1/kv/%'], ['/v1/kv/%F'], ['/v1/kv/%zz'], [`/v1/kv/${'k'.repeat(4097)}`]])(
    '%.20s is refused with 400 for every method',
    async (url) => {
      const { app, node } = serve();
      for (const method of ['GET', 'PUT', 'DELETE', 'HEAD'] as const) {
        expect((await app.inject({ method, url })).statusCode).toBe(400);
      }
      expect(node.calls).toEqual([]);
    },
  );
});

describe('delete', () => {
  it('answers 200 with the revision, 404 where there is no key, and takes conditions', async () => {
    const { app } = serve();
    await app.inject({ method: 'PUT', url: '/v1/kv/a' });
    const wrong = await app.inject({ method: 'DELETE', url: '/v1/kv/a', headers: { 'if-match': '"9"' } });
    expect(wrong.statusCode).toBe(412);
    const right = await app.inject({ method: 'DELETE', url: '/v1/kv/a', headers: { 'if-match': '"1"' } });
    expect(json(right.body)).toEqual({ revision: 2, deleted: 1 });
    const again = await app.inject({ method: 'DELETE', url: '/v1/kv/a' });
    expect(again.statusCode).toBe(404);
    expect(again.headers['raftkv-revision']).toBe('2');
  });

  it('deletes by a prefix, which may be any bytes and not empty', async () => {
    const { app } = serve();
    for (const key of ['a', '%FFa', '%FFb', 'b']) await app.inject({ method: 'PUT', url: `/v1/kv/${key}` });
    const answer = await app.inject({ method: 'DELETE', url: '/v1/kv?prefix=%FF' });
    expect(answer.statusCode).toBe(200);
    expect(json(answer.body)).toEqual({ revision: 5, deleted: 2 });
    const nothing = await app.inject({ method: 'DELETE', url: '/v1/kv?prefix=zz' });
    expect(json(nothing.body)).toEqual({ revision: 5, deleted: 0 });
    for (const url of ['/v1/kv?prefix=', '/v1/kv', '/v1/kv?prefix']) {
      expect((await app.inject({ method: 'DELETE', url })).statusCode).toBe(400);
    }
    const conditional = await app.inject({
      method: 'DELETE',
      url: '/v1/kv?prefix=a',
      headers: { 'if-match': '"1"' },
    });
    expect(conditional.statusCode).toBe(400);
  });

  it('says what to do where a prefix stands for too many keys', async () => {
    const { app, node } = serve();
    node.nextResult = { kind: 'tooManyKeys', revision: 0 };
    const answer = await app.inject({ method: 'DELETE', url: '/v1/kv?prefix=a' });
    expect(answer.statusCode).toBe(409);
    expect(json(answer.body)).toMatchObject({
      code: 'too_many_keys',
      keysMax: 10_000,
      detail: expect.stringContaining('in parts'),
    });
    expect((await app.inject({ method: 'DELETE', url: '/v1/kv?prefix=a' })).statusCode).toBe(200);
  });
});

describe('list', () => {
  it('gives pages of one revision, in byte order, whatever is written between them', async () => {
    const { app } = serve();
    for (const key of ['p/c', 'p/a', '%FF', 'p/b', 'q']) {
      await app.inject({ method: 'PUT', url: `/v1/kv/${key}`, payload: key });
    }
    const first = json((await app.inject('/v1/kv?prefix=p/&limit=2&cursor=')).body);
    expect(first).toMatchObject({ revision: 5, items: [{ key: 'p/a', value: 'p/a' }, { key: 'p/b' }] });
    await app.inject({ method: 'PUT', url: '/v1/kv/p/d' });
    const second = json((await app.inject(`/v1/kv?prefix=p/&cursor=${first.nextCursor}`)).body);
    expect(second).toEqual({
      revision: 5,
      items: [{ key: 'p/c', value: 'p/c', createRevision: 1, modRevision: 1, version: 1 }],
    });
  });

  it('shows bytes that are not text as base64, content types, and with keysOnly no values', async () => {
    const { app } = serve();
    await app.inject({
      method: 'PUT',
      url: '/v1/kv/%FF',
      payload: Buffer.from([0xfe]),
      headers: { 'content-type': 'image/png' },
    });
    const item = {
      keyBase64: '/w==',
      createRevision: 1,
      modRevision: 1,
      version: 1,
      contentType: 'image/png',
    };
    expect(json((await app.inject('/v1/kv')).body)).toEqual({
      revision: 1,
      items: [{ ...item, valueBase64: '/g==' }],
    });
    expect(json((await app.inject('/v1/kv?keysOnly=true')).body)).toEqual({ revision: 1, items: [item] });
  });

  it('limits a page to 100 unless told, and to 1,000', async () => {
    const { app, node } = serve();
    await app.inject('/v1/kv');
    await app.inject('/v1/kv?limit=1000');
    expect(node.calls).toContain('list 100');
    expect(node.calls).toContain('list 1000');
  });

  it('refuses cursors that it did not give, and those of another prefix or revision', async () => {
    const { app } = serve();
    for (const key of ['a1', 'a2']) await app.inject({ method: 'PUT', url: `/v1/kv/${key}` });
    const { nextCursor } = json((await app.inject('/v1/kv?prefix=a&limit=1')).body);
    for (const query of [
      'cursor=nonsense',
      'cursor=AAAA',
      `prefix=a&cursor=${nextCursor}x`,
      `prefix=b&cursor=${nextCursor}`,
      `cursor=${nextCursor}`,
      `prefix=a&revision=1&cursor=${nextCursor}`,
    ]) {
      expect([query, (await app.inject(`/v1/kv?${query}`)).statusCode]).toEqual([query, 400]);
    }
  });
});
