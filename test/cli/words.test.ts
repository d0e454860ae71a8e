import { describe, expect, it } from 'vitest';
import { inWords } from '../../src/cli/words.js';
import { RaftkvClientError } from '../../src/client/index.js';
import { listen, serve } from '../http/kit.js';
import { run } from './kit.js';

/** What only somebody who speaks HTTP knows. */
const http =
  /\/v1\/|\b(GET|PUT|POST|DELETE|PATCH)\b|If-(None-)?Match|waitSeconds|ttlSeconds|minRevision|fromRevision|=true|"timeout"|The (body|path)|Content-Type|JSON such as/;

function words(code: string, detail: string, command: string, data: Readonly<Record<string, unknown>> = {}) {
  return inWords(new RaftkvClientError(code, detail, 409, { code, detail, ...data }), command);
}

describe('what a server refuses', () => {
  it.each([
    [['put', 'a', 'x'.repeat(1_001)]],
    [['put', 'a', 'x', '--content-type', 'nonsense']],
    [['put', 'a', 'x', '--lease', 'abc']],
    [['put', 'a', 'x', '--lease', '99']],
    [['put', '.raftkv/a', 'x']],
    [['put', '', 'x']],
    [['get', '']],
    [['get', 'a'.repeat(5_000)]],
    [['get', 'a', '--revision', '999']],
    [['delete', 'a']],
    [['delete', '--prefix', '']],
    [['delete', '--prefix', '.raftkv/']],
    [['add', 'word']],
    [['list', '--prefix', 'a'.repeat(5_000)]],
    [['watch', '--prefix', '', '--from-revision', '999']],
    [['watch', 'a'.repeat(5_000)]],
    [['compact', '--revision', '999']],
    [['txn']],
    [['lease', 'show', 'x']],
    [['lease', 'keepalive', '77']],
    [['lease', 'revoke', '0']],
    [['member', 'add', 'n 4', 'h:1']],
    [['member', 'add', 'n4', '0.0.0.0:1']],
    [['member', 'add', 'n4', 'h:1', '--client', 'ftp://h']],
    [['member', 'remove', 'n 4']],
    [['leader', 'transfer', 'n 4']],
  ])('is told without HTTP: %j', async (parameters) => {
    const { app } = serve();
    const endpoint = `http://127.0.0.1:${await listen(app)}`;
    await app.inject({ method: 'PUT', url: '/v1/kv/word', payload: 'word' });
    const input = '{"success":[{"put":{"key":"a"}}]}';
    const ran = await run([...parameters, '--endpoints', endpoint], { input });
    await app.close();
    expect(ran).toMatchObject({ code: 1, output: '' });
    expect(ran.errors).toMatch(/^raftkv: .*\.( |$)/);
    expect(ran.errors).not.toMatch(http);
  });

  it.each(['', 'a'.repeat(2_000)])('is told of the name of a lock without HTTP', async (name) => {
    const { app } = serve();
    const endpoint = `http://127.0.0.1:${await listen(app)}`;
    const ran = await run(['lock', '--endpoints', endpoint, name, '--', 'true']);
    await app.close();
    expect(ran.code).toBe(1);
    expect(ran.errors).not.toMatch(http);
  });
});

describe('the words of the command line', () => {
  it.each([
    ['key_not_found', 'There is no such key at this revision. PUT creates it.', 'get', {}],
    ['key_not_found', 'There is no such key at this revision. PUT creates it.', 'delete', {}],
    [
      'precondition_failed',
      'The key does not exist. Nothing was changed; a PUT with If-None-Match: * creates it.',
      'put',
      { revision: 0 },
    ],
    [
      'lock_held',
      'Ask again later, or with "waitSeconds" to stand in line for it.',
      'lock',
      { value: 'h', token: 7 },
    ],
    ['lease_not_found', 'There is no lease 7; POST /v1/leases grants one.', 'put', { lease: '7' }],
    ['quorum_at_risk', 'Bring the others back first, or add force=true.', 'member remove', {}],
    ['unavailable', 'n2 did not take over in time; see GET /v1/status for who leads.', 'leader transfer', {}],
    ['bad_request', '"timeout" must be a duration, "minRevision" is ahead.', 'get', {}],
  ] as const)('say %s without HTTP', (code, detail, command, data) => {
    expect(words(code, detail, command, data)).not.toMatch(http);
  });

  it('do not offer to create what was to be deleted', () => {
    const said = words('key_not_found', 'There is no such key at this revision. PUT creates it.', 'delete');
    expect(said).toBe('There is no such key. Nothing was deleted.');
    expect(words('precondition_failed', 'x', 'delete', { revision: 0 })).not.toContain('create');
  });

  it('say who holds a lock, whatever is in its name', () => {
    expect(words('lock_held', 'x', 'lock', { value: 'host\u001b[31m 7', token: 7 })).toBe(
      '"host\\u001b[31m 7" (token 7) holds the lock. Try again later, or stand in line for it with --wait 10s.',
    );
  });

  it('leave alone what needs no other words', () => {
    const detail = 'There are 100000 leases, and no more can be granted.';
    expect(words('too_many_leases', detail, 'lease grant')).toBe(detail);
  });
});
