/** Milliseconds of a monotonic clock. It may stand still while the machine is suspended. */
export function nowMs(): number {
  return performance.now();
}

/** The longest delay in milliseconds that `setTimeout` takes. It fires at once when it is given a longer one. */
const timerMsMax = 2 ** 31 - 1;

/**
 * Runs `task` once after `delayMs` milliseconds, however many. The linter refuses `setTimeout` and its relatives
 * everywhere else, because their delays end at 24.8 days.
 *
 * @returns Cancels it.
 */
export function after(delayMs: number, task: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const arm = (leftMs: number): void => {
    timer =
      leftMs > timerMsMax
        ? setTimeout(() => arm(leftMs - timerMsMax), timerMsMax)
        : setTimeout(task, Math.max(0, leftMs));
  };
  arm(delayMs);
  return () => clearTimeout(timer);
}

/** Resolves after `milliseconds`; rejects with the signal's reason when it aborts before. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const abort = (): void => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = after(milliseconds, () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    });
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
