import { describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { CATCH_UP_SILENCE_TICKS, SNAPSHOT_STALL_MS, TICK_MS } from '../../src/node/limits.js';
import { OutgoingSnapshots } from '../../src/node/outgoing-snapshots.js';
import { configurationOfVoters } from '../../src/raft/configuration.js';
import type { FollowerStatus, Raft } from '../../src/raft/raft.js';
import type { Configuration, Message } from '../../src/raft/types.js';
import { memberCalled, startNode, threeVoters } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger, FakeStateMachine, FakeTransport } from './fakes.js';

/** What the core is told, instead of a leader in the right state. */
function start() {
  const told: string[] = [];
  const raft: Raft = startNode({ term: 2, log: Array(40).fill(1) });
  raft.step = (message: Message) => {
    if (message.type === 'installSnapshotResponse')
      told.push(`${message.fromIncarnation} holds ${message.matchIndex}, term ${message.term}`);
    else told.push(message.type);
    return null;
  };
  raft.snapshotFailed = (id) => told.push(`${id} failed`);
  const view: { configuration: Configuration; follower: FollowerStatus | undefined } = {
    configuration: threeVoters,
    follower: undefined,
  };
  Object.defineProperty(raft, 'configuration', { get: () => view.configuration });
  raft.follower = () => view.follower;
  const follow = (state: FollowerStatus['state'], match: number, lastContactTicks = 0) => {
    view.follower = {
      id: 'n3',
      state,
      match,
      next: match + 1,
      lastContactTicks,
      recentlyActive: true,
      keepsUp: false,
    };
  };
  follow('snapshot', 0);
  const stateMachine = new FakeStateMachine(5);
  const transport = new FakeTransport();
  const clock = new FakeClock();
  const logger = new FakeLogger();
  const errors: unknown[] = [];
  const snapshots = new OutgoingSnapshots(
    { id: 'n1', incarnation: 'n1-1', logEntriesMax: 20, logBytesMax: 1_000_000 },
    raft,
    stateMachine,
    transport,
    clock,
    logger,
    { wake: () => {}, damaged: (error) => errors.push(error), fatal: (error) => errors.push(error) },
  );
  const send = async () => {
    snapshots.send({ to: 'n3', term: 2 });
    await clock.settle();
  };
  const pass = async (ms: number) => {
    await clock.pass(ms);
    snapshots.review();
    await clock.settle();
  };
  const answer = async (transfer: number, success = true) => {
    const { answer } = present(transport.transfers[transfer], 'It was begun.');
    answer.resolve({ success, matchIndex: success ? 5 : 0, term: 2 });
    await clock.settle();
  };
  return {
    told,
    raft,
    view,
    stateMachine,
    transport,
    clock,
    logger,
    errors,
    snapshots,
    send,
    pass,
    answer,
    follow,
  };
}

describe('a snapshot on its way out', () => {
  it('tells the core what the follower holds, and closes the view of the state', async () => {
    const { told, stateMachine, snapshots, send, answer } = start();
    await send();
    expect(snapshots.neededIndex).toBe(5);
    await answer(0);
    expect(told).toEqual(['n3-1 holds 5, term 2']);
    expect(stateMachine.snapshots[0]?.isClosed).toBe(true);
  });

  it('that breaks is reported, so that the follower is looked at again (row 11)', async () => {
    const { told, transport, clock, stateMachine, send, snapshots } = start();
    await send();
    transport.transfers[0]?.answer.reject(new Error('The stream broke.'));
    await clock.settle();
    expect([told, stateMachine.snapshots[0]?.isClosed]).toEqual([['n3 failed'], true]);
    expect(snapshots.neededIndex).toBeUndefined();
  });

  it('that fails again and again is tried at growing intervals, and holds nothing meanwhile', async () => {
    const { told, snapshots, send, pass, answer } = start();
    await send();
    await answer(0, false);
    expect(told).toEqual(['n3 failed']);
    await send();
    await answer(1, false);
    await pass(90);
    expect([told, snapshots.neededIndex]).toEqual([['n3 failed'], undefined]);
    await pass(20);
    expect(told).toEqual(['n3 failed', 'n3 failed']);
    await send();
    await answer(2, false);
    await pass(190);
    expect(told).toHaveLength(2);
    await pass(20);
    expect(told).toHaveLength(3);
  });

  it('that was replaced by another does not report the other as failed, or each would end the next (row 11)', async () => {
    const { told, transport, snapshots, send, answer } = start();
    await send();
    await send();
    expect(transport.transfers.map((one) => one.abort.aborted)).toEqual([true, false]);
    expect(told).toEqual([]);
    expect(snapshots.neededIndex).toBe(5);
    await answer(1);
    expect(told).toEqual(['n3-1 holds 5, term 2']);
  });

  it('is aborted when this node does not lead any more', async () => {
    const { transport, clock, snapshots, send, errors, told } = start();
    await send();
    snapshots.abortAll();
    await clock.settle();
    expect([transport.transfers[0]?.abort.aborted, snapshots.neededIndex]).toEqual([true, undefined]);
    expect([errors, told]).toEqual([[], []]);
  });

  it('is not begun when it was abandoned while the state was being frozen', async () => {
    const { transport, stateMachine, clock, snapshots } = start();
    snapshots.send({ to: 'n3', term: 2 });
    snapshots.abortAll();
    await clock.settle();
    expect([transport.transfers, stateMachine.snapshots[0]?.isClosed]).toEqual([[], true]);
  });

  it('is broken off when the follower takes nothing, and not before (row 11)', async () => {
    const { told, transport, send, pass, logger } = start();
    await send();
    await pass(SNAPSHOT_STALL_MS);
    expect(told).toEqual([]);
    await pass(TICK_MS);
    expect([told, transport.transfers[0]?.abort.aborted]).toEqual([['n3 failed'], true]);
    expect(logger.lines.at(-1)).toContain('took nothing for 15010 ms');
    // A disk that is merely slow gets longer the next time.
    await send();
    await pass(SNAPSHOT_STALL_MS + TICK_MS);
    expect(transport.transfers[1]?.abort.aborted).toBe(false);
  });

  it('goes on for as long as the follower takes something now and then', async () => {
    const { told, transport, stateMachine, send, pass } = start();
    const takeSnapshot = stateMachine.takeSnapshot.bind(stateMachine);
    stateMachine.takeSnapshot = async () => {
      const snapshot = await takeSnapshot();
      snapshot.chunks = async function* () {
        for (;;) yield Uint8Array.of(1);
      };
      return snapshot;
    };
    const taken: { next: () => Promise<unknown> } = { next: () => Promise.resolve() };
    const begin = transport.sendSnapshot.bind(transport);
    transport.sendSnapshot = (to, header, chunks, abort) => {
      const iterator = chunks[Symbol.asyncIterator]();
      taken.next = () => iterator.next();
      return begin(to, header, chunks, abort);
    };
    await send();
    for (let times = 0; times < 4; times += 1) {
      await pass(SNAPSHOT_STALL_MS);
      await taken.next();
    }
    expect([told, transport.transfers[0]?.abort.aborted]).toEqual([[], false]);
  });

  it('is aborted when the follower is removed', async () => {
    const { told, view, transport, snapshots, send, pass } = start();
    await send();
    view.configuration = configurationOfVoters([memberCalled('n1'), memberCalled('n2')]);
    await pass(0);
    expect([transport.transfers[0]?.abort.aborted, snapshots.neededIndex]).toEqual([true, undefined]);
    expect(told).toEqual(['n3 failed']);
  });

  it('goes once more to a follower that was removed, so that it learns of it, and holds nothing (row 17)', async () => {
    const { told, view, transport, snapshots, send, pass, answer } = start();
    view.configuration = configurationOfVoters([memberCalled('n1'), memberCalled('n2')]);
    await send();
    await pass(0);
    expect([transport.transfers[0]?.abort.aborted, snapshots.neededIndex]).toEqual([false, undefined]);
    await answer(0);
    expect(told).toEqual([' holds 5, term 2']);
  });

  it('does not count for who took the name of the follower meanwhile (row 16)', async () => {
    const { told, view, transport, send, pass, answer } = start();
    await send();
    view.configuration = configurationOfVoters([memberCalled('n1'), memberCalled('n3', 'n3-new')]);
    // The answer comes before anybody looked.
    await answer(0);
    expect(told).toEqual(['n3-1 holds 5, term 2']);
    await send();
    view.configuration = threeVoters;
    await pass(0);
    await answer(1);
    expect(transport.transfers[1]?.abort.aborted).toBe(true);
    expect(told).toEqual(['n3-1 holds 5, term 2', 'n3 failed']);
  });
});

describe('a snapshot that arrived', () => {
  it('keeps the log until its follower has nearly caught up, or it would need the next one (row 11)', async () => {
    const { snapshots, send, answer, pass, follow } = start();
    await send();
    await answer(0);
    follow('probe', 5);
    await pass(TICK_MS);
    expect(snapshots.neededIndex).toBe(5);
    follow('replicate', 30);
    await pass(TICK_MS);
    expect(snapshots.neededIndex).toBe(30);
    follow('replicate', 35);
    await pass(TICK_MS);
    expect(snapshots.neededIndex).toBeUndefined();
  });

  it('keeps nothing for a follower that fell silent or left', async () => {
    const { snapshots, send, answer, pass, follow } = start();
    await send();
    await answer(0);
    follow('replicate', 6, CATCH_UP_SILENCE_TICKS);
    await pass(TICK_MS);
    expect(snapshots.neededIndex).toBe(6);
    follow('replicate', 6, CATCH_UP_SILENCE_TICKS + 1);
    await pass(TICK_MS);
    expect(snapshots.neededIndex).toBeUndefined();
  });

  it('keeps nothing once the log has grown too long', async () => {
    const { snapshots, send, answer, follow, told, logger } = start();
    await send();
    await answer(0);
    follow('replicate', 6);
    snapshots.release(5);
    expect(snapshots.neededIndex).toBe(6);
    snapshots.release(6);
    expect(snapshots.neededIndex).toBeUndefined();
    // The core goes on from where it is: it sends what the log still has.
    expect(told).toEqual(['n3-1 holds 5, term 2']);
    expect(logger.lines.at(-1)).toContain('does not catch up');
  });

  it('on its way is broken off when the log has grown too long for it', async () => {
    const { snapshots, send, told, transport } = start();
    await send();
    snapshots.release(5);
    expect([told, transport.transfers[0]?.abort.aborted]).toEqual([['n3 failed'], true]);
    expect(snapshots.neededIndex).toBeUndefined();
  });
});
