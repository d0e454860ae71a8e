import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RaftkvClient } from '../../src/client/index.js';
import { listen, type Served, serve } from '../http/kit.js';

let served: Served;
let client: RaftkvClient;

beforeEach(async () => {
  served = serve();
  await served.node.opens();
  client = new RaftkvClient({
    endpoints: [`http://127.0.0.1:${await listen(served.app)}`],
    timeoutMs: 2_000,
  });
});

afterEach(() => served.app.close());

describe('the client, against the real API', () => {
  it('puts, gets and deletes', async () => {
    expect(await client.get('a')).toBeUndefined();
    expect(await client.put('a', 'x', { contentType: 'text/plain' })).toMatchObject({
      revision: 1,
      created: true,
    });
    await client.put('ab', 'other');
    expect(await client.get('a')).toMatchObject({ keyText: 'a', modRevision: 1, contentType: 'text/plain' });
    expect(await client.getText('a')).toBe('x');
    await client.putJson('json', { n: 1 });
    expect(await client.getJson('json')).toEqual({ n: 1 });
    const binary = Uint8Array.of(0, 255, 47);
    await client.put(binary, binary);
    expect((await client.get(binary))?.value).toEqual(binary);
    await expect(client.put('a', 'y', { ifAbsent: true })).rejects.toMatchObject({
      code: 'precondition_failed',
    });
    await client.put('a', 'y', { ifRevision: 1 });
    expect(await client.getText('a', { revision: 1 })).toBe('x');
    expect([await client.delete('a'), await client.delete('a')]).toEqual([true, false]);
    expect(await client.get('a')).toBeUndefined();
  });

  it('lists all pages as of one revision', async () => {
    for (let number = 0; number < 25; number += 1) await client.put(`p/${number + 10}`, 'x');
    const found: string[] = [];
    for await (const item of client.listAll({ prefix: 'p/', limit: 10 })) {
      if (found.length === 0) await client.put('p/99', 'late');
      found.push(item.keyText);
    }
    expect(found).toEqual(Array.from({ length: 25 }, (_, number) => `p/${number + 10}`));
    expect(await client.deletePrefix('p/')).toBe(26);
  });

  it('does transactions', async () => {
    const transaction = {
      compare: [{ key: 'a', target: 'exists', op: '=', value: false }],
      success: [{ put: { key: 'a', value: '1' } }, { put: { key: '..', value: Uint8Array.of(255) } }],
      failure: [{ get: { prefix: 'a' } }, { delete: { key: 'a' } }],
    } as const;
    expect(await client.txn(transaction)).toMatchObject({ succeeded: true, revision: 1 });
    const second = await client.txn(transaction);
    expect(second).toMatchObject({ succeeded: false, revision: 2 });
    expect(second.results).toMatchObject([{ items: [{ keyText: 'a' }] }, { kind: 'delete', deleted: 1 }]);
  });

  it('has leases, and runs a task under one', async () => {
    const { lease } = await client.grantLease(30);
    await client.put('a', 'x', { lease });
    expect(await client.lease(lease)).toMatchObject({ remainingSeconds: 30 });
    await client.keepAlive(lease);
    expect(await client.revokeLease(lease)).toBe(1);
    await expect(client.keepAlive(lease)).rejects.toMatchObject({ code: 'lease_not_found' });
    const seen = await client.withLease(30, async (own, lost) => {
      await client.put('b', 'x', { lease: own });
      return { there: (await client.get('b')) !== undefined, isLost: lost.aborted };
    });
    expect(seen).toEqual({ there: true, isLost: false });
    expect(await client.get('b')).toBeUndefined();
    expect((await client.put('c', 'x', { ttlSeconds: 1.5 })).lease).toBeDefined();
  });

  it('has locks, and elections on the same ground', async () => {
    const first = await client.holdLock('l', { ttlSeconds: 30, value: 'one' });
    await expect(client.lock('l', { ttlSeconds: 30 })).rejects.toMatchObject({
      code: 'lock_held',
      problem: { value: 'one' },
    });
    const campaign = client.campaign('l', 'two', { ttlSeconds: 30 });
    while ((await client.lockState('l')).waiting === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(await client.leader('l')).toBe('one');
    await first.release();
    const second = await campaign;
    expect(second.token).toBeGreaterThan(first.token);
    expect(await client.leader('l')).toBe('two');
    await expect(client.unlock('l', first.token)).rejects.toMatchObject({ code: 'lock_not_held' });
    await second.release();
    expect(await client.leader('l')).toBeUndefined();
  });

  it('watches', async () => {
    await client.put('a', '1');
    const seen: string[] = [];
    const controller = new AbortController();
    for await (const event of client.watch({
      prefix: '',
      fromRevision: 1,
      previous: true,
      signal: controller.signal,
    })) {
      seen.push(
        `${event.revision}-${event.number} ${event.kind} ${event.keyText} ${event.previous?.version ?? '-'}`,
      );
      if (seen.length === 1) await client.put('a', '2');
      if (seen.length === 2) await client.delete('a');
      if (seen.length === 3) controller.abort();
    }
    expect(seen).toEqual(['1-0 put a -', '2-0 put a 1', '3-0 delete a 2']);
  });

  it('refuses a watch that begins with what is wrong', async () => {
    await expect(client.watch({ key: '' }).next()).rejects.toMatchObject({ code: 'bad_request' });
  });
});
