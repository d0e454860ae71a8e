import type { Buffer } from 'node:buffer';
import type { FastifyInstance } from 'fastify';
import { RaftkvError } from '../errors.js';
import type { Revision } from '../kv/types.js';
import { parseJson } from './body.js';
import { bytesMember } from './bytes.js';
import { type Exchange, endpoint, type HttpContext, jsonBytesMax } from './exchange.js';
import { idempotencyKey, withIdempotency } from './idempotency.js';
import { toMs } from './lease-routes.js';
import type { LockHolder, LockResult, UnlockResult } from './port.js';
import { Query, queryNames } from './query.js';
import { planRead, readNames, withRead } from './reads.js';
import { expectResult } from './results.js';
import { lockBody, unlockBody } from './schemas.js';
import { lockOfPath, lockRoutePath } from './target.js';

const acquireNames = queryNames([]);
const releaseNames = queryNames(['token']);
const showNames = queryNames(readNames);

export function registerLockRoutes(app: FastifyInstance, context: HttpContext): void {
  app.post(lockRoutePath, endpoint(context, '/v1/locks/{name}', acquire));
  app.delete(lockRoutePath, endpoint(context, '/v1/locks/{name}', release));
  app.route({
    method: ['GET', 'HEAD'],
    url: lockRoutePath,
    handler: endpoint(context, '/v1/locks/{name}', show),
  });
}

/** `timeout` bounds what it takes to get into line and out of it; how long to stand in it is what `waitSeconds` says. */
function acquire(exchange: Exchange): void {
  const name = lockOfPath(exchange.target.path);
  const query = new Query(exchange.target.query, acquireNames);
  const timeoutMs = query.timeoutMs();
  const redirectNever = query.redirectNever();
  const repeat = idempotencyKey(exchange);
  if (!exchange.staysHere(redirectNever)) return;
  exchange.withBody(jsonBytesMax, timeoutMs, (body) => {
    const { ttlSeconds, waitSeconds = 0, value = '' } = lockBody.check(parseJson(body));
    const asked = exchange.context.port.acquireLock(
      {
        name,
        ttlMs: toMs(ttlSeconds),
        waitMs: toMs(waitSeconds),
        value,
        signal: exchange.signal,
        stopping: exchange.context.closing.signal,
        ...withIdempotency(exchange, repeat, body),
      },
      exchange.remainingMs(timeoutMs),
    );
    exchange.settle(asked, (result) => answer(exchange, name, result));
  });
}

function answer(exchange: Exchange, name: Buffer, result: LockResult): void {
  exchange.consistency = 'linearizable';
  switch (result.kind) {
    case 'held': {
      const { token, lease } = result;
      exchange.writtenRevision = token;
      exchange.sendJson(200, `{${bytesMember('name', name)},"token":${token},"lease":"${lease}"}`);
      return;
    }
    case 'busy':
      throw new RaftkvError(
        'lock_held',
        'Somebody else holds the lock. Ask again later, or with "waitSeconds" to stand in line for it.',
        result.holder && holderMembers(result.holder),
      );
    case 'refused':
      expectResult(exchange, result.result, 'put');
      throw new Error('A place in line was taken without a lease.');
  }
}

function release(exchange: Exchange): void {
  const name = lockOfPath(exchange.target.path);
  const query = new Query(exchange.target.query, releaseNames);
  const inQuery = query.integer('token', 1);
  const timeoutMs = query.timeoutMs();
  const redirectNever = query.redirectNever();
  const repeat = idempotencyKey(exchange);
  if (!exchange.staysHere(redirectNever)) return;
  exchange.withBody(jsonBytesMax, timeoutMs, (body) => {
    const { token: inBody } = unlockBody.check(parseJson(body));
    const token = inQuery ?? inBody;
    if (token === undefined || (inBody !== undefined && inBody !== token)) {
      throw new RaftkvError(
        'bad_request',
        'Releasing a lock needs the token that taking it gave, once: ?token=42, or {"token":42} as body.',
      );
    }
    const released = exchange.context.port.releaseLock(
      { name, token, ...withIdempotency(exchange, repeat, body) },
      exchange.remainingMs(timeoutMs),
      exchange.signal,
    );
    exchange.settle(released, (result) => answerRelease(exchange, name, token, result));
  });
}

function answerRelease(exchange: Exchange, name: Buffer, token: Revision, result: UnlockResult): void {
  exchange.consistency = 'linearizable';
  switch (result.kind) {
    case 'released':
      exchange.writtenRevision = result.revision;
      exchange.sendJson(200, `{${bytesMember('name', name)},"released":true}`);
      return;
    case 'notHeld':
      throw new RaftkvError(
        'lock_not_held',
        `Token ${token} does not hold the lock: its lease has run out, or it was released before. Nothing was changed.`,
      );
    case 'refused':
      expectResult(exchange, result.result, 'leaseRevoked');
      throw new Error('A lock was neither released nor kept.');
  }
}

function show(exchange: Exchange): void {
  const name = lockOfPath(exchange.target.path);
  const plan = planRead(new Query(exchange.target.query, showNames), 0);
  withRead(exchange, plan, () => {
    exchange.settle(exchange.context.port.lockState(name), ({ holder, waiting }) => {
      const held = holder === undefined ? { held: false } : { held: true, ...holderMembers(holder) };
      const rest = JSON.stringify({ ...held, waiting }).slice(1);
      exchange.sendJson(200, `{${bytesMember('name', name)},${rest}`);
    });
  });
}

function holderMembers({ token, lease, value }: LockHolder): Readonly<Record<string, unknown>> {
  return { token, lease: String(lease), ...(value === '' ? {} : { value }) };
}
