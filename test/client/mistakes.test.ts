import type { FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RaftkvClient, type RaftkvClientOptions } from '../../src/client/index.js';
import type { FakeNode } from '../http/fake-node.js';
import { listen, serve } from '../http/kit.js';

let app: FastifyInstance;
let node: FakeNode;
let client: RaftkvClient;

beforeEach(async () => {
  ({ app, node } = serve());
  client = new RaftkvClient({ endpoints: [`http://127.0.0.1:${await listen(app)}`] });
});

afterEach(async () => {
  await app.close();
});

/** What a program without types can pass. */
const untyped = (value: unknown): never => value as never;

describe('a mistake of the caller is a TypeError, and nothing is sent', () => {
  const calls: Readonly<Record<string, (client: RaftkvClient) => unknown>> = {
    'put of undefined': (c) => c.put('k', untyped(undefined)),
    'put of null': (c) => c.put('k', untyped(null)),
    'put of a number': (c) => c.put('k', untyped(7)),
    'put of an ArrayBuffer': (c) => c.put('k', untyped(new ArrayBuffer(2))),
    'putJson of undefined': (c) => c.putJson('k', undefined),
    'put without a key': (c) => c.put(untyped(undefined), 'v'),
    'get without a key': (c) => c.get(untyped(undefined)),
    'delete without a key': (c) => c.delete(untyped(null)),
    'deletePrefix of null': (c) => c.deletePrefix(untyped(null)),
    'list with a number as prefix': (c) => c.list({ prefix: untyped(7) }),
    'options that are no object': (c) => c.put('k', 'v', untyped('ifAbsent')),
    'options that are null': (c) => c.get('k', untyped(null)),
  };
  for (const [name, call] of Object.entries(calls)) {
    it(name, async () => {
      await expect(call(client)).rejects.toThrow(TypeError);
      expect(node.position().revision).toBe(0);
    });
  }

  it('names the option that there is not, and those that there are', async () => {
    const wrong = untyped({ ifabsent: true });
    await expect(client.put('k', 'v', wrong)).rejects.toThrow(
      'put has no option "ifabsent". It takes timeoutMs, signal, ifRevision, ifAbsent, contentType, ttlSeconds, lease.',
    );
    expect(node.position().revision).toBe(0);
  });

  const takers: Readonly<Record<string, (client: RaftkvClient, options: never) => unknown>> = {
    get: (c, options) => c.get('k', options),
    put: (c, options) => c.put('k', 'v', options),
    add: (c, options) => c.add('k', 1, options),
    compact: (c, options) => c.compact(options),
    getText: (c, options) => c.getText('k', options),
    getJson: (c, options) => c.getJson('k', options),
    putJson: (c, options) => c.putJson('k', 1, options),
    delete: (c, options) => c.delete('k', options),
    deletePrefix: (c, options) => c.deletePrefix('k', options),
    list: (c, options) => c.list(options),
    listAll: (c, options) => c.listAll(options).next(),
    txn: (c, options) => c.txn({}, options),
    grantLease: (c, options) => c.grantLease(options),
    keepAlive: (c, options) => c.keepAlive('1', options),
    lease: (c, options) => c.lease('1', options),
    leases: (c, options) => c.leases(options),
    revokeLease: (c, options) => c.revokeLease('1', options),
    withLease: (c, options) => c.withLease(options, async () => {}),
    lock: (c, options) => c.lock('l', options),
    unlock: (c, options) => c.unlock('l', 1, options),
    lockState: (c, options) => c.lockState('l', options),
    lockGuard: (c, options) => c.lockGuard('l', options),
    withLock: (c, options) => c.withLock('l', options, async () => {}),
    campaign: (c, options) => c.campaign('l', 'v', options),
    leader: (c, options) => c.leader('l', options),
    watch: async (c, options) => c.watch(options).next(),
    listAndWatch: async (c, options) => c.listAndWatch(options).next(),
    status: (c, options) => c.status(options),
    statuses: (c, options) => c.statuses(options),
    members: (c, options) => c.members(options),
    addMember: (c, options) => c.addMember({ id: 'n9', peer: 'h:1' }, options),
    removeMember: (c, options) => c.removeMember('n9', options),
    promoteMember: (c, options) => c.promoteMember('n9', options),
    setMembers: (c, options) => c.setMembers([], options),
    planMembers: (c, options) => c.planMembers({ kind: 'promote', id: 'n9' }, options),
    transferLeadership: (c, options) => c.transferLeadership(undefined, options),
    clusterVersion: (c, options) => c.clusterVersion(options),
    raiseClusterVersion: (c, options) => c.raiseClusterVersion(2, options),
    holdClusterVersion: (c, options) => c.holdClusterVersion(true, options),
    resign: async (c, options) => c.resign(await c.lockGuard('l'), options),
    'release of a guard': async (c, options) => (await c.lockGuard('l')).release(options),
  };

  it('is looked for by every method', () => {
    const methods = Object.getOwnPropertyNames(RaftkvClient.prototype);
    const hidden = ['constructor', 'changeMembers'];
    expect(methods.filter((name) => !hidden.includes(name) && takers[name] === undefined)).toEqual([]);
  });

  for (const [name, take] of Object.entries(takers)) {
    it(`an unknown option of ${name}`, async () => {
      await expect(take(client, untyped({ tiemoutMs: 1 }))).rejects.toThrow(/has no option "tiemoutMs"/);
    });
  }

  it('an unknown option of the client', () => {
    const options = { endpoints: ['http://127.0.0.1:1'], endpoint: 'http://127.0.0.1:1' };
    expect(() => new RaftkvClient(options as RaftkvClientOptions)).toThrow(
      'RaftkvClient has no option "endpoint"',
    );
  });
});
