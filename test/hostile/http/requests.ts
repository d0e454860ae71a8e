/** Valid requests of every route, and what becomes of them in a hostile client's hands. */
import type { Prng } from '../../../src/sim/prng.js';
import { mutate, mutateBytes } from '../mutations.js';
import { namesOnlyLoopback } from '../only-loopback.js';

/** A request before it is bytes. */
export interface Draft {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** An object is sent as JSON. */
  readonly body?: object | string | undefined;
}

/** All that hostile clients write begins with it. */
export const HOSTILE_PREFIX = 'hostile/';
/** Everything that the steady client writes begins with it, and no hostile request that holds its first byte is sent. */
export const STEADY_PREFIX = '~steady/';
/** Keys with large values, more than fit one page. */
export const LARGE_PREFIX = 'hostile/large/';
/** Many small keys. */
export const MANY_PREFIX = 'hostile/many/';
/** A lock that the campaign holds, so that everybody else waits for it. */
export const HELD_LOCK = 'hostile-held';

/** Nothing listens there, or nothing that is a member. */
const SILENT_PEERS = ['127.0.0.1:1', '127.9.9.9:7101', '127.0.0.1:65535'];
const VOTER_COUNT = 3;

/** A member in the body of a request. */
export interface Voter {
  readonly id: string;
  readonly peer: string;
}

type Route = (random: Prng, voters: readonly Voter[]) => Draft;

const key = (random: Prng): string => `/v1/kv/${HOSTILE_PREFIX}${random.integer(0, 200)}`;
const lock = (random: Prng): string => `/v1/locks/hostile-${random.integer(0, 20)}`;
const hostileId = (random: Prng): string => `h${random.integer(1, 20)}`;

/** One that never comes, or one at the address of a voter. */
export function newMember(random: Prng, voters: readonly Voter[]): Voter {
  const peers = [...SILENT_PEERS, ...voters.map(({ peer }) => peer)];
  return { id: hostileId(random), peer: random.pick(peers) ?? '' };
}

function draft(method: string, target: string, body?: object | string): Draft {
  return { method, target, headers: [], body };
}

/** One for each method of each path of /openapi.json, under their names there. */
export const routes: Readonly<Record<string, Route>> = {
  'GET /v1/kv/{key}': (random) => draft('GET', key(random)),
  'HEAD /v1/kv/{key}': (random) => draft('HEAD', `${key(random)}?consistency=stale`),
  'PUT /v1/kv/{key}': (random) =>
    draft('PUT', `${key(random)}?timeout=2s`, 'x'.repeat(random.integer(0, 2_000))),
  'DELETE /v1/kv/{key}': (random) => draft('DELETE', `${key(random)}?redirect=never`),
  'POST /v1/kv/{key}': () => draft('POST', `/v1/kv/${HOSTILE_PREFIX}counter?add=1&initial=3`),
  'GET /v1/kv': () => draft('GET', `/v1/kv?prefix=${HOSTILE_PREFIX}&limit=20&keysOnly=true`),
  'DELETE /v1/kv': (random) => draft('DELETE', `/v1/kv?prefix=${HOSTILE_PREFIX}${random.integer(0, 200)}`),
  'POST /v1/txn': (random) =>
    draft('POST', '/v1/txn', {
      compare: [{ key: `${HOSTILE_PREFIX}1`, target: 'modRevision', op: '=', value: random.integer(0, 9) }],
      success: [{ put: { key: `${HOSTILE_PREFIX}2`, value: 'x', contentType: 'text/plain' } }],
      failure: [{ get: { key: `${HOSTILE_PREFIX}3` } }, { delete: { prefix: `${HOSTILE_PREFIX}19` } }],
    }),
  'POST /v1/compact': (random) => draft('POST', '/v1/compact', { revision: random.integer(1, 1_000) }),
  'POST /v1/leases': (random) => draft('POST', '/v1/leases', { ttlSeconds: random.integer(1, 10) }),
  'GET /v1/leases': () => draft('GET', '/v1/leases?limit=10&after=0'),
  'GET /v1/leases/{id}': (random) => draft('GET', `/v1/leases/${random.integer(1, 2_000)}`),
  'DELETE /v1/leases/{id}': (random) => draft('DELETE', `/v1/leases/${random.integer(1, 2_000)}`),
  'POST /v1/leases/{id}/keepalive': (random) =>
    draft('POST', `/v1/leases/${random.integer(1, 2_000)}/keepalive`, { ttlSeconds: 5 }),
  'POST /v1/locks/{name}': (random) =>
    draft('POST', lock(random), { ttlSeconds: 2, waitSeconds: 0.2, value: 'hostile' }),
  'GET /v1/locks/{name}': (random) => draft('GET', lock(random)),
  'DELETE /v1/locks/{name}': (random) => draft('DELETE', `${lock(random)}?token=${random.integer(1, 9)}`),
  'GET /v1/watch': () => draft('GET', `/v1/watch?prefix=${HOSTILE_PREFIX}&fromRevision=1&previous=true`),
  'GET /v1/status': () => draft('GET', '/v1/status'),
  'GET /v1/members': () => draft('GET', '/v1/members'),
  'POST /v1/members': (random, voters) => draft('POST', '/v1/members?timeout=1s', newMember(random, voters)),
  'PUT /v1/members': (random, voters) =>
    draft('PUT', '/v1/members?timeout=1s', { members: [...voters, newMember(random, voters)] }),
  'DELETE /v1/members/{id}': (random) => draft('DELETE', `/v1/members/${hostileId(random)}`),
  'POST /v1/members/{id}/promote': (random) =>
    draft('POST', `/v1/members/${hostileId(random)}/promote?timeout=1s`),
  'POST /v1/leader': () => draft('POST', '/v1/leader', { to: 'h1' }),
  'GET /v1/cluster-version': () => draft('GET', '/v1/cluster-version'),
  'PUT /v1/cluster-version': () => draft('PUT', '/v1/cluster-version', { clusterVersion: 2 }),
  'PUT /v1/cluster-version/hold': () => draft('PUT', '/v1/cluster-version/hold'),
  'DELETE /v1/cluster-version/hold': () => draft('DELETE', '/v1/cluster-version/hold'),
  'GET /healthz': () => draft('GET', '/healthz'),
  'GET /readyz': () => draft('GET', '/readyz'),
  'GET /metrics': () => draft('GET', '/metrics'),
  'GET /openapi.json': () => draft('GET', '/openapi.json'),
};

const METHODS = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'OPTIONS',
  'PATCH',
  'TRACE',
  'CONNECT',
  'PROPFIND',
  'get',
  'X',
];

const TARGETS = [
  '*',
  '/',
  '//',
  '/v1',
  '/v1/kv/',
  '/v1/kv/%',
  '/v1/kv/%ff%fe?revision=0',
  '/v1/kv/../../../../etc/passwd',
  '/v1/%6bv/a',
  '/v1/locks/',
  '/v1/watch?prefix=&key=a',
  '/v1/kv?prefix=&limit=1000&cursor=AAAA',
  '/v1/kv?prefix=%00&prefix=%01',
  '/v1/leases/99999999999999999999/keepalive',
  '/v1/status?timeout=1e9s',
  'http://127.0.0.1/v1/status',
  '/__proto__',
  '/v1/kv/a#b',
];

const HEADERS: readonly (readonly [string, string])[] = [
  ['If-Match', '"1", "2", "'],
  ['If-Match', '*'],
  ['If-None-Match', '*'],
  ['If-None-Match', `${'"1",'.repeat(5_000)}"2"`],
  ['Idempotency-Key', 'hostile'],
  ['Idempotency-Key', 'x'.repeat(129)],
  ['Content-Type', 'text/plain'],
  ['Content-Type', 'x'.repeat(2_000)],
  ['Content-Encoding', 'gzip'],
  ['Expect', '100-continue'],
  ['Expect', 'wonders'],
  ['Accept-Encoding', 'gzip;q=1.0, *;q=0'],
  ['Accept', 'application/x-ndjson'],
  ['Last-Event-ID', '9999999999999999-999999999'],
  ['Range', 'bytes=0-1'],
  ['Upgrade', 'websocket'],
  ['Connection', 'Upgrade, close, keep-alive'],
  ['Transfer-Encoding', 'chunked'],
  ['Transfer-Encoding', 'gzip, chunked'],
  ['Content-Length', '-1'],
  ['Content-Length', '99999999999999999999'],
  ['Access-Control-Request-Method', 'PUT'],
  ['__proto__', 'x'],
];

/** What a page in a browser would say of itself, or a client that calls the node by another's name. */
export const FOREIGN: readonly (readonly [string, string])[] = [
  ['Origin', 'http://evil.example'],
  ['Origin', 'null'],
  ['Origin', 'http://a,http://b'],
  ['Sec-Fetch-Site', 'cross-site'],
  ['Sec-Fetch-Site', 'same-site'],
  ['Host', 'evil.example'],
  ['Host', ''],
  ['Host', 'a@b/c?d'],
];

const QUERIES = [
  'timeout=1ms',
  'timeout=1h',
  'minRevision=9007199254740991',
  'revision=1',
  'consistency=stale',
  'consistency=lease',
  'redirect=never',
  'cluster=another',
  'plan=true',
  'force=true',
  'unknown=1',
  'limit=0',
  '%',
];

/** A valid request of any route. */
export function anyDraft(random: Prng, voters: readonly Voter[]): Draft {
  const make = random.pick(Object.values(routes));
  if (make === undefined) throw new Error('There are routes.');
  return make(random, voters);
}

/** The same with a few things wrong. */
export function twist(valid: Draft, random: Prng): Draft {
  let { method, target, body } = valid;
  const headers = [...valid.headers];
  for (let left = random.integer(1, 2); left > 0; left -= 1) {
    switch (random.integer(0, 4)) {
      case 0:
        method = random.pick(METHODS) ?? method;
        break;
      case 1:
        target = random.pick(TARGETS) ?? target;
        break;
      case 2:
        headers.push(random.pick(HEADERS) ?? ['X', 'y']);
        break;
      case 3:
        target += `${target.includes('?') ? '&' : '?'}${random.pick(QUERIES)}`;
        break;
      default:
        if (typeof body === 'object') body = mutate(body, random);
        else body = mutateBytes(Buffer.from(body ?? ''), random).toString('latin1');
    }
  }
  return { method, target, headers, body };
}

/** As it goes over the wire. A host is named unless the draft names one. */
export function bytesOf({ method, target, headers, body }: Draft, port: number): Buffer {
  const content = typeof body === 'object' ? (JSON.stringify(body) ?? '') : (body ?? '');
  const given = new Set(headers.map(([name]) => name.toLowerCase()));
  const lines = headers.map(([name, value]) => `${name}: ${value}`);
  if (!given.has('host')) lines.unshift(`Host: 127.0.0.1:${port}`);
  if (content !== '' && !given.has('content-length') && !given.has('transfer-encoding')) {
    lines.push(`Content-Length: ${Buffer.byteLength(content)}`);
  }
  return Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${content}`);
}

/**
 * Whether a request may be sent. Not sent is what could make a node connect to other machines, and what a client is entitled to
 * ask for although it stops the others: to change the voters, to hand leadership over, to delete what the steady client wrote.
 */
export function maySend(bytes: Buffer, voters: readonly Voter[]): boolean {
  const text = bytes.toString('latin1');
  if (/~|%7e/i.test(text) || !namesOnlyLoopback(bytes)) return false;
  // A body that says to whom may be cut off by a mutated length, and without one anybody is right; so only what is refused.
  if (/\/v1\/leader/i.test(text)) return /^Origin: http:\/\/evil\.example\r$/m.test(text);
  if (!/\/v1\/members/i.test(text) || /^GET /.test(text)) return true;
  if (/[?&]plan=true[& ]/.test(text)) return true;
  if (voters.some(({ id }) => text.includes(`/v1/members/${id}`))) return false;
  const setsVoters = /\bPUT \/v1\/members/i.test(text);
  const named = voters.filter(({ id, peer }) => text.includes(`{"id":"${id}","peer":"${peer}"}`)).length;
  if (setsVoters) return named === VOTER_COUNT && /"id":"h/.test(text) && !/force=/.test(text);
  return !voters.some(({ id }) => text.includes(`"${id}"`));
}
