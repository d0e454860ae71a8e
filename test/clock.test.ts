import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { after } from '../src/client/timing.js';
import { signalAfter, sleep, systemClock } from '../src/clock.js';

const DAY_MS = 24 * 60 * 60 * 1000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  vi.useRealTimers();
});

// A timer of the platform fires after 1 ms when its delay is longer than 24.8 days.
describe('a delay of 40 days', () => {
  it.each([
    ['the clock of the machine', (task: () => void) => systemClock.after(40 * DAY_MS, task).cancel],
    ['the timers of the client library', (task: () => void) => after(40 * DAY_MS, task)],
  ])('passes as a whole before the task runs, and can be cancelled after 30: %s', async (_, start) => {
    const task = vi.fn();
    const cancelled = vi.fn();
    start(task);
    const cancel = start(cancelled);
    await vi.advanceTimersByTimeAsync(30 * DAY_MS);
    cancel();
    await vi.advanceTimersByTimeAsync(10 * DAY_MS - 1);
    expect(task).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(task).toHaveBeenCalledOnce();
    expect(cancelled).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('passes before a sleep ends and a signal aborts', async () => {
    const woke = vi.fn();
    const signal = signalAfter(40 * DAY_MS);
    sleep(40 * DAY_MS).then(woke);
    await vi.advanceTimersByTimeAsync(40 * DAY_MS - 1);
    expect([woke.mock.calls.length, signal.aborted]).toEqual([0, false]);
    await vi.advanceTimersByTimeAsync(1);
    expect([woke.mock.calls.length, signal.aborted]).toEqual([1, true]);
  });
});
