/** What keeping a lease alive needs of its surroundings; times are of a monotonic clock, in milliseconds. */
export interface LeaseKeeping {
  /** Lets the lease begin anew. Rejects when that failed; `isGone` says whether for good. */
  readonly keepAlive: () => Promise<void>;
  readonly isGone: (error: unknown) => boolean;
  readonly ttlMs: number;
  /** When the request was sent that the lease began with. */
  readonly sentAt: number;
  readonly now?: () => number;
}

/** So many keepalives are tried in the time of the lease. */
const KEEPALIVES_PER_TTL = 3;
/** The share of the lease's time after which it may be lost: what is left is for clocks that run at other speeds. */
const SAFE_SHARE = 0.9;

/**
 * Keeps a lease alive in the background. Its time is counted here from when a request was *sent*, so `lost` is aborted before
 * the server can give to anybody else what stands under the lease, also where no answer comes at all.
 */
export class KeptLease {
  private readonly controller = new AbortController();
  private readonly now: () => number;
  private safeUntil: number;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isStopped = false;

  constructor(private readonly keeping: LeaseKeeping) {
    this.now = keeping.now ?? (() => performance.now());
    this.safeUntil = keeping.sentAt + SAFE_SHARE * keeping.ttlMs;
    this.schedule(keeping.ttlMs / KEEPALIVES_PER_TTL);
  }

  /** Aborted when the lease may be lost. */
  get lost(): AbortSignal {
    return this.controller.signal;
  }

  /** Keeps it alive no more. It goes on until its time is up, or until it is revoked. */
  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
  }

  private schedule(delayMs: number): void {
    clearTimeout(this.timer);
    if (this.isStopped) return;
    const leftMs = this.safeUntil - this.now();
    if (leftMs <= 0) {
      this.lose('The lease was not kept alive in time.');
      return;
    }
    this.timer = setTimeout(() => this.renew(), Math.min(delayMs, leftMs));
  }

  private renew(): void {
    const sentAt = this.now();
    if (sentAt >= this.safeUntil) {
      this.lose('The lease was not kept alive in time.');
      return;
    }
    const { keepAlive, isGone, ttlMs } = this.keeping;
    keepAlive().then(
      () => {
        // An answer that comes after all this while may be of a lease that was lost in between.
        if (this.isStopped || this.controller.signal.aborted) return;
        this.safeUntil = sentAt + SAFE_SHARE * ttlMs;
        this.schedule(ttlMs / KEEPALIVES_PER_TTL);
      },
      (error: unknown) => {
        if (isGone(error)) this.lose('The lease is gone.');
        else this.schedule(ttlMs / KEEPALIVES_PER_TTL / KEEPALIVES_PER_TTL);
      },
    );
    // While the answer is waited for, the time runs on.
    this.timer = setTimeout(() => this.schedule(0), Math.max(0, this.safeUntil - sentAt));
  }

  private lose(reason: string): void {
    this.stop();
    this.controller.abort(new Error(reason));
  }
}
