import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import { configurationOfVoters } from '../../src/raft/configuration.js';
import { type AppendEntries, EntryKind, type Message, type NodeId } from '../../src/raft/types.js';
import type {
  ForwardRequest,
  Hello,
  Identity,
  PeerConnection,
  Receiver,
  SnapshotAnswer,
  SnapshotHeader,
  Transport,
} from '../../src/transport/contract.js';

/** What a network under test offers: nodes at addresses, and time, which may be simulated. */
export interface World {
  /** Starts a transport that says this about itself. It listens at `peerAddress`, or anywhere if that is ''. */
  start(identity: Identity, receiver: Receiver): Promise<Started>;
  /** Milliseconds; only differences mean anything. */
  now(): number;
  /** Lets time pass until the condition holds. Rejects, naming `what`, when it does not within some seconds. */
  until(condition: () => boolean, what: string): Promise<void>;
  /** How soon a node that came back must be connected again, in milliseconds. */
  readonly reconnectMsMax: number;
  /** How long a heartbeat and its answer may take while large appends are on their way, in milliseconds. */
  readonly heartbeatMsMax: number;
  /** Stops everything that was started. */
  close(): Promise<void>;
}

export interface Started {
  readonly transport: Transport;
  readonly address: string;
}

/** A node of which every event is kept. What it answers can be replaced. */
export class TestNode implements Receiver {
  readonly received: Message[] = [];
  readonly unreachable: NodeId[] = [];
  #started: Started | undefined;
  onEvery: (message: Message) => void = () => {};
  onHandshake: (hello: Hello) => Hello = () => ({ identity: this.identity, initialCluster: '' });
  onForward: Receiver['onForward'] = async () => new Uint8Array();
  onSnapshot: Receiver['onSnapshot'] = async (header, chunks) => {
    await readAll(chunks);
    return { success: true, matchIndex: header.snapshot.index, term: header.term };
  };

  constructor(readonly identity: Identity) {}

  static async start(world: World, identity: Partial<Identity> & { readonly id: NodeId }): Promise<TestNode> {
    const node = new TestNode({
      cluster: 'cluster-1',
      incarnation: `${identity.id}-incarnation`,
      peerAddress: '',
      clientUrl: `http://${identity.id}.example:8080`,
      ...identity,
    });
    node.#started = await world.start(node.identity, node);
    return node;
  }

  get transport(): Transport {
    if (!this.#started) throw new Error('The node is started.');
    return this.#started.transport;
  }
  get address(): string {
    if (!this.#started) throw new Error('The node is started.');
    return this.#started.address;
  }
  get id(): NodeId {
    return this.identity.id;
  }

  onMessage(message: Message): void {
    this.received.push(message);
    this.onEvery(message);
  }
  onUnreachable(peer: NodeId): void {
    this.unreachable.push(peer);
  }

  /** Sets one peer, by what that node says about itself unless told otherwise. */
  knows(peer: TestNode, as: { id?: NodeId; incarnation?: string; address?: string } = {}): void {
    const { id, incarnation } = peer.identity;
    this.transport.setPeers([{ id, incarnation, address: peer.address, ...as }]);
  }
  connection(): PeerConnection | undefined {
    return this.transport.connections()[0];
  }
  isConnected(): boolean {
    return this.connection()?.state === 'connected';
  }
  envelope(to: TestNode, term = 7) {
    return { from: this.id, fromIncarnation: this.identity.incarnation, to: to.id, term };
  }
}

export async function readAll(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

export function append(from: TestNode, to: TestNode, previousIndex: number, payloadBytes = 3): AppendEntries {
  const payload = new Uint8Array(payloadBytes).fill(previousIndex % 251);
  return {
    type: 'appendEntries',
    ...from.envelope(to),
    previousIndex,
    previousTerm: 6,
    entries: [{ index: previousIndex + 1, term: 7, kind: EntryKind.command, payload }],
    commitIndex: 1,
  };
}

const codeOf = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof RaftkvError ? error.code : String(error)),
  );

/** Runs the one suite of every {@link Transport} on the world that `open` makes, a new one for each test. */
export function transportConformance(name: string, open: () => Promise<World>): void {
  describe(`${name} carries messages`, () => {
    let world: World;
    let a: TestNode;
    let b: TestNode;
    beforeEach(async () => {
      world = await open();
      a = await TestNode.start(world, { id: 'a' });
      b = await TestNode.start(world, { id: 'b' });
      a.knows(b);
      b.knows(a);
      await world.until(() => a.isConnected() && b.isConnected(), 'both are connected');
    });
    afterEach(() => world.close());

    test('of every type, in both directions, with every field', async () => {
      const big = 2 ** 47 + 1;
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        const sent: Message[] = [
          {
            type: 'requestVote',
            ...from.envelope(to),
            preVote: true,
            lastLogIndex: big,
            lastLogTerm: 6,
            leadershipTransfer: true,
            call: 41,
          },
          {
            type: 'appendEntries',
            ...from.envelope(to),
            previousIndex: big,
            previousTerm: 6,
            entries: [
              { index: big + 1, term: 7, kind: EntryKind.noop, payload: new Uint8Array() },
              { index: big + 2, term: 7, kind: EntryKind.command, payload: new Uint8Array([0, 255, 7]) },
              { index: big + 3, term: 7, kind: EntryKind.configuration, payload: new Uint8Array([9]) },
            ],
            commitIndex: big - 1,
          },
          { type: 'heartbeat', ...from.envelope(to), round: 12, commitIndex: big },
          { type: 'timeoutNow', ...from.envelope(to) },
        ];
        const answers: Message[] = [
          {
            type: 'requestVoteResponse',
            ...to.envelope(from, 8),
            preVote: true,
            granted: true,
            call: 41,
          },
          {
            type: 'appendEntriesResponse',
            ...to.envelope(from, 8),
            success: true,
            matchIndex: big + 3,
            rejectedIndex: 3,
            hintIndex: 2,
            hintTerm: 1,
          },
          { type: 'heartbeatResponse', ...to.envelope(from, 8), round: 12 },
        ];
        from.received.length = 0;
        to.received.length = 0;
        to.onEvery = (message) => {
          const answer = answers.find(({ type }) => type === `${message.type}Response`);
          if (answer === undefined) return;
          // The number of a call means something only to the transport that made it up.
          const call = 'call' in message ? { call: message.call } : {};
          to.transport.send({ ...answer, ...call } as Message);
        };
        for (const message of sent) from.transport.send(message);
        await world.until(() => to.received.length === sent.length, 'the requests arrive');
        await world.until(() => from.received.length === answers.length, 'the answers arrive');
        const byType = (x: Message, y: Message) => x.type.localeCompare(y.type);
        expect(to.received.map(withoutCall).sort(byType)).toEqual(sent.map(withoutCall).sort(byType));
        expect(from.received.map(plain).sort(byType)).toEqual(answers.map(plain).sort(byType));
        to.onEvery = () => {};
      }
    });

    test('in order within one stream, both ways', async () => {
      const count = 1_000;
      b.onEvery = (message) => {
        if (message.type !== 'appendEntries') return;
        b.transport.send({
          type: 'appendEntriesResponse',
          ...b.envelope(a),
          success: true,
          matchIndex: message.previousIndex,
          rejectedIndex: 0,
          hintIndex: 0,
          hintTerm: 0,
        });
      };
      for (let index = 0; index < count; index += 1) a.transport.send(append(a, b, index, index % 2_000));
      await world.until(() => a.received.length === count, 'all answers arrive');
      const wanted = Array.from({ length: count }, (_, index) => index);
      expect(b.received.map((message) => message.type === 'appendEntries' && message.previousIndex)).toEqual(
        wanted,
      );
      expect(
        a.received.map((message) => message.type === 'appendEntriesResponse' && message.matchIndex),
      ).toEqual(wanted);
    });

    test('with the answer to a vote going to the call that asked for it', async () => {
      const vote = (call: number, term: number): Message => ({
        type: 'requestVote',
        ...a.envelope(b, term),
        preVote: false,
        lastLogIndex: 0,
        lastLogTerm: 0,
        leadershipTransfer: false,
        call,
      });
      a.transport.send(vote(100, 8));
      a.transport.send(vote(200, 9));
      await world.until(() => b.received.length === 2, 'both calls arrive');
      // Answered in the opposite order.
      for (const asked of b.received.toReversed()) {
        if (asked.type !== 'requestVote') continue;
        b.transport.send({
          type: 'requestVoteResponse',
          ...b.envelope(a, asked.term),
          preVote: false,
          granted: asked.term === 9,
          call: asked.call,
        });
      }
      await world.until(() => a.received.length === 2, 'both answers arrive');
      const answers = a.received.map(
        (message) => message.type === 'requestVoteResponse' && [message.call, message.granted],
      );
      expect(answers).toEqual(
        expect.arrayContaining([
          [100, false],
          [200, true],
        ]),
      );
    });

    test('and tells each side what the other advertises to clients', () => {
      expect(a.connection()).toMatchObject({
        state: 'connected',
        reason: '',
        clientUrl: 'http://b.example:8080',
      });
      expect(b.connection()).toMatchObject({ clientUrl: 'http://a.example:8080' });
    });

    test('and drops those for nobody', async () => {
      a.transport.send({ type: 'heartbeat', ...a.envelope(b), to: 'nobody', round: 1, commitIndex: 0 });
      a.transport.send({ type: 'heartbeatResponse', ...a.envelope(b), to: 'nobody', round: 1 });
      a.transport.send({ type: 'heartbeat', ...a.envelope(b), round: 2, commitIndex: 0 });
      await world.until(() => b.received.length > 0, 'the heartbeat arrives');
      expect(b.received).toMatchObject([{ round: 2 }]);
    });

    test('no more to a peer that was taken from the set', async () => {
      a.transport.setPeers([]);
      a.transport.send({ type: 'heartbeat', ...a.envelope(b), round: 1, commitIndex: 0 });
      expect(a.transport.connections()).toEqual([]);
      a.knows(b);
      await world.until(() => a.isConnected(), 'it is connected again');
      a.transport.send({ type: 'heartbeat', ...a.envelope(b), round: 2, commitIndex: 0 });
      await world.until(() => b.received.length > 0, 'the heartbeat arrives');
      expect(b.received).toMatchObject([{ round: 2 }]);
    });

    test('and heartbeats are not held up by large appends', async () => {
      const appends = 6;
      const bytes = 8 * 1024 * 1024;
      b.onEvery = (message) => {
        if (message.type !== 'heartbeat') return;
        b.transport.send({ type: 'heartbeatResponse', ...b.envelope(a), round: message.round });
      };
      const delays: number[] = [];
      let sentAt = 0;
      let round = 0;
      const beat = () => {
        round += 1;
        sentAt = world.now();
        a.transport.send({ type: 'heartbeat', ...a.envelope(b), round, commitIndex: 0 });
      };
      a.onEvery = () => {
        delays.push(world.now() - sentAt);
        if (countOf(b, 'appendEntries') < appends) beat();
      };
      for (let index = 0; index < appends; index += 1) a.transport.send(append(a, b, index, bytes));
      beat();
      await world.until(() => countOf(b, 'appendEntries') === appends, 'the appends arrive');
      await world.until(() => delays.length === round, 'the last heartbeat is answered');
      expect(delays.length, 'heartbeats were answered while appends were on their way').toBeGreaterThan(1);
      expect(Math.max(...delays)).toBeLessThan(world.heartbeatMsMax);
    });

    test('again soon after a peer came back, and says once that it was away', async () => {
      const { address } = b;
      await b.transport.stop(0);
      await world.until(() => a.unreachable.length > 0, 'the break is noticed');
      for (let index = 0; index < 100; index += 1) a.transport.send(append(a, b, index));
      expect(a.connection()?.state).toBe('connecting');
      const again = await TestNode.start(world, { id: 'b', peerAddress: address });
      const startedAt = world.now();
      await world.until(() => a.isConnected(), 'it is connected again');
      expect(world.now() - startedAt).toBeLessThan(world.reconnectMsMax);
      a.transport.send(append(a, again, 500));
      await world.until(() => again.received.length > 0, 'a new append arrives');
      expect(again.received).toMatchObject([{ previousIndex: 500 }]);
      expect(a.unreachable).toEqual(['b']);
    });
  });

  describe(`${name} delivers only to whom a message is meant`, () => {
    let world: World;
    let a: TestNode;
    let b: TestNode;
    beforeEach(async () => {
      world = await open();
      a = await TestNode.start(world, { id: 'a' });
      b = await TestNode.start(world, { id: 'b' });
    });
    afterEach(() => world.close());

    const expectRefused = async (reason: RegExp) => {
      await world.until(() => a.connection()?.state === 'refused', 'the connection is refused');
      expect(a.connection()?.reason).toMatch(reason);
      a.transport.send(append(a, b, 1));
      a.transport.send({ type: 'heartbeat', ...a.envelope(b), round: 1, commitIndex: 0 });
      expect(await codeOf(a.transport.forward(a.connection()?.id ?? '', proposal, 1_000))).toBe('no_leader');
      expect(b.received).toEqual([]);
    };

    test('not to a node of another name at that address', async () => {
      a.knows(b, { id: 'c', incarnation: '' });
      await expectRefused(/meant for c.* is b/);
    });

    test('not to another incarnation', async () => {
      a.knows(b, { incarnation: 'the-one-before' });
      await expectRefused(/meant for incarnation the-one-before/);
    });

    test('not to another cluster', async () => {
      const stranger = await TestNode.start(world, { id: 's', cluster: 'cluster-2' });
      a.knows(stranger);
      await world.until(() => a.connection()?.state === 'refused', 'the connection is refused');
      expect(a.connection()?.reason).toMatch(/cluster-1.*cluster-2/);
      expect(stranger.received).toEqual([]);
    });

    test('to whichever incarnation answers while none is known, under the one that it proved', async () => {
      a.knows(b, { incarnation: '' });
      await world.until(() => a.isConnected(), 'it is connected');
      b.onEvery = () => b.transport.send({ type: 'heartbeatResponse', ...b.envelope(a), round: 1 });
      a.transport.send({ type: 'heartbeat', ...a.envelope(b), round: 1, commitIndex: 0 });
      await world.until(() => a.received.length > 0, 'the answer arrives');
      expect(a.received).toMatchObject([{ from: 'b', fromIncarnation: 'b-incarnation' }]);
    });

    test('from a sender that this node does not know yet', async () => {
      // A learner that was just promoted must be able to win an election.
      a.knows(b);
      await world.until(() => a.isConnected(), 'it is connected');
      a.transport.send({ type: 'heartbeat', ...a.envelope(b), round: 1, commitIndex: 0 });
      await world.until(() => b.received.length > 0, 'it arrives');
      expect(b.transport.connections()).toEqual([]);
    });

    test('at the address that the peer itself names', async () => {
      const moved = await TestNode.start(world, { id: 'm' });
      // As a configuration says that was made before the node moved.
      a.transport.setPeers([{ id: 'm', incarnation: 'm-incarnation', address: b.address }]);
      await world.until(() => a.connection()?.state === 'refused', 'the old address leads elsewhere');
      moved.knows(a);
      await world.until(() => a.isConnected(), 'the new address is learned');
      expect(a.connection()).toMatchObject({ address: moved.address, clientUrl: 'http://m.example:8080' });
    });

    test('and not at an address named by another incarnation', async () => {
      const impostor = await TestNode.start(world, { id: 'm', incarnation: 'another' });
      a.transport.setPeers([{ id: 'm', incarnation: 'm-incarnation', address: b.address }]);
      impostor.knows(a);
      await world.until(() => impostor.isConnected(), 'the other incarnation is connected');
      await world.until(() => a.connection()?.state === 'refused', 'the address leads elsewhere');
      expect(a.connection()?.address).toBe(b.address);
    });
  });

  describe(`${name} streams snapshots`, () => {
    let world: World;
    let a: TestNode;
    let b: TestNode;
    let header: SnapshotHeader;
    const never = () => new AbortController().signal;
    beforeEach(async () => {
      world = await open();
      a = await TestNode.start(world, { id: 'a' });
      b = await TestNode.start(world, { id: 'b' });
      a.knows(b);
      await world.until(() => a.isConnected(), 'it is connected');
      const member = { id: 'a', incarnation: 'a-incarnation', peerAddress: a.address, clientUrl: '' };
      header = {
        ...a.envelope(b),
        snapshot: { index: 90, term: 6, configuration: configurationOfVoters([member]) },
      };
    });
    afterEach(() => world.close());

    /** Megabytes, one at a time, counting what was pulled. */
    function source(megabytes: number) {
      const state = { pulled: 0, closed: false };
      async function* chunks() {
        try {
          for (; state.pulled < megabytes; ) {
            state.pulled += 1;
            yield new Uint8Array(1024 * 1024).fill(state.pulled);
          }
        } finally {
          state.closed = true;
        }
      }
      return { state, chunks: chunks() };
    }

    test('with header, content and answer intact', async () => {
      const content: Buffer[] = [];
      let seen: SnapshotHeader | undefined;
      b.onSnapshot = async (arriving, chunks) => {
        seen = arriving;
        content.push(await readAll(chunks));
        return { success: true, matchIndex: 90, term: 8 };
      };
      async function* chunks() {
        yield new Uint8Array([1, 2, 3]);
        yield new Uint8Array();
        yield new Uint8Array(3_000_000).fill(9);
      }
      const answer = await a.transport.sendSnapshot('b', header, chunks(), never());
      expect(answer).toEqual({ success: true, matchIndex: 90, term: 8 });
      expect(seen).toEqual(header);
      const whole = Buffer.concat([new Uint8Array([1, 2, 3]), new Uint8Array(3_000_000).fill(9)]);
      expect(content[0]?.equals(whole)).toBe(true);
    });

    test('no faster than the receiver reads', async () => {
      const { state, chunks } = source(200);
      const gate = gateway();
      let first: Uint8Array | undefined;
      b.onSnapshot = async (_, arriving) => {
        for await (const chunk of arriving) {
          first ??= chunk;
          await gate.promise;
        }
        return { success: true, matchIndex: 90, term: 7 };
      };
      const sent = a.transport.sendSnapshot('b', header, chunks, never());
      await world.until(() => first !== undefined, 'the first chunk is read');
      // Appends go on meanwhile; when they are through, whatever the stream takes has long been pulled.
      for (let index = 0; index < 200; index += 1) a.transport.send(append(a, b, index));
      await world.until(() => b.received.length === 200, 'the appends arrive');
      expect(state.pulled).toBeLessThan(50);
      gate.resolve();
      await sent;
      expect(state.pulled).toBe(200);
    });

    test('until the sender abandons it', async () => {
      const { state, chunks } = source(1_000);
      const abort = new AbortController();
      let failure: unknown;
      b.onSnapshot = async (_, arriving) => {
        try {
          for await (const _chunk of arriving) abort.abort();
        } catch (error) {
          failure = error;
        }
        return refused;
      };
      expect(await codeOf(a.transport.sendSnapshot('b', header, chunks, abort.signal))).toBe('unavailable');
      await world.until(() => failure !== undefined, 'the receiver learns of it');
      await world.until(() => state.closed, 'the source is closed');
      expect(failure).toBeInstanceOf(RaftkvError);
    });

    test('unless it is abandoned before it began', async () => {
      const { state, chunks } = source(1);
      expect(await codeOf(a.transport.sendSnapshot('b', header, chunks, AbortSignal.abort()))).toBe(
        'unavailable',
      );
      expect(state.pulled).toBe(0);
    });

    test('until the source fails, whose error the sender gets', async () => {
      let failure: unknown;
      b.onSnapshot = async (_, arriving) => {
        await readAll(arriving).catch((error: unknown) => {
          failure = error;
        });
        return refused;
      };
      async function* chunks() {
        yield new Uint8Array(10);
        throw new RaftkvError('storage_damaged', 'The disk is broken.');
      }
      expect(await codeOf(a.transport.sendSnapshot('b', header, chunks(), never()))).toBe('storage_damaged');
      await world.until(() => failure !== undefined, 'the receiver learns of it');
    });

    test('until the receiver refuses, without reading the rest', async () => {
      const { state, chunks } = source(1_000);
      b.onSnapshot = async () => refused;
      expect(await a.transport.sendSnapshot('b', header, chunks, never())).toEqual(refused);
      await world.until(() => state.closed, 'the source is closed');
      expect(state.pulled).toBeLessThan(1_000);
    });

    test('until the receiver fails, whose error the sender gets', async () => {
      b.onSnapshot = async () => {
        throw new RaftkvError('overloaded', 'Another snapshot is arriving.');
      };
      expect(await codeOf(a.transport.sendSnapshot('b', header, source(1_000).chunks, never()))).toBe(
        'overloaded',
      );
    });

    test('until the receiver dies', async () => {
      const { state, chunks } = source(1_000);
      b.onSnapshot = async (_, arriving) => {
        for await (const _chunk of arriving) void b.transport.stop(0);
        return refused;
      };
      expect(await codeOf(a.transport.sendSnapshot('b', header, chunks, never()))).toBe('unavailable');
      await world.until(() => state.closed, 'the source is closed');
    });

    test('not to a node that is not a peer, nor to the wrong one', async () => {
      expect(await codeOf(a.transport.sendSnapshot('x', header, source(1).chunks, never()))).toBe(
        'unavailable',
      );
      a.knows(b, { incarnation: 'the-one-before' });
      const { state, chunks } = source(1);
      expect(await codeOf(a.transport.sendSnapshot('b', header, chunks, never()))).toBe('unavailable');
      expect(state.pulled).toBe(0);
    });
  });

  describe(`${name} forwards work`, () => {
    let world: World;
    let a: TestNode;
    let b: TestNode;
    beforeEach(async () => {
      world = await open();
      a = await TestNode.start(world, { id: 'a' });
      b = await TestNode.start(world, { id: 'b' });
      a.knows(b);
      await world.until(() => a.isConnected(), 'it is connected');
    });
    afterEach(() => world.close());

    test('and carries request and answer', async () => {
      const asked: unknown[] = [];
      b.onForward = async (request, from, timeoutMs) => {
        asked.push({ ...request, payload: [...request.payload] }, from, timeoutMs);
        return new Uint8Array([4, 5]);
      };
      expect([...(await a.transport.forward('b', proposal, 5_000))]).toEqual([4, 5]);
      expect(asked).toEqual([{ operation: 'propose', payload: [1, 2, 3] }, 'a', 5_000]);
    });

    test('and carries errors with their data', async () => {
      b.onForward = async () => {
        throw new RaftkvError('precondition_failed', 'The key has another revision.', {
          currentRevision: 12,
        });
      };
      const failed = await a.transport.forward('b', proposal, 5_000).catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(RaftkvError);
      expect(failed).toMatchObject({
        code: 'precondition_failed',
        message: 'The key has another revision.',
        data: { currentRevision: 12 },
      });
    });

    test('and does not know the outcome of a change that was not answered', async () => {
      b.onForward = () => new Promise(() => {});
      expect(await codeOf(a.transport.forward('b', proposal, 50))).toBe('outcome_unknown');
      expect(await codeOf(a.transport.forward('b', { ...proposal, operation: 'readIndex' }, 50))).toBe(
        'unavailable',
      );
    });

    test('and does not know the outcome of a change when the leader dies', async () => {
      b.onForward = () => {
        void b.transport.stop(0);
        return new Promise(() => {});
      };
      expect(await codeOf(a.transport.forward('b', proposal, 5_000))).toBe('outcome_unknown');
    });

    test('only where there is a connection', async () => {
      expect(await codeOf(a.transport.forward('nobody', proposal, 5_000))).toBe('no_leader');
      await b.transport.stop(0);
      await world.until(() => !a.isConnected(), 'the break is noticed');
      expect(await codeOf(a.transport.forward('b', proposal, 5_000))).toBe('no_leader');
    });

    test('and finishes what was accepted before it stops', async () => {
      const gate = gateway();
      let accepted = false;
      b.onForward = async () => {
        accepted = true;
        await gate.promise;
        return new Uint8Array([6]);
      };
      const answer = a.transport.forward('b', proposal, 5_000);
      await world.until(() => accepted, 'the work is accepted');
      const stopped = b.transport.stop(5_000);
      gate.resolve();
      expect([...(await answer)]).toEqual([6]);
      await stopped;
    });
  });

  describe(`${name} exchanges identities`, () => {
    let world: World;
    beforeEach(async () => {
      world = await open();
    });
    afterEach(() => world.close());

    test('with a node of no cluster, and carries its errors', async () => {
      const a = await TestNode.start(world, { id: 'a', cluster: '' });
      const b = await TestNode.start(world, { id: 'b', cluster: '' });
      const hello: Hello = { identity: a.identity, initialCluster: 'a=1.2.3.4:5,b=1.2.3.4:6' };
      let heard: Hello | undefined;
      b.onHandshake = (asked) => {
        heard = asked;
        return { identity: b.identity, initialCluster: 'the other' };
      };
      expect(await a.transport.handshake(b.address, hello, 5_000)).toEqual({
        identity: b.identity,
        initialCluster: 'the other',
      });
      expect(heard).toEqual(hello);
      b.onHandshake = () => {
        throw new RaftkvError('identity_conflict', 'a is bound to another incarnation.', { member: 'a' });
      };
      const failed = await a.transport.handshake(b.address, hello, 5_000).catch((error: unknown) => error);
      expect(failed).toMatchObject({ code: 'identity_conflict', data: { member: 'a' } });
    });

    test('or says that nobody answers', async () => {
      const a = await TestNode.start(world, { id: 'a' });
      const b = await TestNode.start(world, { id: 'b' });
      await b.transport.stop(0);
      const hello: Hello = { identity: a.identity, initialCluster: '' };
      expect(await codeOf(a.transport.handshake(b.address, hello, 2_000))).toBe('unavailable');
    });
  });
}

const proposal: ForwardRequest = { operation: 'propose', payload: new Uint8Array([1, 2, 3]) };
const refused: SnapshotAnswer = { success: false, matchIndex: 0, term: 9 };

function countOf(node: TestNode, type: Message['type']): number {
  return node.received.reduce((count, message) => count + (message.type === type ? 1 : 0), 0);
}

/** A promise that the test itself resolves. */
function gateway() {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((opened) => {
    resolve = opened;
  });
  return { promise, resolve };
}

/** Payloads as numbers, so that views of larger buffers compare by content. */
function plain(message: Message): Message {
  if (message.type !== 'appendEntries') return message;
  const entries = message.entries.map((entry) => ({ ...entry, payload: new Uint8Array(entry.payload) }));
  return { ...message, entries };
}

function withoutCall(message: Message): Message {
  return message.type === 'requestVote' ? { ...message, call: 0 } : plain(message);
}
