import { RaftkvClientError } from './errors.js';
import type { CallOptions } from './options.js';
import { after, nowMs } from './timing.js';

/** A lease is renewed when this part of its time has passed since the last renewal was sent. */
const renewAfter = 1 / 3;
/**
 * A lease counts as lost when this part of its time has passed since the last renewal that was answered was sent. The rest
 * is for clocks that differ in speed, and for what is still running to end.
 */
const lostAfter = 0.8;
/** When a renewal failed, the next one comes after this part of the time. */
const retryAfter = 1 / 20;

/**
 * A lease that is kept alive in the background. Whether it still holds is judged here, by a monotonic clock and from the
 * time at which a renewal was sent, so that it is known to be lost before the server lets it run out. The clock may stand
 * still while the machine is suspended: what must never be done twice needs the lock's fencing token besides.
 */
export class KeptLease {
  readonly id: string;
  readonly ttlSeconds: number;
  private readonly controller = new AbortController();
  private readonly renewing = new AbortController();
  private readonly renew: (options: CallOptions) => Promise<unknown>;
  private lostAtMs: number;
  private cancelLoss = (): void => {};
  private cancelRenewal = (): void => {};

  /**
   * @param sentAtMs When the request that made the lease was sent, see {@link nowMs}.
   * @param renew Keeps the lease alive once.
   */
  constructor(
    id: string,
    ttlSeconds: number,
    sentAtMs: number,
    renew: (options: CallOptions) => Promise<unknown>,
  ) {
    this.id = id;
    this.ttlSeconds = ttlSeconds;
    this.renew = renew;
    this.lostAtMs = sentAtMs + this.ttlMs * lostAfter;
    this.expectLoss();
    this.renewIn(sentAtMs + this.ttlMs * renewAfter - nowMs());
  }

  /** Aborts when the lease may be lost, before the server lets it run out; the reason has the code `lease_lost`. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Whether the lease holds at this moment; unlike {@link signal} it is exact where this process was held up. */
  get held(): boolean {
    if (!this.signal.aborted && nowMs() >= this.lostAtMs) this.lose();
    return !this.signal.aborted;
  }

  /** Keeps it alive no longer. The signal does not abort any more. */
  stop(): void {
    this.cancelLoss();
    this.cancelRenewal();
    this.renewing.abort();
  }

  private get ttlMs(): number {
    return this.ttlSeconds * 1_000;
  }

  private expectLoss(): void {
    this.cancelLoss();
    this.cancelLoss = after(this.lostAtMs - nowMs(), () => this.lose());
  }

  private lose(detail = 'The lease could not be kept alive in time and may be lost.'): void {
    this.stop();
    this.controller.abort(
      new RaftkvClientError(
        'lease_lost',
        `${detail} Stop what relies on it; then begin anew with a new one.`,
      ),
    );
  }

  private renewIn(delayMs: number): void {
    this.cancelRenewal = after(delayMs, () => void this.renewOnce());
  }

  private async renewOnce(): Promise<void> {
    const { signal } = this.renewing;
    const sentAtMs = nowMs();
    try {
      await this.renew({ signal, timeoutMs: Math.max(1, this.lostAtMs - sentAtMs) });
      if (signal.aborted) return;
      this.lostAtMs = sentAtMs + this.ttlMs * lostAfter;
      this.expectLoss();
      this.renewIn(sentAtMs + this.ttlMs * renewAfter - nowMs());
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof RaftkvClientError && error.code === 'lease_not_found') {
        this.lose('The lease is gone: it was revoked, or has run out.');
      } else {
        // Whatever it was, there is no more to do than to try until the time is up.
        this.renewIn(this.ttlMs * retryAfter);
      }
    }
  }
}
