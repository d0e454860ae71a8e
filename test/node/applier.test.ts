import { describe, expect, it } from 'vitest';
import { Applier } from '../../src/node/applier.js';
import { APPLY_SLICE_MS, BUFFERED_BYTES_MAX } from '../../src/node/limits.js';
import { entryAt } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeStateMachine, Pending } from './fakes.js';

function start(appliedIndex = 0) {
  const clock = new FakeClock();
  const stateMachine = new FakeStateMachine(appliedIndex);
  const errors: unknown[] = [];
  const calls = { progressed: 0, needsFlush: 0 };
  const applier = new Applier(stateMachine, clock, {
    applied: () => {},
    progressed: () => {
      calls.progressed += 1;
    },
    needsFlush: () => {
      calls.needsFlush += 1;
    },
    fatal: (error) => errors.push(error),
  });
  const indexes = () => stateMachine.applied.map((entry) => entry.index);
  return { clock, stateMachine, applier, errors, calls, indexes };
}

const entries = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, offset) => entryAt(first + offset, 1));

describe('applier', () => {
  it('applies in order, as entries come', async () => {
    const { applier, indexes, calls } = start();
    applier.enqueue(entries(1, 2));
    applier.enqueue(entries(3, 3));
    expect(indexes()).toEqual([1, 2, 3]);
    expect(calls.progressed).toBe(2);
  });

  it('yields after a slice of time, and takes what comes meanwhile in its turn', async () => {
    const { applier, clock, stateMachine, indexes } = start();
    stateMachine.beforeApply = () => clock.stall(APPLY_SLICE_MS);
    applier.enqueue(entries(1, 100));
    const inFirstSlice = indexes().length;
    expect(inFirstSlice).toBeLessThan(50);
    applier.enqueue(entries(101, 101));
    expect(indexes()).toHaveLength(inFirstSlice);
    await clock.settle();
    expect(indexes()).toEqual(entries(1, 101).map((entry) => entry.index));
  });

  it('applies nothing until the read-ahead for an entry is done, and that entry first', async () => {
    const { applier, clock, stateMachine, indexes } = start();
    const ahead = new Pending<void>();
    stateMachine.prepare = (entry) => (entry.index === 2 ? ahead.promise : undefined);
    applier.enqueue(entries(1, 3));
    applier.enqueue(entries(4, 4));
    await clock.settle();
    expect(indexes()).toEqual([1]);
    ahead.resolve();
    await clock.settle();
    expect(indexes()).toEqual([1, 2, 3, 4]);
  });

  it('tells of an entry that was read ahead for when it is the last one, too', async () => {
    const { applier, clock, stateMachine, calls, indexes } = start();
    const ahead = new Pending<void>();
    stateMachine.prepare = () => ahead.promise;
    applier.enqueue(entries(1, 1));
    const { progressed } = calls;
    ahead.resolve();
    await clock.settle();
    expect(indexes()).toEqual([1]);
    expect(calls.progressed).toBe(progressed + 1);
  });

  it('drops its read-ahead when a snapshot replaces the state, and continues after the snapshot', async () => {
    const { applier, clock, stateMachine, indexes } = start();
    const ahead = new Pending<void>();
    stateMachine.prepare = (entry) => (entry.index === 2 ? ahead.promise : undefined);
    applier.enqueue(entries(1, 6));
    stateMachine.appliedIndex = 4;
    applier.skipTo(4);
    expect(indexes()).toEqual([1, 5, 6]);
    ahead.resolve();
    await clock.settle();
    expect(indexes()).toEqual([1, 5, 6]);
  });

  it('survives a failed read-ahead of a state that was replaced', async () => {
    const { applier, clock, stateMachine, errors } = start();
    const ahead = new Pending<void>();
    stateMachine.prepare = (entry) => (entry.index === 1 ? ahead.promise : undefined);
    applier.enqueue(entries(1, 1));
    applier.skipTo(4);
    ahead.reject(new Error('The store was closed.'));
    await clock.settle();
    expect(errors).toEqual([]);
  });

  it('does not go on in the middle of a slice of the state before', async () => {
    const { applier, clock, stateMachine, indexes } = start();
    stateMachine.beforeApply = () => clock.stall(APPLY_SLICE_MS);
    applier.enqueue(entries(1, 100));
    const inFirstSlice = indexes().length;
    stateMachine.appliedIndex = 99;
    applier.skipTo(99);
    await clock.settle();
    expect(indexes().slice(inFirstSlice)).toEqual([100]);
  });

  it('waits for a flush when too much is buffered', async () => {
    const { applier, clock, stateMachine, indexes, calls } = start();
    stateMachine.bufferedBytes = BUFFERED_BYTES_MAX + 1;
    applier.enqueue(entries(1, 1));
    await clock.settle();
    expect([indexes(), calls.needsFlush]).toEqual([[], 1]);
    stateMachine.bufferedBytes = 0;
    applier.resume();
    expect(indexes()).toEqual([1]);
  });

  it('reports an entry that cannot be applied, also after it yielded, because the process must end', async () => {
    const { applier, clock, stateMachine, errors } = start();
    const ahead = new Pending<void>();
    stateMachine.prepare = () => ahead.promise;
    stateMachine.beforeApply = () => {
      throw new Error('The entry is damaged.');
    };
    applier.enqueue(entries(1, 1));
    ahead.resolve();
    await clock.settle();
    expect(errors).toEqual([new Error('The entry is damaged.')]);
  });
});
