import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EntryKind, type Message } from '../../src/raft/types.js';
import { callConformance } from './conformance-calls.js';
import { append, codeOf, proposal, TestNode, type World } from './conformance-world.js';

/** Runs the one suite of every {@link Transport} on the world that `open` makes, a new one for each test. */
export function transportConformance(name: string, open: () => Promise<World>): void {
  callConformance(name, open);

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

    test('of two incarnations of one name, and breaks the streams of neither (row 17)', async () => {
      const removed = await TestNode.start(world, { id: 'a', incarnation: 'a-removed' });
      removed.knows(b);
      await world.until(() => removed.isConnected(), 'the one that was removed is connected as well');
      b.onEvery = (message) => {
        if (message.type === 'appendEntries') {
          const matchIndex = message.previousIndex + 1;
          const answer = { success: true, matchIndex, rejectedIndex: 0, hintIndex: 0, hintTerm: 0 };
          b.transport.send({ type: 'appendEntriesResponse', ...b.envelope(a), ...answer });
        } else if (message.type === 'heartbeat') {
          b.transport.send({ type: 'heartbeatResponse', ...b.envelope(a), round: message.round });
        }
      };
      a.unreachable.length = 0;
      for (let round = 1; round <= 10; round += 1) {
        for (const from of [a, removed]) {
          const [arrived, answered] = [b.received.length, from.received.length];
          from.transport.send(append(from, b, round));
          from.transport.send({ type: 'heartbeat', ...from.envelope(b), round, commitIndex: 0 });
          await world.until(() => b.received.length === arrived + 2, 'both arrived');
          await world.until(() => from.received.length === answered + 2, 'who asked is answered');
        }
      }
      expect([a.unreachable, removed.unreachable]).toEqual([[], []]);
    });

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
          { type: 'heartbeat', ...from.envelope(to), round: 12, commitIndex: big, catchUpIndex: big },
          { type: 'timeoutNow', ...from.envelope(to) },
        ];
        const answers: Message[] = [
          {
            type: 'requestVoteResponse',
            ...to.envelope(from, 8),
            preVote: true,
            granted: true,
            removed: false,
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
          removed: false,
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
      let answers = 0;
      let round = 0;
      const beat = () => {
        round += 1;
        a.transport.send({ type: 'heartbeat', ...a.envelope(b), round, commitIndex: 0 });
      };
      a.onEvery = () => {
        answers += 1;
        if (countOf(b, 'appendEntries') < appends) beat();
      };
      for (let index = 0; index < appends; index += 1) a.transport.send(append(a, b, index, bytes));
      beat();
      await world.until(() => countOf(b, 'appendEntries') === appends, 'the appends arrive');
      await world.until(() => answers === round, 'the last heartbeat is answered');
      // Behind the appends at most one heartbeat would come through for each of them.
      expect(answers, 'heartbeats were answered while appends were on their way').toBeGreaterThan(
        10 * appends,
      );
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
}

function countOf(node: TestNode, type: Message['type']): number {
  return node.received.reduce((count, message) => count + (message.type === type ? 1 : 0), 0);
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
