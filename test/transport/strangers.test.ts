import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect as http2Connect } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import type { ForwardRequest, Identity } from '../../src/transport/contract.js';
import {
  ARRIVALS_BURST,
  GUESTS_MAX,
  GUESTS_STREAMS_MAX,
  NONSENSE_MAX,
  SMALL_MESSAGE_BYTES_MAX,
  STRANGERS_CALL_BYTES_MAX,
  STRANGERS_CALLS_MAX,
  STRANGERS_CONTROL_FRAMES_MAX,
  STRANGERS_PER_ADDRESS_MAX,
  UNFINISHED_BYTES_MAX,
  WASTED_BYTES_MAX,
} from '../../src/transport/limits.js';
import { service, wire } from '../../src/transport/wire.js';
import { http2Frame } from '../hostile/http2-frame.js';
import { append, codeOf, TestNode } from './conformance-world.js';
import { GrpcWorld } from './grpc-world.js';

const SECRET = Buffer.from('0123456789abcdef0123456789abcdef');
const stranger: Identity = {
  cluster: 'cluster-1',
  id: 'x',
  incarnation: 'x-incarnation',
  peerAddress: '127.0.0.1:1',
  clientUrl: '',
  versions: SPOKEN_VERSIONS,
};

let world: GrpcWorld;
const sessions: ClientHttp2Session[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  for (const socket of sockets.splice(0)) socket.destroy();
  await world.close();
});

/** A raw HTTP/2 connection to a node, which survives whatever becomes of it. */
function dial(node: TestNode, localAddress?: string): ClientHttp2Session {
  const session = http2Connect(`http://${node.address}`, {
    createConnection: () => dialRaw(node, localAddress),
  });
  sessions.push(session.on('error', () => {}));
  return session;
}

/** A raw TCP connection to a node. */
function dialRaw(node: TestNode, localAddress?: string): Socket {
  const [host = '', port = ''] = node.address.split(':');
  const socket = connect({ port: Number(port), host, ...(localAddress && { localAddress }) });
  sockets.push(socket.on('error', () => {}));
  return socket;
}

/** Elsewhere, only one address of the loopback network is there unless somebody adds others. */
const hasManyAddresses = process.platform === 'linux';
if (!hasManyAddresses) console.info('strangers: skipped what needs several addresses of one machine.');

/** Begins a call as a raw stream. */
function begin(
  session: ClientHttp2Session,
  path: string,
  sender: Partial<Identity> = {},
  headers: Record<string, string> = {},
): ClientHttp2Stream {
  const introduction = wire.introduction.encode({
    protocolVersion: 1,
    sender: { ...stranger, ...sender },
    recipient: path === service.Handshake.path ? '' : 'a',
    recipientIncarnation: '',
  });
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    'raftkv-introduction-bin': introduction.toString('base64'),
    ...headers,
  });
  return stream.on('error', () => {});
}

/** A message as gRPC frames it. */
function framed(bytes: Uint8Array, flag = 0): Buffer {
  const header = Buffer.from([flag, 0, 0, 0, 0]);
  header.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([header, bytes]);
}

/** The gRPC status with which a call ends; '' when its connection ends first. */
function statusOf(stream: ClientHttp2Stream): Promise<string> {
  return new Promise((resolve) => {
    const look = (headers: Readonly<Record<string, unknown>>) => {
      if (headers['grpc-status'] !== undefined) resolve(String(headers['grpc-status']));
    };
    stream
      .on('response', look)
      .on('trailers', look)
      .on('close', () => resolve(''))
      .resume();
  });
}

const http2Opening = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');

const reasons = () => world.refused.map(({ reason }) => reason);

describe('without a proof, where one is required', () => {
  let a: TestNode;
  beforeEach(async () => {
    world = new GrpcWorld({ mode: 'required', secrets: () => [SECRET] });
    a = await TestNode.start(world, { id: 'a' });
  });

  test('HTTP/2 never begins', async () => {
    const socket = dialRaw(a);
    let received = 0;
    socket.on('data', (bytes) => {
      received += bytes.length;
    });
    socket.write(http2Opening);
    await once(socket, 'close');
    expect(received).toBe(0);
    expect(reasons()).toEqual(['no_proof']);
  });

  test('nothing else is understood either, and each kind of refusal is told once and counted', async () => {
    for (let count = 0; count < 20; count += 1) {
      const socket = dialRaw(a);
      socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
      socket.resume();
      await once(socket, 'close');
    }
    expect(world.refused).toEqual([{ address: '127.0.0.1', reason: 'foreign', untold: 0 }]);
    expect(world.refusalsOf(a).get('foreign')).toBe(20);
  });

  test('an address that connects without end is not even listened to any more', async () => {
    // Nothing of its pace is regained meanwhile, however slow the machine is.
    const now = vi.spyOn(systemClock, 'now').mockReturnValue(systemClock.now());
    for (let count = 0; count < ARRIVALS_BURST; count += 1) {
      const socket = dialRaw(a);
      socket.end('GET / HTTP/1.1\r\n\r\n').resume();
      const closed = new Promise((resolve) => socket.on('close', resolve));
      if (count % 16 === 0) await closed;
    }
    await world.until(() => world.refusalsOf(a).get('foreign') === ARRIVALS_BURST, 'all are looked at');
    expect(reasons()).not.toContain('too_often');
    dialRaw(a);
    await world.until(() => reasons().includes('too_often'), 'it is refused at once');
    now.mockRestore();
  });

  test('connections that say nothing are bounded, the oldest go, and a peer still gets through', async () => {
    const silent = Array.from({ length: STRANGERS_PER_ADDRESS_MAX + 20 }, () => dialRaw(a));
    await world.until(() => silent.filter((socket) => socket.destroyed).length >= 20, 'the oldest are ended');
    const b = await TestNode.start(world, { id: 'b' });
    b.knows(a);
    await world.until(() => b.isConnected(), 'a peer is connected');
    expect(silent.slice(-20).every((socket) => !socket.destroyed)).toBe(true);
    expect(reasons()).toContain('too_many');
  });

  test.skipIf(!hasManyAddresses)(
    'an address that crowds the others out loses its own connections',
    async () => {
      await once(dialRaw(a), 'connect');
      // At once, because those that say nothing are ended after a time.
      const crowd = ['127.0.0.2', '127.0.0.3'].flatMap((localAddress) =>
        Array.from({ length: STRANGERS_PER_ADDRESS_MAX }, () => dialRaw(a, localAddress)),
      );
      await Promise.all(crowd.map((socket) => once(socket, 'connect')));
      const crowdedOut = () => world.refused.filter(({ reason }) => reason === 'too_many');
      await world.until(() => crowdedOut().length > 0, 'one of the crowd is ended');
      expect(crowdedOut().map(({ address }) => address)).not.toContain('127.0.0.1');
    },
  );

  test('a connection that says nothing is ended after a time', async () => {
    const socket = dialRaw(a);
    socket.resume();
    await once(socket, 'close');
    expect(reasons()).toEqual(['too_slow']);
  });
});

describe('a stranger, where no proof is required', () => {
  let a: TestNode;
  beforeEach(async () => {
    world = new GrpcWorld();
    world.knows = (id) => id !== 'x';
    a = await TestNode.start(world, { id: 'a' });
  });

  test('cannot hold memory with unfinished requests', async () => {
    for (const path of [
      service.Handshake.path,
      service.RequestVote.path,
      service.TimeoutNow.path,
      service.Forward.path,
    ]) {
      const stream = begin(dial(a), path);
      // The announcement of a message of 60 MiB, and a part of it.
      const announced = Buffer.from([0, 0, 0, 0, 0]);
      announced.writeUInt32BE(60 * 1024 * 1024, 1);
      stream.write(announced);
      stream.write(Buffer.alloc(STRANGERS_CALL_BYTES_MAX));
      stream.resume();
      await once(stream, 'close');
    }
    expect(world.refusalsOf(a).get('too_large')).toBe(4);
  });

  test('cannot hide a large request in a small one', async () => {
    const stream = begin(dial(a), service.Handshake.path, {}, { 'grpc-encoding': 'gzip' });
    stream.end(framed(gzipSync(Buffer.alloc(8 * 1024 * 1024)), 1));
    expect(await statusOf(stream)).toBe('');
    expect(reasons()).toEqual(['malformed']);
  });

  test.each([
    ['known', service.Handshake.path],
    ['unknown', '/raftkv.Raft/Nothing'],
  ])('cannot open and reset streams of %s methods without end', async (_, path) => {
    const session = dial(a);
    await once(session, 'remoteSettings');
    let opened = 0;
    while (!session.destroyed && opened < 100 * STRANGERS_CALLS_MAX) {
      const stream = begin(session, path);
      stream.once('ready', () => stream.close());
      opened += 1;
      if (opened % STRANGERS_CALLS_MAX === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await world.until(() => session.destroyed, 'the connection is ended');
    expect(reasons()).toEqual(['flood']);
    expect(a.received).toEqual([]);
  });

  test('cannot ping without end', async () => {
    const session = dial(a);
    await once(session, 'remoteSettings');
    for (let count = 0; count <= STRANGERS_CONTROL_FRAMES_MAX && !session.destroyed; count += 1) {
      await new Promise((resolve) => {
        if (!session.ping(resolve)) resolve(undefined);
      });
    }
    await world.until(() => session.destroyed, 'the connection is ended');
    expect(reasons()).toEqual(['flood']);
  });

  test.each([
    ['an id with a line feed', { id: 'x\n{"level":"error"}' }],
    ['an id that steers a terminal', { id: 'x\u001b[2J' }],
    ['an id that is too long', { id: 'x'.repeat(64) }],
    ['no incarnation', { incarnation: '' }],
    ['an address that is none', { peerAddress: 'x:1\r\nX: y' }],
    ['a client URL with a line break', { clientUrl: 'http://x:1\r\nx-injected: 1' }],
    ['a client URL with a path', { clientUrl: 'http://x:1/elsewhere' }],
    ['a client URL of another scheme', { clientUrl: 'javascript:alert(1)' }],
    ['a cluster that is none', { cluster: 'cluster-1\n' }],
  ])('cannot introduce itself with %s', async (_, sender) => {
    const stream = begin(dial(a), service.AppendEntries.path, sender);
    expect(await statusOf(stream)).toBe('9');
    expect(a.received).toEqual([]);
  });

  test('cannot redirect clients by a forged introduction while the member itself is connected', async () => {
    const b = await TestNode.start(world, { id: 'b' });
    a.knows(b);
    await world.until(() => a.isConnected(), 'it is connected');
    const forged = { ...b.identity, peerAddress: '127.0.0.1:9', clientUrl: 'http://evil.example' };
    const stream = begin(dial(a), service.Heartbeat.path, forged);
    await once(stream, 'response');
    expect(a.connection()).toMatchObject({ address: b.address, clientUrl: 'http://b.example:8080' });
  });

  test.each([
    ['hand over leadership', service.TimeoutNow.path, wire.timeoutNowRequest.encode({ term: 3 })],
    [
      'have work done',
      service.Forward.path,
      wire.forwardRequest.encode({ operation: 'propose', payload: new Uint8Array(), timeoutMs: 1 }),
    ],
  ])('cannot %s', async (_, path, bytes) => {
    let isAsked = false;
    a.onForward = async () => {
      isAsked = true;
      return new Uint8Array();
    };
    const stream = begin(dial(a), path);
    stream.end(framed(bytes));
    expect(await statusOf(stream)).toBe('10');
    expect([isAsked, a.received]).toEqual([false, []]);
    expect(reasons()).toEqual(['not_a_member']);
  });

  test('of this cluster is heard as a guest, whose word is not a member’s', async () => {
    const x = await TestNode.start(world, { id: 'x' });
    x.knows(a);
    await world.until(() => x.isConnected(), 'it is connected');
    x.transport.send(append(x, a, 1));
    await world.until(() => a.received.length > 0, 'it arrives');
    expect(a.fromMembers).toEqual([false]);
  });

  test('of a cluster that a node joins are all heard, and a snapshot of theirs as well', async () => {
    // Nobody, before the snapshot has come.
    world.knows = () => false;
    const members: TestNode[] = [];
    for (let number = 1; number <= 9; number += 1) {
      members.push(await TestNode.start(world, { id: `m${number}` }));
    }
    for (const member of members) {
      member.knows(a);
      await world.until(() => member.isConnected(), 'it is connected');
      member.transport.send(append(member, a, 1));
    }
    await world.until(() => a.received.length === members.length, 'all of it arrives');
    let bytes = 0;
    let isUnderWay = () => {};
    const underWay = new Promise<void>((resolve) => {
      isUnderWay = resolve;
    });
    a.onSnapshot = async (_header, chunks) => {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        isUnderWay();
      }
      return { success: true, matchIndex: 1, term: 1 };
    };
    const configuration = { members: [], voters: [], outgoingVoters: [], learners: [] };
    const snapshot = { index: 1, term: 1, configuration };
    let goOn = () => {};
    const rest = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    async function* content() {
      yield new Uint8Array(10);
      await rest;
      yield new Uint8Array(10);
    }
    const [leader] = members;
    if (leader === undefined) throw new Error('There are members.');
    const { signal } = new AbortController();
    const sent = leader.transport.sendSnapshot('a', { ...leader.envelope(a), snapshot }, content(), signal);
    await underWay;
    // Members other than the leader connect anew while the snapshot is under way, and their old streams are still there.
    for (const { identity } of members.slice(1)) {
      for (const path of [service.AppendEntries.path, service.Heartbeat.path]) {
        await once(begin(dial(a), path, { ...identity, incarnation: 'earlier' }), 'response');
      }
    }
    goOn();
    expect(await sent).toMatchObject({ success: true });
    expect(bytes).toBe(20);
    expect(world.refused).toEqual([]);
  });

  test('of this cluster cannot hold streams without end', async () => {
    const sessions = Array.from({ length: GUESTS_STREAMS_MAX + 1 }, () => dial(a));
    for (const [number, session] of sessions.entries()) {
      await once(begin(session, service.AppendEntries.path, { incarnation: `x-${number}` }), 'response');
    }
    await world.until(() => sessions[0]?.destroyed === true, 'the oldest is ended');
    expect(sessions.slice(1).every((session) => !session.destroyed)).toBe(true);
    expect(reasons()).toEqual(['too_many']);
  });

  test('of this cluster loses its own streams when it opens many', async () => {
    const other = dial(a);
    await once(begin(other, service.AppendEntries.path, { incarnation: 'other' }), 'response');
    const flood = dial(a);
    for (let number = 0; number < GUESTS_STREAMS_MAX && !flood.destroyed; number += 1) {
      const stream = begin(flood, service.AppendEntries.path, { incarnation: `x-${number}` });
      await new Promise((resolve) => stream.once('response', resolve).once('close', resolve));
    }
    await world.until(() => flood.destroyed, 'the connection with the most streams is ended');
    expect(other.destroyed).toBe(false);
    expect(reasons()).toEqual(['too_many']);
  });

  const vote = { term: 1, preVote: true, lastLogIndex: 0, lastLogTerm: 0, leadershipTransfer: false };
  test.skipIf(!hasManyAddresses).each([
    ['streams', GUESTS_STREAMS_MAX, service.AppendEntries.path, (stream: ClientHttp2Stream) => stream],
    [
      'connections',
      GUESTS_MAX,
      service.RequestVote.path,
      (stream: ClientHttp2Stream) => stream.end(framed(wire.voteRequest.encode(vote))),
    ],
  ])('of this cluster loses its own when it takes many %s from one address', async (_, most, path, ask) => {
    const take = async (incarnation: string, localAddress?: string) => {
      const session = dial(a, localAddress);
      await once(ask(begin(session, path, { incarnation })), 'response');
      return session;
    };
    const others = [await take('1'), await take('2'), await take('3')];
    const flood: ClientHttp2Session[] = [];
    for (let number = 0; number < 2 * most; number += 1) flood.push(await take(`x-${number}`, '127.0.0.2'));
    await world.until(() => flood[0]?.destroyed === true, 'the oldest of the flood is ended');
    expect(others.every((session) => !session.destroyed)).toBe(true);
    expect(flood.at(-1)?.destroyed).toBe(false);
  });

  test('that turns out to be a member keeps its streams, whatever strangers open', async () => {
    world.knows = () => false;
    const member = dial(a);
    await once(begin(member, service.AppendEntries.path, { id: 'm' }), 'response');
    world.knows = (id) => id === 'm';
    const others = Array.from({ length: GUESTS_STREAMS_MAX + 1 }, () => dial(a));
    for (const [number, session] of others.entries()) {
      await once(begin(session, service.AppendEntries.path, { incarnation: `x-${number}` }), 'response');
    }
    await world.until(() => others[0]?.destroyed === true, 'the oldest of the others is ended');
    expect(member.destroyed).toBe(false);
  });

  describe('that forwards a large proposal over the connection of its stream', () => {
    const large: ForwardRequest = { operation: 'propose', payload: new Uint8Array(1024 * 1024) };
    let x: TestNode;
    let receivedBytes: number[];
    beforeEach(async () => {
      receivedBytes = [];
      a.onForward = async ({ payload }) => {
        receivedBytes.push(payload.length);
        return new Uint8Array();
      };
      x = await TestNode.start(world, { id: 'x' });
      x.knows(a);
      await world.until(() => x.isConnected(), 'it is connected');
    });

    test('is served once this node has learned that it is a member', async () => {
      world.knows = () => true;
      await x.transport.forward('a', large, 10_000);
      expect(receivedBytes).toEqual([1024 * 1024]);
      expect(world.refused).toEqual([]);
    });

    test('is told that nothing was done, and keeps its connection', async () => {
      for (let count = 0; count < 3; count += 1) {
        expect(await codeOf(x.transport.forward('a', large, 10_000))).toBe('no_leader');
      }
      expect(receivedBytes).toEqual([]);
      expect([x.isConnected(), x.unreachable]).toEqual([true, []]);
      world.knows = () => true;
      await x.transport.forward('a', large, 10_000);
      expect(receivedBytes).toEqual([1024 * 1024]);
      expect(reasons()).toEqual(['not_a_member']);
    });
  });

  test.each([
    ['PRIORITY', 2, 9, Buffer.of(0, 0, 0, 0, 16)],
    ['WINDOW_UPDATE', 8, 0, Buffer.of(0, 0, 0, 1)],
    ['an unknown kind', 0x42, 0, Buffer.alloc(8)],
  ])('cannot send frames of %s without end', async (_, kind, stream, payload) => {
    const socket = dialRaw(a);
    socket.resume();
    socket.write(http2Opening);
    const frame = http2Frame(kind, stream, payload);
    const block = Buffer.concat(Array.from({ length: 4096 }, () => frame));
    while (!socket.destroyed && socket.bytesWritten < 1000 * WASTED_BYTES_MAX) {
      if (socket.write(block)) continue;
      await new Promise<void>((resolve) => {
        const goOn = () => {
          socket.off('drain', goOn).off('close', goOn);
          resolve();
        };
        socket.on('drain', goOn).on('close', goOn);
      });
    }
    await world.until(() => socket.destroyed, 'the connection is ended');
    expect(reasons()).toEqual(['flood']);
  });

  test.each([
    ['settings', 4],
    ['acknowledged settings', 4, 1],
    ['acknowledged pings', 6, 1],
    ['resets of streams that were never opened', 3],
  ])('is ended by HTTP/2 itself, or by this node, when it floods it with %s', async (_, kind, flags = 0) => {
    const socket = dialRaw(a);
    socket.resume();
    socket.write(http2Opening);
    const payload = { 3: Buffer.alloc(4), 4: Buffer.alloc(0), 6: Buffer.alloc(8) }[kind] ?? Buffer.alloc(0);
    const frame = http2Frame(kind, kind === 3 ? 1 : 0, payload, flags);
    for (let count = 0; count < 20_000 && !socket.destroyed; count += 1) socket.write(frame);
    await world.until(() => socket.destroyed, 'the connection is ended');
  });

  test('is charged for a vote that no member asks for, and its connection ends after some of them', async () => {
    a.nonsense = 'No member asks for such a vote.';
    const session = dial(a);
    const vote = wire.voteRequest.encode({
      term: 1,
      preVote: false,
      lastLogIndex: 0,
      lastLogTerm: 0,
      leadershipTransfer: false,
    });
    const first = begin(session, service.RequestVote.path);
    first.end(framed(vote));
    expect(await statusOf(first)).toBe('3');
    expect(world.refusalsOf(a).get('malformed')).toBe(1);
  });

  test('cannot greet with versions that are no range, or with bytes that are no greeting', async () => {
    const identity = { ...stranger, versions: { oldest: 3, newest: 2 } };
    const greetings = [
      wire.handshakeRequest.encode({ hello: { identity, initialCluster: '' } }),
      Buffer.of(0xff, 0xff, 0xff),
    ];
    for (const bytes of greetings) {
      const stream = begin(dial(a), service.Handshake.path);
      stream.end(framed(bytes));
      expect(await statusOf(stream)).toBe('3');
    }
    expect(world.refusalsOf(a).get('malformed')).toBe(2);
  });

  test('cannot announce a heartbeat or a part of a snapshot that is larger than any', async () => {
    for (const path of [service.Heartbeat.path, service.InstallSnapshot.path]) {
      const stream = begin(dial(a), path, { id: 'm', incarnation: 'm-1' });
      const announced = Buffer.alloc(5);
      announced.writeUInt32BE(SMALL_MESSAGE_BYTES_MAX + 1, 1);
      stream.write(announced);
      expect(await statusOf(stream)).not.toBe('0');
    }
    await world.until(() => world.refusalsOf(a).get('too_large') === 2, 'both connections are ended');
  });

  describe('that copies the name and the incarnation of a member', () => {
    const copied = { id: 'm', incarnation: 'm-1' };

    test('holds a bounded number of bytes in unfinished messages, over all connections', async () => {
      const mebibyte = 1024 * 1024;
      const sessions: ClientHttp2Session[] = [];
      const part = Buffer.alloc(mebibyte);
      const connections = 5;
      for (let number = 1; number <= connections; number += 1) {
        const session = dial(a);
        sessions.push(session);
        const stream = begin(session, service.AppendEntries.path, copied);
        const announced = Buffer.alloc(5);
        announced.writeUInt32BE(60 * mebibyte, 1);
        stream.write(announced);
        for (
          let sent = 0;
          sent < (UNFINISHED_BYTES_MAX / mebibyte / connections) * 1.5 && !stream.destroyed;
          sent += 1
        ) {
          await new Promise((resolve) => stream.write(part, resolve));
        }
      }
      await world.until(() => sessions.some((session) => session.destroyed), 'a connection is ended');
      expect(world.refusalsOf(a).get('too_much')).toBeGreaterThan(0);
      const b = await TestNode.start(world, { id: 'b' });
      b.knows(a);
      await world.until(() => b.isConnected(), 'a peer is connected');
      b.transport.send(append(b, a, 1, mebibyte));
      await world.until(() => a.received.length > 0, 'its append arrives');
    });

    test('is charged for each stream of nonsense, and its connection ends after some of them', async () => {
      const session = dial(a);
      for (let count = 0; count <= NONSENSE_MAX; count += 1) {
        const stream = begin(session, service.AppendEntries.path, copied);
        stream.write(framed(Buffer.of(0xff, 0xff)));
        await statusOf(stream);
      }
      await world.until(() => session.destroyed, 'the connection is ended');
      expect(reasons()).toEqual(['malformed', 'flood']);
      expect(world.refusalsOf(a).get('malformed')).toBe(NONSENSE_MAX + 1);
    });

    test('cannot open and reset streams without end', async () => {
      const session = dial(a);
      await once(session, 'remoteSettings');
      for (let opened = 0; !session.destroyed && opened < 20_000; opened += 1) {
        const stream = begin(session, service.Heartbeat.path, copied);
        stream.once('ready', () => stream.close());
        if (opened % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await world.until(() => session.destroyed, 'the connection is ended, here by nghttp2');
    });
  });

  test.each([
    ['NaN', Number.NaN, 0],
    ['infinite', Number.POSITIVE_INFINITY, 3_600_000],
    ['negative', -1, 0],
    ['an age', 1e300, 3_600_000],
  ])('member that waits for %s is taken at a word that can be meant', async (_, timeoutMs, expected) => {
    let asked: number | undefined;
    a.onForward = async (_request, _from, patienceMs) => {
      asked = patienceMs;
      return new Uint8Array();
    };
    const stream = begin(dial(a), service.Forward.path, { id: 'm', incarnation: 'm-1' });
    stream.end(
      framed(wire.forwardRequest.encode({ operation: 'readIndex', payload: new Uint8Array(), timeoutMs })),
    );
    await statusOf(stream);
    expect(asked).toBe(expected);
  });
});
