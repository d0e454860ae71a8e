import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RaftkvClientError } from '../../src/client/index.js';
import { KeptLease } from '../../src/client/kept-lease.js';

const ttlSeconds = 30;
const ttlMs = 30_000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});

afterEach(() => {
  vi.useRealTimers();
});

/** A lease that was asked for now. */
function keep(renew: (options: { readonly timeoutMs?: number | undefined }) => Promise<unknown>): KeptLease {
  return new KeptLease('7', ttlSeconds, performance.now(), renew);
}

/** When the lease is lost, in milliseconds from now on; undefined where it is held all the time. */
async function lostAfterMs(lease: KeptLease, untilMs: number): Promise<number | undefined> {
  const startedAtMs = performance.now();
  let lostAtMs: number | undefined;
  lease.signal.addEventListener('abort', () => {
    lostAtMs = performance.now() - startedAtMs;
  });
  await vi.advanceTimersByTimeAsync(untilMs);
  return lostAtMs;
}

const hanging = () => new Promise<never>(() => {});

describe('a lease that is kept', () => {
  it('is held as long as it is renewed, three times in its time', async () => {
    const renew = vi.fn(async () => {});
    const lease = keep(renew);
    expect(await lostAfterMs(lease, 10 * ttlMs)).toBeUndefined();
    expect(renew).toHaveBeenCalledTimes(30);
    expect(lease.held).toBe(true);
    lease.stop();
  });

  it('lives for 100 days, which is longer than a timer of the platform takes', async () => {
    const renew = vi.fn(hanging);
    const lease = new KeptLease('7', 100 * 86_400, performance.now(), renew);
    expect(await lostAfterMs(lease, 79 * 86_400_000)).toBeUndefined();
    expect(renew).toHaveBeenCalledOnce();
    expect(await lostAfterMs(lease, 2 * 86_400_000)).toBe(86_400_000);
  });

  it('counts as lost before it runs out when nobody answers', async () => {
    const renew = vi.fn(hanging);
    const lease = keep(renew);
    expect(await lostAfterMs(lease, ttlMs)).toBe(24_000);
    expect(lease.signal.reason).toMatchObject({ code: 'lease_lost' });
    expect(lease.held).toBe(false);
    // All that is left until it counts as lost.
    expect(renew.mock.calls).toEqual([[expect.objectContaining({ timeoutMs: 14_000 })]]);
  });

  it('lives from the time at which a renewal was sent, not from that of its answer', async () => {
    let renewals = 0;
    const lease = keep(async () => {
      renewals += 1;
      if (renewals > 1) return hanging();
      // Sent at 10 s and answered at 20 s.
      await new Promise((resolve) => setTimeout(resolve, 10_000));
      return undefined;
    });
    expect(await lostAfterMs(lease, 2 * ttlMs)).toBe(10_000 + 24_000);
  });

  it('is renewed again soon when a renewal fails', async () => {
    let renewals = 0;
    const lease = keep(async () => {
      renewals += 1;
      if (renewals % 3 !== 0) throw new RaftkvClientError('no_leader', 'None is known.', 503);
    });
    expect(await lostAfterMs(lease, 10 * ttlMs)).toBeUndefined();
    lease.stop();
    const failing = keep(() => Promise.reject(new TypeError('fetch failed')));
    expect(await lostAfterMs(failing, 2 * ttlMs)).toBe(24_000);
  });

  it('is lost at once when the server says that it is gone', async () => {
    const lease = keep(() =>
      Promise.reject(new RaftkvClientError('lease_not_found', 'There is no such lease.', 404)),
    );
    expect(await lostAfterMs(lease, ttlMs)).toBe(10_000);
  });

  it('that was slow to come counts from when it was asked for', async () => {
    const lease = new KeptLease('7', ttlSeconds, performance.now() - 20_000, hanging);
    expect(await lostAfterMs(lease, ttlMs)).toBe(4_000);
  });

  it('knows by the clock that it is lost where timers come late', () => {
    const lease = keep(hanging);
    const atMs = performance.now();
    const clock = vi.spyOn(performance, 'now').mockReturnValue(atMs + 24_000);
    expect(lease.signal.aborted).toBe(false);
    expect([lease.held, lease.signal.aborted]).toEqual([false, true]);
    clock.mockRestore();
  });

  it('is kept no longer, and never lost, after it was stopped', async () => {
    const renew = vi.fn(async () => {});
    const lease = keep(renew);
    await vi.advanceTimersByTimeAsync(15_000);
    lease.stop();
    expect(await lostAfterMs(lease, 2 * ttlMs)).toBeUndefined();
    expect(renew).toHaveBeenCalledTimes(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});
