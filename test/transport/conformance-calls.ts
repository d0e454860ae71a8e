import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import { configurationOfVoters } from '../../src/raft/configuration.js';
import type { Hello, SnapshotAnswer, SnapshotHeader } from '../../src/transport/contract.js';
import { append, codeOf, proposal, readAll, TestNode, type World } from './conformance-world.js';

/** The part of the suite about calls with one answer: snapshots, forwarded work, handshakes. */
export function callConformance(name: string, open: () => Promise<World>): void {
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

    test('and is broken off on both sides when nobody waits for the answer any more', async () => {
      const client = new AbortController();
      let served: AbortSignal | undefined;
      b.onForward = (_request, _from, _timeoutMs, signal) => {
        served = signal;
        return new Promise(() => {});
      };
      const asked = codeOf(a.transport.forward('b', proposal, 5_000, client.signal));
      await world.until(() => served !== undefined, 'the work has begun');
      expect(served?.aborted).toBe(false);
      client.abort();
      expect(await asked).toBe('outcome_unknown');
      await world.until(() => served?.aborted === true, 'the leader hears of it');
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
        return { identity: b.identity, initialCluster: 'b=1.2.3.4:7' };
      };
      expect(await a.transport.handshake(b.address, hello, 5_000)).toEqual({
        identity: b.identity,
        initialCluster: 'b=1.2.3.4:7',
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

const refused: SnapshotAnswer = { success: false, matchIndex: 0, term: 9 };

/** A promise that the test itself resolves. */
function gateway() {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((opened) => {
    resolve = opened;
  });
  return { promise, resolve };
}
