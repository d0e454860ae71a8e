import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KeptLease } from '../../src/client/kept-lease.js';

const TTL_MS = 9_000;

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function keep(keepAlive: () => Promise<void>) {
  return new KeptLease({
    keepAlive,
    isGone: (error) => error === 'gone',
    ttlMs: TTL_MS,
    sentAt: Date.now(),
    now: () => Date.now(),
  });
}

describe('a lease that is kept', () => {
  it('is renewed in time for as long as it is wanted', async () => {
    const keepAlive = vi.fn(async () => {});
    const kept = keep(keepAlive);
    await vi.advanceTimersByTimeAsync(10 * TTL_MS);
    expect(kept.lost.aborted).toBe(false);
    expect(keepAlive.mock.calls.length).toBe(30);
    kept.stop();
    await vi.advanceTimersByTimeAsync(10 * TTL_MS);
    expect([kept.lost.aborted, keepAlive.mock.calls.length]).toEqual([false, 30]);
  });

  it('is lost before its time is up when no answer comes, counted from the last request that was answered', async () => {
    let isAnswering = true;
    const kept = keep(() => (isAnswering ? Promise.resolve() : new Promise(() => {})));
    await vi.advanceTimersByTimeAsync(TTL_MS / 3 + 1);
    isAnswering = false;
    const renewedAt = TTL_MS / 3;
    await vi.advanceTimersByTimeAsync(renewedAt + 0.9 * TTL_MS - (Date.now() % 1) - (TTL_MS / 3 + 1) - 10);
    expect(kept.lost.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(20);
    expect(kept.lost.aborted).toBe(true);
  });

  it('is tried again after an error, and lost at once when the server says that it is gone', async () => {
    const keepAlive = vi.fn(async () => {});
    keepAlive.mockRejectedValueOnce('broken').mockRejectedValueOnce('broken');
    const kept = keep(keepAlive);
    await vi.advanceTimersByTimeAsync(TTL_MS);
    expect(kept.lost.aborted).toBe(false);
    keepAlive.mockRejectedValueOnce('gone');
    await vi.advanceTimersByTimeAsync(TTL_MS / 3);
    expect(kept.lost.aborted).toBe(true);
  });

  it('is not brought back by an answer that comes too late', async () => {
    let answer: () => void = () => {};
    const kept = keep(() => new Promise((resolve) => (answer = resolve)));
    await vi.advanceTimersByTimeAsync(TTL_MS);
    expect(kept.lost.aborted).toBe(true);
    answer();
    await vi.advanceTimersByTimeAsync(TTL_MS);
    expect(kept.lost.aborted).toBe(true);
  });
});
