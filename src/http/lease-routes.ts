import type { FastifyInstance } from 'fastify';
import { RaftkvError } from '../errors.js';
import type { Idempotency, LeaseId, LeaseInfo } from '../kv/types.js';
import { parseJson } from './body.js';
import { bytesMember } from './bytes.js';
import { type Exchange, endpoint, type HttpContext } from './exchange.js';
import { idempotencyKey, idempotencyOfStep, withIdempotency } from './idempotency.js';
import { Query, queryNames } from './query.js';
import { planRead, readNames, withRead } from './reads.js';
import { expectResult, leaseNotFound } from './results.js';
import { grantLeaseBody, keepAliveBody } from './schemas.js';

const limitMax = 1_000;
const leaseBytesMax = 1_024;

const changeNames = queryNames([]);
const showNames = queryNames(readNames);
const listNames = queryNames([...readNames, 'limit', 'after']);
const leasePath = /^\/v1\/leases\/([^/]*)/;
const leaseIdText = /^[1-9]\d{0,15}$/;

export function registerLeaseRoutes(app: FastifyInstance, context: HttpContext): void {
  app.post('/v1/leases', endpoint(context, '/v1/leases', grant));
  app.route({ method: ['GET', 'HEAD'], url: '/v1/leases', handler: endpoint(context, '/v1/leases', list) });
  app.route({
    method: ['GET', 'HEAD'],
    url: '/v1/leases/:id',
    handler: endpoint(context, '/v1/leases/{id}', show),
  });
  app.delete('/v1/leases/:id', endpoint(context, '/v1/leases/{id}', revoke));
  app.post('/v1/leases/:id/keepalive', endpoint(context, '/v1/leases/{id}/keepalive', keepAlive));
}

function grant(exchange: Exchange): void {
  const { timeoutMs, repeat } = startChange(exchange);
  if (timeoutMs === undefined) return;
  exchange.withBody(leaseBytesMax, timeoutMs, (body) => {
    const { ttlSeconds } = grantLeaseBody.check(parseJson(body));
    const command = { kind: 'leaseGrant', ttlMs: toMs(ttlSeconds) } as const;
    const { port } = exchange.context;
    const written = port.write(
      { ...command, ...withIdempotency(exchange, repeat, body) },
      exchange.remainingMs(timeoutMs),
      exchange.signal,
    );
    exchange.settle(written, (result) => {
      const { lease, ttlMs, revision } = expectResult(exchange, result, 'lease');
      exchange.sendJson(201, grantedJson(lease, ttlMs, revision), ['Location', `/v1/leases/${lease}`]);
    });
  });
}

function keepAlive(exchange: Exchange): void {
  const lease = leaseOfPath(exchange);
  const { timeoutMs, repeat } = startChange(exchange);
  if (timeoutMs === undefined) return;
  exchange.withBody(leaseBytesMax, timeoutMs, (body) => {
    const { ttlSeconds } = keepAliveBody.check(parseJson(body));
    const ttl = ttlSeconds === undefined ? {} : { ttlMs: toMs(ttlSeconds) };
    const written = exchange.context.port.write(
      { kind: 'leaseKeepAlive', lease, ...ttl, ...withIdempotency(exchange, repeat, body) },
      exchange.remainingMs(timeoutMs),
      exchange.signal,
    );
    exchange.settle(written, (result) => {
      const { ttlMs, revision } = expectResult(exchange, result, 'lease');
      exchange.sendJson(200, grantedJson(lease, ttlMs, revision));
    });
  });
}

/** A lease with many keys is revoked in several steps; the answer tells of all of them, and so does a repeat's. */
function revoke(exchange: Exchange): void {
  const lease = leaseOfPath(exchange);
  const { timeoutMs, repeat } = startChange(exchange);
  if (timeoutMs === undefined) return;
  const { idempotency } = withIdempotency(exchange, repeat, undefined);
  exchange.withoutBody(timeoutMs, () => {
    exchange.settle(revokeAll(exchange, lease, timeoutMs, idempotency), ({ deleted, revision }) => {
      exchange.sendJson(200, `{"lease":"${lease}","deleted":${deleted},"revision":${revision}}`);
    });
  });
}

async function revokeAll(
  exchange: Exchange,
  lease: LeaseId,
  timeoutMs: number,
  idempotency: Idempotency | undefined,
): Promise<{ readonly deleted: number; readonly revision: number }> {
  const { port } = exchange.context;
  const command = { kind: 'leaseRevoke', lease } as const;
  const first = await port.write(
    { ...command, ...(idempotency && { idempotency }) },
    exchange.unheldMs(timeoutMs),
    exchange.signal,
  );
  let step = expectResult(exchange, first, 'leaseRevoked');
  let { deleted } = step;
  for (let number = 2; step.remaining; number += 1) {
    const repeatable = idempotency && { idempotency: idempotencyOfStep(idempotency, number) };
    const next = await port.write(
      { ...command, ...repeatable },
      exchange.remainingMs(timeoutMs),
      exchange.signal,
    );
    // Nobody went on with it for a while, and the leader did.
    if (next.kind === 'leaseNotFound') break;
    step = expectResult(exchange, next, 'leaseRevoked');
    deleted += step.deleted;
  }
  return { deleted, revision: step.revision };
}

function show(exchange: Exchange): void {
  const lease = leaseOfPath(exchange);
  const { port } = exchange.context;
  const plan = planRead(new Query(exchange.target.query, showNames), 0);
  withRead(exchange, plan, () => {
    const info = port.lease(lease);
    if (info === undefined) throw leaseNotFound(lease);
    exchange.settle(port.leaseKeys(lease, limitMax), (keys) => {
      const listed = keys.map((key) => `{${bytesMember('key', key)}}`).join(',');
      exchange.sendJson(200, `{${infoMembers(info)},"keys":[${listed}]}`);
    });
  });
}

function list(exchange: Exchange): void {
  const query = new Query(exchange.target.query, listNames);
  const limit = query.integer('limit', 1, limitMax) ?? limitMax;
  const after = query.integer('after', 0) ?? 0;
  withRead(exchange, planRead(query, 0), () => {
    const found = exchange.context.port.leases(after, limit + 1);
    const listed = found.slice(0, limit).map((info) => `{${infoMembers(info)}}`);
    exchange.sendJson(200, `{"leases":[${listed.join(',')}],"more":${found.length > limit}}`);
  });
}

/** What all changes of leases begin with. `timeoutMs` is undefined where the client was redirected. */
function startChange(exchange: Exchange): {
  readonly timeoutMs: number | undefined;
  readonly repeat: string | undefined;
} {
  const query = new Query(exchange.target.query, changeNames);
  const timeoutMs = query.timeoutMs();
  const redirectNever = query.redirectNever();
  const repeat = idempotencyKey(exchange);
  return { timeoutMs: exchange.staysHere(redirectNever) ? timeoutMs : undefined, repeat };
}

function leaseOfPath(exchange: Exchange): LeaseId {
  const text = leasePath.exec(exchange.target.path)?.[1] ?? '';
  const lease = leaseIdText.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(lease)) return lease;
  throw new RaftkvError(
    'bad_request',
    'The path must name a lease by the whole number that granting it gave: /v1/leases/7.',
  );
}

export function toMs(seconds: number): number {
  return Math.round(seconds * 1000);
}

function grantedJson(lease: LeaseId, ttlMs: number, revision: number): string {
  return `{"lease":"${lease}","ttlSeconds":${ttlMs / 1000},"revision":${revision}}`;
}

function infoMembers({ lease, ttlMs, remainingMs }: LeaseInfo): string {
  return `"lease":"${lease}","ttlSeconds":${ttlMs / 1000},"remainingSeconds":${remainingMs / 1000}`;
}
