import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import type { NodeStatus } from '../../src/http/port.js';
import { messageType } from '../../src/kv/protobuf-schema.js';
import type { Message } from '../../src/raft/types.js';
import type { Receiver } from '../../src/transport/contract.js';
import { GrpcTransport } from '../../src/transport/grpc-transport.js';
import { noPeerAuth } from '../../src/transport/peer-auth.js';
import { isReady, put } from './client.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { until } from './wait.js';

/**
 * Somebody under the name and incarnation of a member, which is all that it takes on a loopback address without a secret. Every one of
 * these messages ended the process that got it, or the cluster, before it was judged.
 */
const deaf: Receiver = {
  onHandshake: () => {
    throw new Error('Nobody is to greet it.');
  },
  onMessage: () => null,
  onUnreachable: () => {},
  onSnapshot: () => Promise.reject(new Error('It takes no snapshot.')),
  onForward: () => Promise.reject(new Error('It leads nothing.')),
};

async function impersonate(member: TestNode, target: TestNode): Promise<GrpcTransport> {
  const { cluster, id, incarnation } = present(await member.status(), 'The member runs.');
  const transport = new GrpcTransport({
    listen: { host: '127.0.0.1', port: 0 },
    identity: () => ({
      cluster,
      id,
      incarnation,
      peerAddress: member.peer,
      clientUrl: member.url,
      versions: SPOKEN_VERSIONS,
    }),
    clusterVersion: () => 1,
    auth: noPeerAuth,
    knows: () => true,
    refused: () => {},
  });
  await transport.start(deaf);
  transport.setPeers([{ id: target.id, incarnation: '', address: target.peer }]);
  await until('a connection to the target', () =>
    transport.connections()[0]?.state === 'connected' ? true : undefined,
  );
  return transport;
}

describe('a hostile member', () => {
  let cluster: Cluster;
  let leader: TestNode;
  let follower: TestNode;
  let transport: GrpcTransport;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
    leader = await cluster.leader();
    follower = present(
      cluster.nodes.find((node) => node !== leader),
      'There are three nodes.',
    );
    transport = await impersonate(follower, leader);
  });
  afterAll(async () => {
    await transport?.stop(0);
    await cluster?.remove();
  });

  async function statusOf(node: TestNode): Promise<NodeStatus> {
    return present(await node.status(), `${node.id} runs.`);
  }

  async function goesOn(): Promise<void> {
    for (const node of cluster.nodes) expect(node.run?.exit).toBeUndefined();
    expect((await put(leader.url, 'a', '1')).kind).toBe('done');
    for (const node of cluster.nodes) expect(await isReady(node.url)).toBe(true);
  }

  /** The answer to a forwarded command, unless the real member has just taken its stream back. */
  async function forward(payload: Uint8Array): Promise<string | undefined> {
    const request = { operation: 'propose', payload } as const;
    const outcome = await transport.forward(leader.id, request, 5000).catch((error: Error) => error);
    if (!(outcome instanceof Error)) return 'It was taken.';
    return /cannot be reached|lost on the way/.test(outcome.message) ? undefined : outcome.message;
  }

  const command = (fields: object) =>
    messageType('Command')
      .encode({ version: 2, ...fields })
      .finish();
  it.each([
    ['bytes that are no command', Uint8Array.of(0xff, 0xff, 0xff)],
    ['nothing', new Uint8Array(0)],
    ['a key of 70,000 bytes', command({ put: { key: new Uint8Array(70_000), value: new Uint8Array(1) } })],
    ['a command of a later format', command({ version: 99, tick: {} })],
    ['a tick, which only a leader makes', command({ tick: {} })],
    [
      'the end of a lease, which only a leader proposes',
      command({ leaseExpire: { lease: 1, generation: 0 } }),
    ],
  ])('does not get %s into the log', async (_, payload) => {
    const before = await statusOf(leader);
    const refusal = await until('an answer', () => forward(payload));
    expect(refusal).toMatch(/^(The command|Only a leader) .* Nothing was changed/);
    expect((await statusOf(leader)).lastIndex).toBe(before.lastIndex);
    await goesOn();
  });

  it('does not move the term to the end of all terms', async () => {
    const { term } = await statusOf(leader);
    const request: Message = {
      type: 'requestVote',
      from: follower.id,
      fromIncarnation: '',
      to: leader.id,
      term: Number.MAX_SAFE_INTEGER,
      preVote: false,
      lastLogIndex: 1,
      lastLogTerm: 1,
      leadershipTransfer: true,
      call: 0,
    };
    await until('the refusal', async () => {
      transport.send(request);
      return (await statusOf(leader)).counters.messagesRefused > 0 ? true : undefined;
    });
    expect((await statusOf(leader)).term).toBe(term);
    await goesOn();
  });

  it('that claims to lead the term of the leader puts it into quarantine, and the others go on', async () => {
    const { term } = await statusOf(leader);
    const heartbeat: Message = {
      type: 'heartbeat',
      from: follower.id,
      fromIncarnation: '',
      to: leader.id,
      term,
      round: 1,
      commitIndex: 1,
    };
    const reason = await until('a quarantine', async () => {
      transport.send(heartbeat);
      const status = await leader.status();
      return status?.reason.includes('is in quarantine') ? status.reason : undefined;
    });
    expect(reason).toContain(`both lead term ${term}`);
    expect([leader.run?.exit, await isReady(leader.url)]).toEqual([undefined, false]);
    await until('a write on the others', async () =>
      (await put(follower.url, 'a', '2')).kind === 'done' ? true : undefined,
    );
  });
});
