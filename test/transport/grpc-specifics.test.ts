import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import { RaftkvError } from '../../src/errors.js';
import type { Hello, Identity } from '../../src/transport/contract.js';
import { GrpcTransport } from '../../src/transport/grpc-transport.js';
import { introduce } from '../../src/transport/introduction.js';
import { noPeerAuth } from '../../src/transport/peer-auth.js';
import { service, untouched, wire } from '../../src/transport/wire.js';
import { TestNode } from './conformance-world.js';
import { GrpcWorld } from './grpc-world.js';

const identity: Identity = {
  cluster: 'cluster-1',
  id: 'x',
  incarnation: 'x-incarnation',
  peerAddress: '127.0.0.1:1',
  clientUrl: '',
  versions: SPOKEN_VERSIONS,
};

const open = { clusterVersion: () => 1, auth: noPeerAuth, knows: () => true, refused: () => {} };

let world: GrpcWorld;
beforeEach(() => {
  world = new GrpcWorld();
});
afterEach(() => world.close());

describe('listening', () => {
  const startAt = async (host: string, port: number): Promise<unknown> => {
    const transport = new GrpcTransport({ listen: { host, port }, identity: () => identity, ...open });
    const failed = await transport.start(new TestNode(identity)).catch((error: unknown) => error);
    await transport.stop(0);
    return failed;
  };

  test('says which address is in use and what to do', async () => {
    const a = await TestNode.start(world, { id: 'a' });
    const failed = await startAt('127.0.0.1', Number(a.address.split(':')[1]));
    expect(failed).toBeInstanceOf(RaftkvError);
    expect(failed).toMatchObject({
      code: 'address_in_use',
      message: `${a.address} is in use by another process; stop that one, or choose another address with --peer.`,
    });
  });

  test('says that a host does not exist, or is not here', async () => {
    expect(await startAt('no-such-host.invalid', 0)).toMatchObject({
      code: 'usage',
      message: expect.stringContaining('no-such-host.invalid'),
    });
    // An address from the block that is reserved for documentation.
    expect(await startAt('192.0.2.1', 0)).toMatchObject({
      code: 'usage',
      message: expect.stringContaining('not an address of this machine'),
    });
  });

  test('leaves the address free for the next process when it stops', async () => {
    const a = await TestNode.start(world, { id: 'a' });
    const b = await TestNode.start(world, { id: 'b' });
    a.knows(b);
    await world.until(() => a.isConnected(), 'it is connected');
    await b.transport.stop(1_000);
    await TestNode.start(world, { id: 'b', peerAddress: b.address });
  });
});

describe('a node that does not know its cluster yet', () => {
  test('serves handshakes only, and everything as soon as it knows', async () => {
    const a = await TestNode.start(world, { id: 'a' });
    let cluster = '';
    const young = new GrpcTransport({
      listen: { host: '127.0.0.1', port: 0 },
      identity: () => ({ ...identity, cluster }),
      ...open,
    });
    const node = new TestNode(identity);
    await young.start(node);
    const address = `127.0.0.1:${young.port}`;
    a.transport.setPeers([{ id: 'x', incarnation: '', address }]);
    young.setPeers([{ id: 'a', incarnation: '', address: a.address }]);
    await a.transport.handshake(address, { identity: a.identity, initialCluster: '' }, 5_000);
    expect(a.connection()).toMatchObject({ state: 'connecting' });
    a.transport.send({ type: 'timeoutNow', from: 'a', fromIncarnation: 'a', to: 'x', term: 1 });
    cluster = 'cluster-1';
    await world.until(() => a.isConnected(), 'it is connected');
    await world.until(() => young.connections()[0]?.state === 'connected', 'and the other way as well');
    expect(node.received).toEqual([]);
    await young.stop(0);
  });
});

describe('a peer that has moved', () => {
  const nowhere = '127.0.0.1:1';

  test('is reached where it answered a handshake', async () => {
    const a = await TestNode.start(world, { id: 'a' });
    const b = await TestNode.start(world, { id: 'b' });
    const hello: Hello = { identity: a.identity, initialCluster: '' };
    b.onHandshake = () => ({ identity: { ...b.identity, peerAddress: b.address }, initialCluster: '' });
    a.transport.setPeers([{ id: 'b', incarnation: 'b-incarnation', address: nowhere }]);
    await a.transport.handshake(b.address, hello, 5_000);
    expect(a.connection()).toMatchObject({ address: b.address });
    await world.until(() => a.isConnected(), 'it is connected');
  });

  for (const [what, answered] of [
    ['another incarnation', { incarnation: 'b-anew' }],
    ['a member of another cluster', { cluster: 'cluster-2' }],
    ['another node', { id: 'c' }],
  ] as const) {
    test(`is not followed to where ${what} answers`, async () => {
      const a = await TestNode.start(world, { id: 'a' });
      const other = await TestNode.start(world, { id: 'b', ...answered });
      other.onHandshake = () => ({
        identity: { ...other.identity, peerAddress: other.address },
        initialCluster: '',
      });
      a.transport.setPeers([{ id: 'b', incarnation: 'b-incarnation', address: nowhere }]);
      await a.transport.handshake(other.address, { identity: a.identity, initialCluster: '' }, 5_000);
      expect(a.connection()).toMatchObject({ address: nowhere });
    });
  }
});

describe('a caller that is not understood', () => {
  let node: TestNode;
  let client: Client;
  beforeEach(async () => {
    node = await TestNode.start(world, { id: 'a' });
    client = new Client(node.address, credentials.createInsecure());
  });
  afterEach(() => client.close());

  const timeoutNow = (metadata: Metadata) =>
    new Promise<{ code: status; details: string }>((resolve) => {
      const bytes = wire.timeoutNowRequest.encode({ term: 3 });
      client.makeUnaryRequest(service.TimeoutNow.path, untouched, untouched, bytes, metadata, (error) => {
        resolve(error ?? { code: status.OK, details: '' });
      });
    });

  test('because it does not introduce itself', async () => {
    expect(await timeoutNow(new Metadata())).toMatchObject({
      code: status.FAILED_PRECONDITION,
      details: 'The caller did not introduce itself as a raftkv node.',
    });
    expect(node.received).toEqual([]);
  });

  test('because it speaks another version of the protocol', async () => {
    const metadata = new Metadata();
    const introduction = wire.introduction.encode({
      protocolVersion: 2,
      sender: identity,
      recipient: 'a',
      recipientIncarnation: '',
    });
    metadata.set('raftkv-introduction-bin', introduction);
    expect(await timeoutNow(metadata)).toMatchObject({
      code: status.FAILED_PRECONDITION,
      details: 'The caller speaks version 2 of the peer protocol; this node speaks version 1.',
    });
    expect(node.received).toEqual([]);
  });

  test.each([
    ['bytes that are no message', Buffer.from([0xff, 0xff, 0xff])],
    ['a term that is no safe integer', appendBytes({ term: 1.5 })],
    ['a negative index', appendBytes({ previousIndex: -1 })],
    ['entries that are cut off', appendBytes({ entries: new Uint8Array(5) })],
  ])('because it sends %s, which breaks that stream only', async (_, bytes) => {
    const metadata = introduce(identity, { id: 'a', incarnation: '' });
    const { path } = service.AppendEntries;
    const call = client.makeBidiStreamRequest(path, untouched, untouched, metadata);
    call.on('data', () => {});
    call.on('error', () => {});
    call.write(bytes);
    const ended = new Promise((resolve) => {
      call.on('status', resolve);
    });
    expect(await ended).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(node.received).toEqual([]);
    expect(await timeoutNow(metadata)).toMatchObject({ code: status.OK });
  });
});

describe('a peer that cannot be reached', () => {
  let silent: Server | undefined;
  const sockets = new Set<Socket>();
  afterEach(() => {
    silent?.close();
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  });

  test('costs a bounded number of attempts and not a line of output', async () => {
    const a = await TestNode.start(world, { id: 'a' });
    let attempts = 0;
    silent = createServer((socket) => {
      attempts += 1;
      socket.destroy();
    });
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const output = [vi.spyOn(console, 'error'), vi.spyOn(console, 'log'), vi.spyOn(process.stderr, 'write')];
    a.transport.setPeers([{ id: 'x', incarnation: '', address: addressOf(silent) }]);
    const startedAt = performance.now();
    await world.until(() => attempts >= 12, 'it was tried some times');
    // Two connections, each with a pause that grows to 200 ms.
    expect(performance.now() - startedAt).toBeGreaterThan(400);
    expect(a.connection()).toMatchObject({ state: 'connecting', reason: '' });
    for (const spy of output) {
      expect(spy).not.toHaveBeenCalled();
      spy.mockRestore();
    }
  });

  test('because its packets are dropped, is found when they are not dropped any more', async () => {
    const a = await TestNode.start(world, { id: 'a' });
    // Takes connections and says nothing, as a link does that is cut after the connection was made.
    silent = createServer((socket) => sockets.add(socket.on('error', () => {})));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = addressOf(silent);
    a.transport.setPeers([{ id: 'b', incarnation: '', address }]);
    await world.until(() => sockets.size >= 2, 'both connections are stuck');
    silent.close();
    await TestNode.start(world, { id: 'b', peerAddress: address });
    // Waits for half of the 20 s for which gRPC itself would hold on to the stuck connections.
    await world.until(() => a.isConnected(), 'it is connected');
  });

  function addressOf(server: Server): string {
    const address = server.address();
    return typeof address === 'object' && address !== null ? `127.0.0.1:${address.port}` : '';
  }
});

test('three connections lead to each peer, and none is left open', async () => {
  const a = await TestNode.start(world, { id: 'a' });
  const b = await TestNode.start(world, { id: 'b' });
  a.knows(b);
  await world.until(() => a.isConnected(), 'it is connected');
  const open = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
  const before = open();
  let during = 0;
  b.onSnapshot = async (header, chunks) => {
    for await (const _chunk of chunks) during = open();
    return { success: true, matchIndex: header.snapshot.index, term: header.term };
  };
  const snapshot = {
    index: 1,
    term: 1,
    configuration: { members: [], voters: [], outgoingVoters: [], learners: [] },
  };
  async function* chunks() {
    yield new Uint8Array(10);
  }
  const signal = new AbortController().signal;
  await a.transport.sendSnapshot('b', { ...a.envelope(b), snapshot }, chunks(), signal);
  // Each connection is two sockets, since both ends are in this process.
  expect(during - before).toBe(2);
  await world.until(() => open() === before, 'the connection of the snapshot is closed');
  await a.transport.stop(100);
  await b.transport.stop(100);
  await world.until(() => open() === before - 4, 'both other connections are closed');
});

function appendBytes(fields: { term?: number; previousIndex?: number; entries?: Uint8Array }): Buffer {
  const sound = { term: 1, previousIndex: 0, previousTerm: 0, commitIndex: 0, entries: new Uint8Array() };
  return wire.appendRequests.encode({ messages: [{ ...sound, ...fields }] });
}
