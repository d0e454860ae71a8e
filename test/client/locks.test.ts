import type { FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RaftkvClient } from '../../src/client/index.js';
import type { FakeNode } from '../http/fake-node.js';
import { listen, serve } from '../http/kit.js';
import { FakeServer, sendJson, sendProblem } from './fake-server.js';
import { answerOf, asTimePasses, fakeTime, fetchFailed, fetchFrom, fetchOf, problemOf } from './fake-time.js';

let app: FastifyInstance;
let node: FakeNode;
let client: RaftkvClient;

beforeEach(async () => {
  ({ app, node } = serve());
  client = new RaftkvClient({ endpoints: [`http://127.0.0.1:${await listen(app)}`] });
});

afterEach(async () => {
  vi.useRealTimers();
  await app.close();
});

/** A client whose time passes only while the test waits for it. */
function clientInFakeTime(): RaftkvClient {
  fakeTime();
  return new RaftkvClient({ endpoints: ['http://n1'], fetch: fetchFrom(app) });
}

/** Resolves when a lease was kept alive. */
async function keptAlive(): Promise<void> {
  while (!node.calls.some((call) => call.startsWith('write leaseKeepAlive')))
    await new Promise((resolve) => setTimeout(resolve, 10));
}

function refusal(code: string): unknown {
  return expect.objectContaining({ name: 'RaftkvClientError', code });
}

function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason)));
}

describe('leases', () => {
  it('are granted, kept alive, shown, listed and revoked', async () => {
    const { lease } = await client.grantLease({ ttlSeconds: 30 });
    await client.put('a', 'x', { lease });
    expect(await client.keepAlive(lease)).toMatchObject({ lease, ttlSeconds: 30 });
    expect(await client.keepAlive(lease, { ttlSeconds: 60 })).toMatchObject({ ttlSeconds: 60 });
    expect(await client.lease(lease)).toMatchObject({ lease, ttlSeconds: 60, keys: [{ key: 'a' }] });
    const second = await client.grantLease({ ttlSeconds: 30 });
    expect(await client.leases({ limit: 1 })).toMatchObject({ leases: [{ lease }], more: true });
    expect(await client.leases({ after: lease })).toMatchObject({
      leases: [{ lease: second.lease }],
      more: false,
    });
    expect(await client.revokeLease(lease)).toMatchObject({ lease, deleted: 1 });
    expect(await client.get('a')).toBeUndefined();
    await expect(client.keepAlive(lease)).rejects.toEqual(refusal('lease_not_found'));
    await expect(client.lease(lease)).rejects.toEqual(refusal('lease_not_found'));
  });

  it('are kept while one works with them, and revoked afterwards', async () => {
    client = clientInFakeTime();
    const worked = client.withLease({ ttlSeconds: 1 }, async (lease) => {
      await client.put('a', 'x', { lease: lease.id });
      await keptAlive();
      expect(lease.held).toBe(true);
      return 'done';
    });
    expect(await asTimePasses(worked)).toBe('done');
    expect(await asTimePasses(client.get('a'))).toBeUndefined();
    const failed = client.withLease({ ttlSeconds: 1 }, async () => {
      throw new Error('broken');
    });
    await expect(asTimePasses(failed)).rejects.toThrow('broken');
    expect((await asTimePasses(client.leases())).leases).toEqual([]);
  });
});

describe('locks', () => {
  it('are held by one, whom others see, with a greater token for every later holder', async () => {
    const first = await client.lock('jobs/daily', { value: 'me' });
    expect(first).toEqual({ name: 'jobs/daily', token: expect.any(Number), lease: expect.any(String) });
    await expect(client.lock('jobs/daily')).rejects.toMatchObject({
      code: 'lock_held',
      problem: { token: first.token, value: 'me' },
    });
    expect(await client.lockState('jobs/daily')).toMatchObject({ held: true, token: first.token });
    expect(await client.unlock('jobs/daily', first.token)).toEqual({ name: 'jobs/daily', released: true });
    await expect(client.unlock('jobs/daily', first.token)).rejects.toEqual(refusal('lock_not_held'));
    expect(await client.lockState('jobs/daily')).toEqual({ name: 'jobs/daily', held: false, waiting: 0 });
    expect((await client.lock('jobs/daily')).token).toBeGreaterThan(first.token);
  });

  it('are waited for', async () => {
    const guard = await client.lockGuard('l');
    const waiting = client.lock('l', { waitSeconds: 30 });
    while ((await client.lockState('l')).waiting === 0);
    await guard.release();
    expect((await waiting).token).toBeGreaterThan(guard.token);
  });

  it('are stood in line for anew when the place was lost', async () => {
    const keys: unknown[] = [];
    const server = await FakeServer.started(({ headers }, response) => {
      keys.push(headers['idempotency-key']);
      if (keys.length === 1) sendProblem(response, 409, 'lock_not_held');
      else sendJson(response, 200, { name: 'l', token: 7, lease: '9' });
    });
    const waiter = new RaftkvClient({ endpoints: [server.url] });
    expect(await waiter.lock('l', { waitSeconds: 10 })).toMatchObject({ token: 7 });
    expect(new Set(keys).size).toBe(2);
    expect(JSON.parse(server.arrived[1]?.body ?? '').waitSeconds).toBeLessThan(10);
    server.answer = (_, response) => sendProblem(response, 409, 'lock_not_held');
    await expect(waiter.lock('l')).rejects.toEqual(refusal('lock_not_held'));
    await server.close();
  });
});

describe('a guard', () => {
  it('keeps its lock until it is released', async () => {
    client = clientInFakeTime();
    const guard = await asTimePasses(client.lockGuard('l', { ttlSeconds: 1 }));
    await asTimePasses(keptAlive());
    expect([guard.held, guard.signal.aborted]).toEqual([true, false]);
    await asTimePasses(guard.release());
    expect(guard.signal.aborted).toBe(false);
    expect((await asTimePasses(client.lockState('l'))).held).toBe(false);
  });

  it('says when its lock is lost', async () => {
    const guard = await client.lockGuard('l', { ttlSeconds: 1 });
    await client.revokeLease(guard.lease);
    expect(await aborted(guard.signal)).toEqual(refusal('lease_lost'));
    expect(guard.held).toBe(false);
    await guard.release();
  });

  it('says that its lock is lost before it runs out when no node can be reached', async () => {
    fakeTime();
    let isUp = true;
    const up = fetchFrom(app);
    const fetch: typeof up = (url, init) =>
      isUp ? up(url, init) : Promise.reject(fetchFailed('ECONNREFUSED'));
    client = new RaftkvClient({ endpoints: ['http://n1'], fetch });
    const startedAtMs = performance.now();
    const guard = await asTimePasses(client.lockGuard('l', { ttlSeconds: 1 }));
    isUp = false;
    expect(await asTimePasses(aborted(guard.signal))).toEqual(refusal('lease_lost'));
    expect(performance.now() - startedAtMs).toBeLessThan(1_000);
  });

  it('renews what was waited for before it says that the lock is held', async () => {
    fakeTime();
    const asked: string[] = [];
    const afterAWait = (response: Response) =>
      new Promise<Response>((resolve) => setTimeout(() => resolve(response), 400));
    let token = 7;
    const fetch = fetchOf(({ pathname }, method) => {
      asked.push(`${method} ${pathname}`);
      if (method === 'DELETE') return answerOf(200, {});
      if (!pathname.endsWith('/keepalive'))
        return afterAWait(answerOf(200, { name: 'l', token, lease: '9' }));
      return token === 7 ? answerOf(200, {}) : problemOf(404, 'lease_not_found');
    });
    const waiter = new RaftkvClient({ endpoints: ['http://n1'], fetch });
    const guard = await asTimePasses(waiter.lockGuard('l', { ttlSeconds: 1, waitSeconds: 10 }));
    expect(asked).toEqual(['POST /v1/locks/l', 'POST /v1/leases/9/keepalive']);
    await asTimePasses(guard.release());
    token = 8;
    const late = waiter.lockGuard('l', { ttlSeconds: 1, waitSeconds: 10 });
    await expect(asTimePasses(late)).rejects.toEqual(refusal('lease_not_found'));
    expect(asked.at(-1)).toBe('DELETE /v1/locks/l');
  });

  it('works under a lock and gives it back, whatever comes of the work', async () => {
    expect(await client.withLock('l', {}, async (guard) => guard.token)).toBeGreaterThan(0);
    const failed = client.withLock('l', {}, async () => {
      throw new Error('broken');
    });
    await expect(failed).rejects.toThrow('broken');
    expect((await client.lockState('l')).held).toBe(false);
  });
});

describe('an election', () => {
  it('has one leader, whom all can see, and the next one when it resigns', async () => {
    expect(await client.leader('e')).toBeUndefined();
    const first = await client.campaign('e', 'one');
    expect(await client.leader('e')).toEqual({ value: 'one', token: first.token });
    const elected = client.campaign('e', 'two');
    while ((await client.lockState('e')).waiting === 0);
    await client.resign(first);
    const second = await elected;
    expect(await client.leader('e')).toEqual({ value: 'two', token: second.token });
    await client.resign(second);
    expect(await client.leader('e')).toBeUndefined();
  });

  it('goes on through times without a leader of the cluster, and ends with its signal', async () => {
    const codes = ['no_leader', 'lock_held', 'lock_not_held', 'outcome_unknown'];
    const server = await FakeServer.started((_, response) => {
      const code = codes.shift();
      if (code === undefined) sendJson(response, 200, { name: 'e', token: 7, lease: '9' });
      else sendProblem(response, code === 'outcome_unknown' ? 504 : code === 'no_leader' ? 503 : 409, code);
    });
    const candidate = new RaftkvClient({ endpoints: [server.url] });
    const leadership = await candidate.campaign('e', 'me');
    expect(leadership.token).toBe(7);
    await leadership.release();
    server.answer = (_, response) => sendProblem(response, 409, 'lock_held');
    const campaigning = candidate.campaign('e', 'me', { signal: AbortSignal.timeout(100) });
    await expect(campaigning).rejects.toMatchObject({ name: 'TimeoutError' });
    server.answer = (_, response) => sendProblem(response, 400, 'bad_request');
    await expect(candidate.campaign('e', 'me')).rejects.toEqual(refusal('bad_request'));
    await server.close();
  });
});
