import { describe, expect, it } from 'vitest';
import { inWords } from '../../src/cli/words.js';
import { RaftkvClientError } from '../../src/client/index.js';

/** What only somebody who speaks HTTP knows. */
const http =
  /\/v1\/|\b(GET|PUT|POST|DELETE|PATCH)\b|If-(None-)?Match|waitSeconds|ttlSeconds|minRevision|fromRevision|=true|"timeout"/;

function words(code: string, detail: string, command: string, data: Readonly<Record<string, unknown>> = {}) {
  return inWords(new RaftkvClientError(code, detail, 409, { code, detail, ...data }), command);
}

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
