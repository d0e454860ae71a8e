import { describe, expect, it } from 'vitest';
import { VALUE_BYTES_LIMIT } from '../../src/kv/types.js';
import { listen, RawConnection, serve } from './kit.js';

type App = ReturnType<typeof serve>['app'];

async function txn(app: App, body: unknown, headers: Record<string, string> = {}) {
  const answer = await app.inject({
    method: 'POST',
    url: '/v1/txn',
    payload: typeof body === 'string' ? body : JSON.stringify(body),
    headers,
  });
  return { status: answer.statusCode, body: JSON.parse(answer.body) };
}

const put = (key: string, value: string) => ({ put: { key, value } });
const absent = (key: string) => ({ key, target: 'exists', op: '=', value: false });

describe('a transaction', () => {
  it('does the one branch or the other, all at one revision', async () => {
    const { app } = serve();
    const body = {
      compare: [absent('a')],
      success: [put('a', '1'), put('b', '2')],
      failure: [{ get: { key: 'a' } }],
    };
    expect(await txn(app, body)).toEqual({
      status: 200,
      body: {
        succeeded: true,
        revision: 1,
        results: [{ put: { key: 'a', created: true } }, { put: { key: 'b', created: true } }],
      },
    });
    const item = { key: 'a', value: '1', createRevision: 1, modRevision: 1, version: 1 };
    expect(await txn(app, body)).toEqual({
      status: 200,
      body: { succeeded: false, revision: 1, results: [{ get: { items: [item] } }] },
    });
    expect((await app.inject('/v1/kv/b')).headers.etag).toBe('"1"');
  });

  describe('that only reads', () => {
    const gets = {
      compare: [absent('a')],
      success: [],
      failure: [{ get: { key: 'a' } }, { get: { prefix: '' } }],
    };

    it('is a linearizable read, and no entry of the log', async () => {
      const { app, node } = serve();
      await txn(app, { success: [put('a', '1')] });
      node.calls.length = 0;
      const answer = await app.inject({ method: 'POST', url: '/v1/txn', payload: JSON.stringify(gets) });
      const item = { key: 'a', value: '1', createRevision: 1, modRevision: 1, version: 1 };
      expect(answer.json()).toEqual({
        succeeded: false,
        revision: 1,
        results: [{ get: { items: [item] } }, { get: { items: [item] } }],
      });
      expect(answer.headers['raftkv-consistency']).toBe('linearizable');
      expect(node.calls).toEqual([expect.stringMatching(/^confirmRead /), 'readTxn']);
    });

    it('is served as its parameters say, on a follower too', async () => {
      const { app, node } = serve();
      for (const value of ['1', '2']) await txn(app, { success: [put('a', value)] });
      const post = (query: string) =>
        app.inject({ method: 'POST', url: `/v1/txn${query}`, payload: JSON.stringify(gets) });
      const past = await post('?revision=1');
      expect(past.json()).toMatchObject({ revision: 1, results: [{ get: { items: [{ value: '1' }] } }, {}] });
      node.holdsLease = true;
      expect((await post('?consistency=lease')).headers['raftkv-consistency']).toBe('lease');
      node.routed = { kind: 'follower', leader: 'n2', url: 'http://10.0.0.2:8101' };
      expect((await post('')).statusCode).toBe(307);
      expect((await post('?redirect=never')).headers['raftkv-consistency']).toBe('linearizable');
      const stale = await post('?consistency=stale&minRevision=2');
      expect([stale.statusCode, stale.headers['raftkv-consistency']]).toEqual([200, 'stale']);
    });

    it('goes through the log under an Idempotency-Key, because a repeat gets the first answer', async () => {
      const { app, node } = serve();
      const headers = { 'Idempotency-Key': 'k' };
      const first = await txn(app, gets, headers);
      await txn(app, { success: [put('a', '1')] });
      expect(await txn(app, gets, headers)).toEqual(first);
      expect(node.calls.filter((call) => call.startsWith('write txn'))).toHaveLength(3);
    });

    it('ends when its client has left, and when its time is up', async () => {
      const { app, node } = serve();
      const reasons: unknown[] = [];
      node.readTxn = (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => {
            reasons.push(signal.reason);
            reject(signal.reason);
          });
        });
      const late = await app.inject({
        method: 'POST',
        url: '/v1/txn?timeout=20ms',
        payload: JSON.stringify(gets),
      });
      expect([late.statusCode, late.json().code]).toEqual([503, 'unavailable']);
      const connection = new RawConnection(await listen(app));
      const body = JSON.stringify(gets);
      connection.send(`POST /v1/txn HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      const asked = node.calls.length;
      while (node.calls.length === asked) await new Promise((resolve) => setImmediate(resolve));
      connection.socket.destroy();
      while (reasons.length < 2) await new Promise((resolve) => setImmediate(resolve));
      await app.close();
    });
  });

  it('that changes something takes no parameters of a read', async () => {
    const { app } = serve();
    for (const query of ['consistency=stale', 'minRevision=1', 'revision=0', 'consistency=linearizable']) {
      const payload = JSON.stringify({ success: [put('a', '1')] });
      const answer = await app.inject({ method: 'POST', url: `/v1/txn?${query}`, payload });
      expect([answer.statusCode, answer.json().code]).toEqual([400, 'bad_request']);
    }
    expect((await app.inject('/v1/kv/a')).statusCode).toBe(404);
  });

  it('takes prefixes and bytes, and gives back bytes that are not text as base64', async () => {
    const { app } = serve();
    const binary = Buffer.from([0xff, 0x00]).toString('base64');
    await txn(app, {
      success: [{ put: { keyBase64: binary, valueBase64: binary } }, put('p/1', 'x'), put('p/2', 'y')],
    });
    const answer = await txn(app, {
      compare: [{ keyBase64: binary, target: 'value', op: '=', valueBase64: binary }],
      success: [{ get: { keyBase64: binary } }, { delete: { prefix: 'p/' } }, { get: { prefix: 'p/' } }],
    });
    expect(answer.body).toEqual({
      succeeded: true,
      revision: 2,
      results: [
        { get: { items: [expect.objectContaining({ keyBase64: binary, valueBase64: binary })] } },
        { delete: { deleted: 2 } },
        { get: { items: [] } },
      ],
    });
  });

  it('gets all keys by the empty prefix, as a listing does, and what they come to is bounded', async () => {
    const { app, node } = serve({ valueBytesMax: 1_048_576 });
    await txn(app, { success: [put('a', 'x'), put('b', 'y')] });
    const { items } = (await app.inject('/v1/kv?prefix=')).json();
    expect(items).toHaveLength(2);
    for (const prefix of [{ prefix: '' }, { prefixBase64: '' }]) {
      expect((await txn(app, { success: [{ get: prefix }] })).body.results).toEqual([{ get: { items } }]);
    }
    const half = 'v'.repeat(524_288);
    await txn(app, { success: [put('a', half), put('b', half)] });
    const { revision } = node.position();
    const refused = await txn(app, { success: [put('c', 'z'), { get: { prefix: '' } }] });
    expect([refused.status, refused.body.code]).toEqual([413, 'answer_too_large']);
    expect(node.position().revision).toBe(revision);
  });

  it('counts, and gives keys a time to live', async () => {
    const { app, node } = serve();
    const success = [
      { put: { key: 'a', value: '1', ttlSeconds: 1.5 } },
      { add: { key: 'n', delta: 5 } },
      { add: { keyBase64: '/w==', delta: -1, initial: 3 } },
    ];
    expect(await txn(app, { success })).toEqual({
      status: 200,
      body: {
        succeeded: true,
        revision: 1,
        results: [
          { put: { key: 'a', created: true, lease: '1' } },
          { add: { key: 'n', value: 5, created: true } },
          { add: { keyBase64: '/w==', value: 2, created: true } },
        ],
      },
    });
    expect(node.lease(1)).toMatchObject({ ttlMs: 1500, own: true });
    const again = await txn(app, { success: [{ add: { key: 'n', delta: 1 } }, put('b', 'word')] });
    expect(again.body.results[0]).toEqual({ add: { key: 'n', value: 6, created: false } });
    const refused = await txn(app, { success: [put('c', '1'), { add: { key: 'b', delta: 1 } }] });
    expect([refused.status, refused.body.code]).toEqual([409, 'not_a_number']);
    expect((await app.inject('/v1/kv/c')).statusCode).toBe(404);
  });

  it.each([
    ['value', '=', 'one', true],
    ['value', '<', 'two', true],
    ['value', '!=', 'one', false],
    ['version', '=', 1, true],
    ['modRevision', '>', 0, true],
    ['createRevision', '<', 1, false],
    ['exists', '!=', false, true],
  ])('compares %s %s %j', async (target, op, value, succeeded) => {
    const { app } = serve();
    await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'one' });
    const answer = await txn(app, { compare: [{ key: 'a', target, op, value }] });
    expect(answer).toEqual({ status: 200, body: { succeeded, revision: 1, results: [] } });
  });

  it.each([
    ['{', 'not JSON'],
    ['[]', 'not an object'],
    ['{"succes":[]}', '"succes" is not known'],
    ['{"success":{}}', '"success" must be a list'],
    ['{"success":[{}]}', '"success[0]" must be one operation'],
    ['{"success":[{"put":{"key":"a"}}]}', '"value" is missing'],
    ['{"success":[{"put":{"value":"a"}}]}', '"key" is missing'],
    ['{"success":[{"put":{"key":"","value":"a"}}]}', '1 to 4096'],
    ['{"success":[{"put":{"key":"a","value":1}}]}', '"success[0].put.value" must be a text'],
    ['{"success":[{"put":{"key":"a","value":"b","valueBase64":"Yg=="}}]}', 'not both'],
    ['{"success":[{"put":{"key":"a","valueBase64":"Yg="}}]}', 'base64'],
    ['{"success":[{"put":{"key":"a","value":"b","lease":7}}]}', 'the id of a lease'],
    ['{"success":[{"put":{"key":"a","value":"b","lease":"7","ttlSeconds":5}}]}', 'give one of them'],
    ['{"success":[{"put":{"key":"a","value":"b","ttlSeconds":0.5}}]}', 'seconds from 1'],
    ['{"success":[{"add":{"key":"a"}}]}', 'delta" is missing'],
    ['{"success":[{"add":{"key":"a","delta":1.5}}]}', 'a whole number'],
    ['{"success":[{"add":{"key":"a","delta":1,"ttlSeconds":5}}]}', '"ttlSeconds" is not known'],
    ['{"success":[{"add":{"key":"a","delta":1}},{"put":{"key":"a","value":"1"}}]}', 'changed already'],
    ['{"success":[{"add":{"key":".raftkv/locks/a","delta":1}}]}', '.raftkv/'],
    ['{"success":[{"get":{"key":"a","prefix":"a"}}]}', 'not both'],
    ['{"success":[{"put":{"key":"a","value":"b"},"get":{"key":"a"}}]}', 'one operation'],
    ['{"success":[{"put":{"key":"a","value":"b"}},{"delete":{"key":"a"}}]}', 'changed already'],
    ['{"success":[{"put":{"key":".raftkv/locks/a","value":"b"}}]}', '.raftkv/'],
    ['{"success":[{"delete":{"prefix":".raft"}}]}', '.raftkv/'],
    ['{"success":[{"delete":{"prefix":""}}]}', '1 to 4096'],
    ['{"failure":[{"delete":{"prefixBase64":""}}]}', '1 to 4096'],
    [`{"success":[{"get":{"prefix":"${'a'.repeat(4_097)}"}}]}`, '0 to 4096'],
    ['{"success":[{"get":{}}]}', '"key" is missing'],
    ['{"compare":[{"key":"a","target":"exists","op":"<","value":true}]}', 'by "=" or "!="'],
    ['{"compare":[{"key":"a","target":"version","op":"=","value":"1"}]}', 'a whole number'],
    ['{"compare":[{"key":"a","target":"version","op":"~","value":1}]}', '"compare[0].op" must be'],
    ['{"compare":[{"key":"a","op":"=","value":1}]}', '"compare[0].target" is missing'],
    [`{"success":${JSON.stringify(Array(129).fill({ get: { key: 'a' } }))}}`, 'at most 128'],
  ])('refuses %s and changes nothing', async (body, word) => {
    const { app, node } = serve();
    const answer = await txn(app, body);
    expect(answer.status).toBe(400);
    expect(answer.body.code).toBe('bad_request');
    expect(answer.body.detail).toContain(word);
    expect(node.calls).toEqual([]);
  });

  it.each([
    '{"success":[{"put":{"key":"\\ud800","value":"1"}}]}',
    '{"success":[{"put":{"key":"a","value":"x\\uDFFFx"}}]}',
    '{"compare":[{"key":"\\ud83d","target":"exists","op":"=","value":false}]}',
  ])('refuses half of a surrogate pair, which would be stored as something else: %s', async (body) => {
    const { app, node } = serve();
    const { status, body: problem } = await txn(app, body);
    expect(status).toBe(400);
    expect(problem.detail).toContain('surrogate');
    expect(node.position().revision).toBe(0);
  });

  it.each(['Yg', 'Yg=', 'Y', '=', '==', '====', 'A===', 'Y=g=', 'Yg==Yg==', 'Yg==\\n', 'Yg-_', ' Yg=='])(
    'refuses what is not base64, and would be stored as something else: %s',
    async (text) => {
      const { app } = serve();
      for (const member of [`"key":"a","valueBase64":"${text}"`, `"keyBase64":"${text}","value":"a"`]) {
        const payload = `{"success":[{"put":{${member}}}]}`;
        const answer = await app.inject({ method: 'POST', url: '/v1/txn', payload });
        expect([answer.statusCode, JSON.parse(answer.body).code]).toEqual([400, 'bad_request']);
        expect(JSON.parse(answer.body).detail).toContain('must be a text in base64, padded with "="');
      }
    },
  );

  it('takes the largest value that a node can be told to accept in base64', async () => {
    const { app, node } = serve({ valueBytesMax: VALUE_BYTES_LIMIT });
    const value = Buffer.alloc(VALUE_BYTES_LIMIT, 0xff);
    const payload = `{"success":[{"put":{"key":"a","valueBase64":"${value.toString('base64')}"}}]}`;
    const answer = await app.inject({ method: 'POST', url: '/v1/txn', payload });
    expect(answer.statusCode).toBe(200);
    expect(Buffer.from(node.get(Buffer.from('a'), undefined)?.value ?? []).equals(value)).toBe(true);
  });

  it('refuses what is nested too deeply for any schema, surrogate pairs beside it or not', async () => {
    const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
    for (const text of ['a', '\\ud83d\\ude00', '\\ud83d']) {
      const { app } = serve({ valueBytesMax: 1_000_000 });
      const payload = `{"success":[{"put":{"key":"${text}","value":"b"}}],"x":${deep}}`;
      const answer = await app.inject({ method: 'POST', url: '/v1/txn', payload });
      expect([answer.statusCode, JSON.parse(answer.body).code]).toEqual([400, 'bad_request']);
    }
  });

  it('takes a whole surrogate pair, and text that only looks like one', async () => {
    const { app } = serve();
    await txn(app, '{"success":[{"put":{"key":"\\ud83d\\ude00","value":"\\\\ud800"}}]}');
    expect((await app.inject('/v1/kv/%F0%9F%98%80')).body).toBe('\\ud800');
  });

  it('refuses a value over the limit with 413, and a lease that is not there with 404', async () => {
    const { app } = serve({ valueBytesMax: 10 });
    expect((await txn(app, { success: [put('a', 'x'.repeat(11))] })).body.code).toBe('value_too_large');
    const attached = { put: { key: 'a', value: 'b', lease: '5' } };
    expect(await txn(app, { success: [put('b', 'c'), attached] })).toMatchObject({
      status: 404,
      body: { code: 'lease_not_found', lease: '5' },
    });
    expect((await app.inject('/v1/kv/b')).statusCode).toBe(404);
  });
});
