import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Served, serve } from './kit.js';

/** Numbers at and beyond what formats hold, as text and as JSON. */
const NUMBERS = [
  '0',
  '-0',
  '-1',
  '1',
  '1.5',
  '1.0004',
  '1e-9',
  '31535990',
  '31535999.9996',
  '31536000',
  '31536001',
  `${2 ** 31}`,
  `${2 ** 32}`,
  `${2 ** 47}`,
  `${2 ** 48 - 1}`,
  `${2 ** 48}`,
  '9007199254740991',
  '9007199254740992',
  '-9007199254740991',
  '-9007199254740992',
  '9999999999999999',
  '1e300',
  '1e999',
];

let served: Served;
beforeEach(async () => {
  served = serve();
  await served.app.inject({ method: 'PUT', url: '/v1/kv/k', payload: '1' });
});
afterEach(() => served.app.close());

/** What a client may give a number for: the request with that number in its place. */
const REQUESTS: Readonly<
  Record<string, (number: string) => { method: string; url: string; payload?: string }>
> = {
  'a revision to read': (n) => ({ method: 'GET', url: `/v1/kv/k?revision=${n}` }),
  'a revision to list': (n) => ({ method: 'GET', url: `/v1/kv?revision=${n}` }),
  'a revision to wait for': (n) => ({ method: 'GET', url: `/v1/kv/k?minRevision=${n}&timeout=1ms` }),
  'a limit': (n) => ({ method: 'GET', url: `/v1/kv?limit=${n}` }),
  'a timeout': (n) => ({ method: 'GET', url: `/v1/kv/k?timeout=${n}ms` }),
  'a time to live': (n) => ({ method: 'PUT', url: `/v1/kv/k?ttl=${n}s`, payload: 'x' }),
  'the lease of a put': (n) => ({ method: 'PUT', url: `/v1/kv/k?lease=${n}`, payload: 'x' }),
  'something to add': (n) => ({ method: 'POST', url: `/v1/kv/k?add=${n}` }),
  'an initial count': (n) => ({ method: 'POST', url: `/v1/kv/new?add=1&initial=${n}` }),
  'a lease to show': (n) => ({ method: 'GET', url: `/v1/leases/${n}` }),
  'a lease to renew': (n) => ({ method: 'POST', url: `/v1/leases/${n}/keepalive` }),
  'a lease to revoke': (n) => ({ method: 'DELETE', url: `/v1/leases/${n}` }),
  'where a list of leases goes on': (n) => ({ method: 'GET', url: `/v1/leases?after=${n}` }),
  'how many leases to list': (n) => ({ method: 'GET', url: `/v1/leases?limit=${n}` }),
  'the time of a lease': (n) => ({ method: 'POST', url: '/v1/leases', payload: `{"ttlSeconds":${n}}` }),
  'the new time of a lease': (n) => ({
    method: 'POST',
    url: '/v1/leases/1/keepalive',
    payload: `{"ttlSeconds":${n}}`,
  }),
  'the time of a lock': (n) => ({
    method: 'POST',
    url: `/v1/locks/held-${n}`,
    payload: `{"ttlSeconds":${n},"waitSeconds":3600}`,
  }),
  'the wait for a lock': (n) => ({
    method: 'POST',
    url: `/v1/locks/waited-for-${n}`,
    payload: `{"ttlSeconds":31536000,"waitSeconds":${n}}`,
  }),
  'the token of a lock': (n) => ({ method: 'DELETE', url: '/v1/locks/l', payload: `{"token":${n}}` }),
  'a revision to compact to': (n) => ({ method: 'POST', url: '/v1/compact', payload: `{"revision":${n}}` }),
  'a cluster version': (n) => ({
    method: 'PUT',
    url: '/v1/cluster-version',
    payload: `{"clusterVersion":${n}}`,
  }),
  'what a transaction compares with': (n) =>
    txn(`"compare":[{"key":"k","target":"version","op":"=","value":${n}}]`),
  'what a transaction adds': (n) => txn(`"success":[{"add":{"key":"n","delta":${n},"initial":1}}]`),
  'where a transaction begins to count': (n) =>
    txn(`"success":[{"add":{"key":"n","delta":1,"initial":${n}}}]`),
  'the time to live of a put in a transaction': (n) =>
    txn(`"success":[{"put":{"key":"k","value":"x","ttlSeconds":${n}}}]`),
  'the lease of a put in a transaction': (n) =>
    txn(`"success":[{"put":{"key":"k","value":"x","lease":"${n}"}}]`),
};

function txn(member: string) {
  return { method: 'POST', url: '/v1/txn', payload: `{${member}}` };
}

describe('a number at the edge of what formats hold', () => {
  it.each(Object.keys(REQUESTS))('as %s is taken or refused with a sentence', async (name) => {
    for (const number of NUMBERS) {
      const request = REQUESTS[name]?.(number);
      const answer = await served.app.inject({
        ...(request as { method: 'GET'; url: string }),
        headers: { 'content-type': 'application/json' },
      });
      expect({
        number,
        status: answer.statusCode,
        body: answer.statusCode >= 500 ? answer.body : '',
      }).toEqual({
        number,
        status: expect.toSatisfy((status: number) => status < 500 || status === 503),
        body: expect.not.stringContaining('"internal"'),
      });
    }
  });

  it.each(['If-Match', 'If-None-Match'])('in %s is taken or refused with a sentence', async (header) => {
    for (const number of NUMBERS) {
      for (const method of ['GET', 'PUT', 'DELETE'] as const) {
        const { statusCode } = await served.app.inject({
          method,
          url: '/v1/kv/k',
          headers: { [header]: `"${number}"` },
          ...(method === 'PUT' ? { payload: 'x' } : {}),
        });
        expect([number, method, statusCode]).toEqual([
          number,
          method,
          expect.toSatisfy((s: number) => s < 500),
        ]);
      }
    }
  });
});
