import { describe, expect, it } from 'vitest';
import { Flusher } from '../../src/node/flusher.js';
import { FLUSH_BYTES, FLUSH_DELAY_MS } from '../../src/node/limits.js';
import { entryAt, runUntilQuiet, startNode } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger, FakeStateMachine } from './fakes.js';

/** A node whose log holds 20 committed entries, all handed out to be applied, and a bound of 10. */
function start({ logBytesMax = 1_000_000, largeFrom = 21 } = {}) {
  const raft = startNode({ term: 1, log: Array(largeFrom - 1).fill(1), commit: 1 });
  raft.step({
    type: 'appendEntries',
    from: 'n2',
    fromIncarnation: 'n2-1',
    to: 'n1',
    term: 1,
    previousIndex: largeFrom - 1,
    previousTerm: 1,
    entries: [19, 20]
      .filter((index) => index >= largeFrom)
      .map((index) => entryAt(index, 1, new Uint8Array(1500))),
    commitIndex: 20,
  });
  runUntilQuiet(raft);
  const stateMachine = new FakeStateMachine(0);
  stateMachine.isFlushSlow = true;
  const clock = new FakeClock();
  const needed: { index: number | undefined } = { index: undefined };
  const calls: string[] = [];
  const flusher = new Flusher(
    raft,
    stateMachine,
    clock,
    new FakeLogger(),
    { logEntriesMax: 10, logBytesMax },
    {
      neededIndex: () => needed.index,
      release: (index) => {
        calls.push(`released ${index}`);
        needed.index = undefined;
      },
      hasRoom: () => true,
      flushed: () => calls.push('flushed'),
      compacted: () => calls.push('compacted'),
      fatal: () => calls.push('fatal'),
    },
  );
  const flushAt = async (appliedIndex: number) => {
    stateMachine.appliedIndex = appliedIndex;
    flusher.noteChanges();
    await clock.pass(FLUSH_DELAY_MS);
    stateMachine.flushes.shift()?.resolve();
    await clock.settle();
  };
  return { raft, stateMachine, clock, needed, calls, flusher, flushAt };
}

describe('flusher', () => {
  it('flushes some time after a change, once for all that changed meanwhile', async () => {
    const { stateMachine, clock, flusher } = start();
    for (const index of [1, 2, 3]) {
      stateMachine.appliedIndex = index;
      flusher.noteChanges();
      await clock.pass(10);
    }
    expect(stateMachine.flushes).toHaveLength(0);
    await clock.pass(FLUSH_DELAY_MS);
    expect(stateMachine.flushes).toHaveLength(1);
  });

  it('flushes at once when much is buffered, one flush at a time, and again for what came during it', async () => {
    const { stateMachine, clock, flusher } = start();
    stateMachine.appliedIndex = 1;
    stateMachine.bufferedBytes = FLUSH_BYTES;
    flusher.noteChanges();
    stateMachine.appliedIndex = 2;
    flusher.noteChanges();
    expect(stateMachine.flushes).toHaveLength(1);
    stateMachine.flushes[0]?.resolve();
    await clock.pass(FLUSH_DELAY_MS);
    expect([stateMachine.flushedIndex, stateMachine.flushes.length]).toEqual([1, 2]);
  });

  it('flushes at once when the cluster version was raised, so that an older program finds a state that it refuses', async () => {
    const { stateMachine, flusher } = start();
    stateMachine.appliedIndex = 1;
    flusher.noteChanges();
    expect(stateMachine.flushes).toHaveLength(0);
    stateMachine.clusterVersion = 2;
    flusher.noteChanges();
    expect(stateMachine.flushes).toHaveLength(1);
  });

  it.each([
    { what: 'half the entries', logBytesMax: 1_000_000, appliedIndex: 5, bufferedBytes: 0 },
    { what: 'half the bytes', logBytesMax: 2_000, appliedIndex: 1, bufferedBytes: 1_000 },
  ])('flushes at once when what it holds is $what that the log may have', (given) => {
    const { stateMachine, flusher } = start({ logBytesMax: given.logBytesMax });
    stateMachine.appliedIndex = given.appliedIndex - 1;
    stateMachine.bufferedBytes = given.bufferedBytes - 1;
    flusher.noteChanges();
    expect(stateMachine.flushes).toHaveLength(0);
    stateMachine.appliedIndex = given.appliedIndex;
    stateMachine.bufferedBytes = given.bufferedBytes;
    flusher.noteChanges();
    expect(stateMachine.flushes).toHaveLength(1);
  });

  it('flushes at once when the log grew by half its bound, though nothing is buffered', () => {
    const { stateMachine, flusher } = start({ logBytesMax: 2_000, largeFrom: 19 });
    stateMachine.appliedIndex = 1;
    flusher.noteChanges();
    expect(stateMachine.flushes).toHaveLength(1);
  });

  it('does not flush when nothing changed', async () => {
    const { stateMachine, clock, flusher } = start();
    flusher.noteChanges();
    await clock.pass(1000);
    expect(stateMachine.flushes).toHaveLength(0);
  });

  it('a failed flush is fatal', async () => {
    const { stateMachine, clock, flusher, calls } = start();
    stateMachine.appliedIndex = 1;
    flusher.flushNow();
    stateMachine.flushes[0]?.reject(new Error('The disk is full.'));
    await clock.settle();
    expect(calls).toEqual(['fatal']);
  });
});

describe('compaction (row 23)', () => {
  it('cuts the log to half its bound when all of it is flushed', async () => {
    const { raft, flushAt, calls } = start();
    await flushAt(20);
    expect([raft.firstIndex, raft.logSize.entries]).toEqual([16, 5]);
    expect(calls).toEqual(['compacted', 'flushed']);
  });

  it('never cuts above what is on disk in the state', async () => {
    const { raft, flushAt } = start();
    await flushAt(3);
    expect(raft.firstIndex).toBe(4);
  });

  it('never cuts above what was flushed when the flush began, however much is applied by its end', async () => {
    const { raft, stateMachine, clock, flusher } = start();
    stateMachine.appliedIndex = 3;
    flusher.flushNow();
    stateMachine.appliedIndex = 20;
    stateMachine.flushes[0]?.resolve();
    await clock.settle();
    expect(raft.firstIndex).toBe(4);
  });

  it('keeps what a snapshot under way needs after it', async () => {
    const { raft, needed, flushAt } = start();
    needed.index = 7;
    await flushAt(20);
    expect(raft.firstIndex).toBe(8);
  });

  it('keeps nothing for a snapshot once the log is half as long again as its bound', async () => {
    const { raft, needed, flushAt, calls } = start();
    needed.index = 4;
    await flushAt(20);
    expect([raft.firstIndex, calls]).toEqual([16, ['released 4', 'compacted', 'flushed']]);
  });

  it('does not give up a snapshot for entries that are not on disk in the state: that would free nothing', async () => {
    const { needed, flushAt, calls } = start();
    needed.index = 4;
    await flushAt(4);
    expect(calls).toEqual(['compacted', 'flushed']);
  });

  it('goes on until the log is within its bound in bytes, though the last entries are far larger than the others', async () => {
    const { raft, flushAt } = start({ logBytesMax: 2000, largeFrom: 19 });
    await flushAt(20);
    expect(raft.logSize.bytes).toBeLessThanOrEqual(2000);
  });

  it('cuts what a snapshot needed when that has ended, because a full log gets nothing more to flush', async () => {
    const { raft, needed, flushAt, flusher } = start();
    needed.index = 7;
    await flushAt(20);
    needed.index = undefined;
    flusher.compactLog();
    expect(raft.firstIndex).toBe(16);
  });

  it('leaves a log alone that is within its bound, or that begins there already', async () => {
    const { raft, needed, flushAt, calls } = start();
    needed.index = 7;
    await flushAt(18);
    await flushAt(19);
    expect(raft.firstIndex).toBe(8);
    needed.index = undefined;
    await flushAt(20);
    expect(raft.firstIndex).toBe(16);
    expect(calls.filter((call) => call === 'compacted')).toHaveLength(2);
  });
});
