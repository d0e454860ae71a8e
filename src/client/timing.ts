/** Milliseconds of a monotonic clock. It may stand still while the machine is suspended. */
export function nowMs(): number {
  return performance.now();
}

/** Resolves after `milliseconds`; rejects with the signal's reason when it aborts before. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', abort, { once: true });
  });
}

const pauseMsMin = 25;
const pauseMsMax = 1_000;

/**
 * Pauses between attempts: short at first, because an election takes about a third of a second, then growing to a second.
 * `Retry-After` counts in whole seconds, which is coarser than that.
 */
export class Pauses {
  private nextMs = pauseMsMin;

  /** Milliseconds, with some chance in them, so that clients that failed together do not come back together. */
  take(): number {
    const pauseMs = this.nextMs * (0.75 + Math.random() / 2);
    this.nextMs = Math.min(this.nextMs * 2, pauseMsMax);
    return pauseMs;
  }

  reset(): void {
    this.nextMs = pauseMsMin;
  }
}
