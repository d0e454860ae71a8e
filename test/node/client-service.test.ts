import { expect, test } from 'vitest';
import { present } from '../../src/assert.js';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import { commandCodec } from '../../src/kv/codec.js';
import type { Command, CommandResult } from '../../src/kv/types.js';
import { ClientService, type CommandCodec, type StoreReader } from '../../src/node/client-service.js';
import type { RaftNode } from '../../src/node/raft-node.js';
import { configurationOfVoters, encodeConfiguration } from '../../src/raft/configuration.js';
import { type Entry, EntryKind } from '../../src/raft/types.js';
import { threeVoters } from '../raft/core-kit.js';
import { NodeKit, Outcome } from './node-kit.js';

/** The service of a node that follows n2, and what it forwarded to its leader, who answers nothing. */
function follower(codec = {} as CommandCodec) {
  const kit = new NodeKit();
  const forwarded: string[] = [];
  const watches = { ended: 0 };
  const endWatches = () => {
    watches.ended += 1;
  };
  kit.transport.forward = (...[, request]: unknown[]) => {
    forwarded.push((request as { readonly operation: string }).operation);
    return new Promise<never>(() => {});
  };
  const service = new ClientService({
    // No command is encoded here and nothing of the state is read but how far it is.
    node: kit.node as unknown as RaftNode<CommandResult>,
    store: Object.assign(kit.stateMachine, { endWatches }) as unknown as StoreReader,
    codec,
    transport: kit.transport,
    clock: kit.clock,
    identity: () => ({
      cluster: 'c',
      id: 'n1',
      incarnation: 'n1-1',
      peerAddress: '',
      clientUrl: '',
      versions: SPOKEN_VERSIONS,
    }),
    version: 'tested',
    logger: kit.logger,
    upgradeDelayMs: 0,
    requiresProof: false,
    warnings: () => [],
    founded: false,
    newId: () => '0',
    random: () => 0,
  });
  return { kit, service, forwarded, watches };
}

test('a node that was removed refuses reads at once: it gets no more of the log, so it would wait in vain', async () => {
  const { kit, service, forwarded } = follower();
  const withoutIt: Entry = {
    index: 2,
    term: 2,
    kind: EntryKind.configuration,
    payload: encodeConfiguration(configurationOfVoters(threeVoters.members.filter(({ id }) => id !== 'n1'))),
  };
  await kit.follow(2, 1, 1, [withoutIt], 1);
  const asMember = new Outcome(service.confirmRead(3000));
  await kit.clock.settle();
  expect(asMember.value).toBe('waits');
  expect(forwarded).toEqual(['readIndex']);

  await kit.follow(2, 2, 2, [], 2);
  const asRemoved = new Outcome(service.confirmRead(3000));
  await kit.clock.settle();
  expect(asRemoved.value).toBe('unavailable');
  expect(forwarded).toEqual(['readIndex']);
});

test('a node that learns of its removal ends what waits for more of the log', async () => {
  const { kit, service, watches } = follower();
  const withoutIt: Entry = {
    index: 2,
    term: 2,
    kind: EntryKind.configuration,
    payload: encodeConfiguration(configurationOfVoters(threeVoters.members.filter(({ id }) => id !== 'n1'))),
  };
  const read = new Outcome(service.waitForRevision(5, 3000));
  await kit.follow(2, 1, 1, [withoutIt], 1);
  await kit.clock.settle();
  expect(read.value).toBe('waits');
  expect(watches.ended).toBe(0);

  await kit.follow(2, 2, 2, [], 2);
  await kit.clock.settle();
  expect(read.value).toBe('unavailable');
  expect(watches.ended).toBe(1);
  await expect(service.waitForRevision(5, 3000)).rejects.toMatchObject({ code: 'unavailable' });
  expect(() =>
    service.watch({ key: new Uint8Array(), isPrefix: true, after: { revision: 0, number: 0 } }),
  ).toThrow('Ask a member');
});

test('a node in quarantine reads, watches and forwards nothing, and says why', async () => {
  const { kit, service, forwarded, watches } = follower();
  expect(service.readiness()).toMatchObject({ reason: 'no leader known' });
  await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 7 });
  const nothing = new Uint8Array(0);
  const list = { prefix: nothing, after: undefined, limit: 1, keysOnly: false, revision: undefined };
  const watch = { key: nothing, isPrefix: true, after: { revision: 0, number: 0 } };
  for (const read of [
    () => service.get(nothing, undefined),
    () => service.watch(watch),
    () => service.lease(1),
    () => service.leases(0, 1),
  ]) {
    expect(read).toThrow('This node is in quarantine');
  }
  const outcomes = [
    service.list(list),
    service.leaseKeys(1, 1),
    service.lockState(nothing),
    service.confirmRead(1000),
    service.waitForRevision(9, 1000),
    service.removeMember('n3', false, 1000),
  ].map((promise) => new Outcome(promise));
  await kit.clock.settle();
  expect(outcomes.map(({ value }) => value)).toEqual(Array(6).fill('unavailable'));
  expect([forwarded, watches.ended]).toEqual([[], 1]);
  expect(service.readiness()).toEqual({
    ready: false,
    reason: expect.stringContaining('in quarantine: The leader says that index 7 is committed'),
  });
});

test.each([
  [1, 2, false],
  [2, 1, false],
  [2, 2, true],
])(
  'in cluster version %i a transaction that compares %i values is bounded: %s',
  async (clusterVersion, count, isBounded) => {
    const encoded: unknown[] = [];
    const { kit, service } = follower({
      encode: (command: Command) => {
        encoded.push(command);
        return new Uint8Array();
      },
      neededVersion: () => 1,
    } as unknown as CommandCodec);
    await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 1 });
    kit.stateMachine.clusterVersion = clusterVersion;
    const key = Buffer.from('k');
    const compare = Array.from(
      { length: count },
      () => ({ key, target: 'value', op: '=', value: key }) as const,
    );
    const command: Command = { kind: 'txn', compare, success: [{ kind: 'delete', key }], failure: [] };
    void service.write(command, 1000);
    await kit.clock.settle();
    expect(encoded).toEqual([isBounded ? { ...command, isBounded: true } : command]);
  },
);

test('a deletion by prefix that would pass over too many keys is refused before it is proposed', async () => {
  const { kit, service, forwarded } = follower();
  await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 1 });
  const asked: unknown[] = [];
  Object.assign(kit.stateMachine, {
    revision: 7,
    measureWalks: async (command: unknown) => (asked.push(command) > 0 ? undefined : 0),
  });
  const command = { kind: 'deletePrefix', prefix: Buffer.from('k') } as const;
  expect(await service.write(command, 1000)).toEqual({ kind: 'tooManyKeys', revision: 7 });
  expect([asked, forwarded]).toEqual([[command], []]);
});

test('a follower leaves it to a leader of cluster version 2 to count what a walk passes over', async () => {
  const { kit, service, forwarded } = follower(commandCodec);
  await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 1 });
  const measureWalks = () => Promise.reject(new Error('It asked its own state.'));
  Object.assign(kit.stateMachine, { clusterVersion: 2, measureWalks });
  const write = new Outcome(service.write({ kind: 'deletePrefix', prefix: Buffer.from('k') }, 1000));
  await kit.clock.settle();
  expect([write.value, forwarded]).toEqual(['waits', ['propose']]);
});

test('a leader counts what the walks of other nodes pass over, and of no other command', async () => {
  const { kit, service } = follower(commandCodec);
  await kit.lead();
  const measured: unknown[] = [];
  const measureWalks = async (command: unknown) => void measured.push(command);
  Object.assign(kit.stateMachine, { revision: 7, logTimeMs: 0, measureWalks });
  const prefix = Buffer.from('k');
  const payload = commandCodec.encode({ kind: 'deletePrefix', prefix });
  const answer = await service.onForward({ operation: 'propose', payload }, 1000);
  expect(commandCodec.decodeResult(answer)).toEqual({ kind: 'tooManyKeys', revision: 7 });
  expect(measured).toMatchObject([{ kind: 'deletePrefix' }, { kind: 'deletePrefix' }]);

  const put: Command = { kind: 'put', key: prefix, value: prefix, contentType: '' };
  const other = new Outcome(
    service.onForward({ operation: 'propose', payload: commandCodec.encode(put) }, 1000),
  );
  await kit.clock.settle();
  expect([other.value, measured.length]).toEqual(['waits', 2]);
});

test('a node that does not lead names the leader to a member that asks for its state (rule 29)', async () => {
  const { kit, service } = follower();
  const payload = Buffer.from(JSON.stringify({ id: 'n3', incarnation: 'n3-1', fromIndex: 0 }));
  const ask = () => service.onForward({ operation: 'sendState', payload }, 1000);
  await expect(ask()).rejects.toMatchObject({ code: 'no_leader' });
  await kit.follow(2, 0, 0, [], 0);
  const leader = present(kit.node.raft.leader, 'It follows one.');
  expect(JSON.parse(Buffer.from(await ask()).toString())).toEqual({
    commitIndex: null,
    leader: { id: leader, incarnation: `${leader}-1`, peer: `${leader}:7000` },
  });
});

test('a leader ends the wait of a walk for another node early enough that its client hears of it', async () => {
  const { kit, service } = follower(commandCodec);
  await kit.lead();
  Object.assign(kit.stateMachine, { logTimeMs: 0, measureWalks: () => new Promise(() => {}) });
  const payload = commandCodec.encode({ kind: 'deletePrefix', prefix: Buffer.from('k') });
  const answer = new Outcome(service.onForward({ operation: 'propose', payload }, 200));
  await kit.clock.pass(149);
  expect(answer.value).toBe('waits');
  await kit.clock.pass(1);
  expect(answer.value).toBe('unavailable');
});
