import type { FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listen, serve } from '../http/kit.js';
import { type Ran, type RunOptions, run } from './kit.js';

let app: FastifyInstance;
let endpoint: string;

beforeEach(async () => {
  ({ app } = serve());
  endpoint = `http://127.0.0.1:${await listen(app)}`;
});

afterEach(async () => {
  await app.close();
});

function on(parameters: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return run([...parameters, '--endpoints', endpoint], options);
}

describe('txn', () => {
  const claim = JSON.stringify({
    compare: [{ key: 'owner', target: 'exists', op: '=', value: false }],
    success: [{ put: { key: 'owner', value: 'me' } }, { delete: { prefix: 'old/' } }],
    failure: [{ get: { key: 'owner' } }, { get: { key: 'other' } }],
  });

  it('says which branch was done and what came of it, for people and programs', async () => {
    expect((await on(['txn'], { input: claim })).output.split('\n')).toEqual([
      'the comparisons hold: success; the store is at revision 1',
      'put owner created',
      'delete 0 keys',
      '',
    ]);
    const again = await on(['txn'], { input: claim });
    expect(again.code).toBe(0);
    expect(again.output.split('\n')).toEqual([
      'the comparisons do not hold: failure; the store is at revision 1',
      'get owner me at revision 1',
      'get nothing',
      '',
    ]);
    expect(JSON.parse((await on(['txn', '--json'], { input: claim })).output)).toMatchObject({
      succeeded: false,
      results: [{ get: { items: [{ key: 'owner', value: 'me', version: 1 }] } }, { get: { items: [] } }],
    });
  });

  it('takes what the server takes, bytes included, and says what is wrong', async () => {
    const bytes = '{"success":[{"put":{"keyBase64":"/w==","valueBase64":"/g=="}}]}';
    expect((await on(['txn'], { input: bytes })).output).toContain('put base64:/w== created');
    const more = '{"success":[{"put":{"key":"t","value":"","ttlSeconds":9}},{"add":{"key":"n","delta":2}}]}';
    expect((await on(['txn'], { input: more })).output).toContain('put t created with lease 1\nadd n is 2\n');
    expect((await on(['txn', '-'], { input: '{}' })).code).toBe(0);
    const wrong = await on(['txn'], { input: '{"success":[{"put":{}}]}' });
    expect(wrong).toMatchObject({ code: 1, errors: expect.stringContaining('(bad_request)') });
    // The last one is text in another encoding, which would be stored as other bytes.
    for (const input of ['', '[]', 'null', '{"a"', '{"success":[{"put":{"key":"a","value":"caf\xe9"}}]}']) {
      expect(await on(['txn'], { input })).toMatchObject({ code: 2, output: '' });
    }
  });
});

describe('lease', () => {
  it('grants, keeps alive, shows, lists and revokes', async () => {
    expect((await on(['lease', 'list'])).output).toBe('no leases\n');
    expect((await on(['lease', 'grant', '30s'])).output).toBe('lease 1 granted for 30 s\n');
    await on(['put', 'a', 'x', '--lease', '1']);
    expect((await on(['lease', 'keepalive', '1', '--ttl', '2m'])).output).toBe('lease 1 lives for 120 s\n');
    expect((await on(['lease', 'keepalive', '1'])).output).toBe('lease 1 lives for 120 s\n');
    expect((await on(['lease', 'show', '1'])).output).toBe('lease 1: 120 s of 120 s are left\na\n');
    expect((await on(['lease', 'list'])).output).toMatch(/^ID +TTL +LEFT\n1 +120 s +120 s\n$/);
    expect((await on(['lease', 'revoke', '1'])).output).toBe('lease 1 revoked, 1 key deleted\n');
    const gone = await on(['lease', 'show', '1']);
    expect(gone).toMatchObject({ code: 1, errors: expect.stringContaining('(lease_not_found)') });
  });

  it('prints JSON for programs', async () => {
    const json = async (...parameters: readonly string[]) =>
      JSON.parse((await on(['lease', ...parameters, '--json'])).output);
    expect(await json('grant', '1500ms')).toMatchObject({ lease: '1', ttlSeconds: 1.5 });
    expect(await json('show', '1')).toMatchObject({ lease: '1', keys: [] });
    expect(await json('list')).toMatchObject({ leases: [{ lease: '1', ttlSeconds: 1.5 }] });
    expect(await json('revoke', '1')).toMatchObject({ lease: '1', deleted: 0 });
  });

  it('lists all leases, however many pages they are', async () => {
    const puts = Array.from({ length: 1_003 }, (_, index) =>
      app.inject({ method: 'PUT', url: `/v1/kv/k${index}?ttl=30s`, payload: 'x' }),
    );
    await Promise.all(puts);
    expect(JSON.parse((await on(['lease', 'list', '--json'])).output).leases).toHaveLength(1_003);
  });
});
