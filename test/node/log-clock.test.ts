import { expect, test } from 'vitest';
import { LogClock } from '../../src/node/log-clock.js';
import { FakeClock } from './fake-clock.js';

function setUp() {
  const clock = new FakeClock();
  const state = { applied: 0, ledTerm: null as number | null };
  const logClock = new LogClock(
    clock,
    () => state.applied,
    () => state.ledTerm,
  );
  return { clock, state, logClock };
}

test('a leader counts on from what is applied', () => {
  const { clock, state, logClock } = setUp();
  state.applied = 500;
  state.ledTerm = 1;
  expect(logClock.now()).toBe(500);
  clock.stall(40);
  expect(logClock.now()).toBe(540);
});

test('a leader that is asked at once counts nothing from before it led (row 20)', () => {
  const { clock, state, logClock } = setUp();
  clock.stall(100_000);
  state.applied = 500;
  state.ledTerm = 7;
  expect(logClock.now()).toBe(500);
});

test('what passed between two terms of one leader does not count (row 20)', () => {
  const { clock, state, logClock } = setUp();
  state.ledTerm = 1;
  logClock.now();
  clock.stall(100);
  state.ledTerm = null;
  clock.stall(5000);
  state.applied = 300;
  state.ledTerm = 3;
  expect(logClock.now()).toBe(300);
  clock.stall(10);
  expect(logClock.now()).toBe(310);
});

test('it goes on from what its predecessors stamped when that is applied later', () => {
  const { clock, state, logClock } = setUp();
  state.ledTerm = 1;
  logClock.now();
  clock.stall(100);
  state.applied = 2000;
  expect(logClock.now()).toBe(2000);
  clock.stall(10);
  expect(logClock.now()).toBe(2010);
});

test('who does not lead knows what is applied, and no more', () => {
  const { clock, state, logClock } = setUp();
  state.applied = 500;
  clock.stall(100);
  expect(logClock.now()).toBe(500);
});
