/**
 * Time as the shell sees it. The real clock is {@link systemClock}; the simulator supplies a virtual one, so
 * that a seed decides when everything happens. The consensus core knows neither: it counts ticks.
 */
export interface Clock {
  /** A monotonic reading in milliseconds. Only differences mean anything. */
  now(): number;
  /** Runs `task` once, after at least `delayMs` milliseconds, unless the timer is cancelled first. */
  after(delayMs: number, task: () => void): Timer;
  /** Runs `task` after the input that is already waiting has been read (the event loop's check phase). */
  soon(task: () => void): void;
}

/** A pending {@link Clock.after}. */
export interface Timer {
  /** Does nothing when the timer has fired or was cancelled before. */
  cancel(): void;
}

/** The clock of the machine: `performance.now`, `setTimeout`, `setImmediate`. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after,
  soon: (task) => {
    setImmediate(task);
  },
};

/** The longest delay in milliseconds that `setTimeout` takes. It fires at once when it is given a longer one. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * Runs `task` once after `delayMs` milliseconds, however many. The linter refuses `setTimeout` and its relatives
 * everywhere else, because their delays end at 24.8 days.
 */
export function after(delayMs: number, task: () => void): Timer {
  let handle: NodeJS.Timeout;
  const arm = (leftMs: number): void => {
    handle =
      leftMs > TIMER_MS_MAX
        ? setTimeout(() => arm(leftMs - TIMER_MS_MAX), TIMER_MS_MAX)
        : setTimeout(task, leftMs);
  };
  arm(delayMs);
  return { cancel: () => clearTimeout(handle) };
}

/** Runs `task` every `periodMs` milliseconds, for the first time after one period, until it is cancelled. */
export function every(periodMs: number, task: () => void): Timer {
  const handle = setInterval(task, Math.min(periodMs, TIMER_MS_MAX));
  return { cancel: () => clearInterval(handle) };
}

/** Resolves after `delayMs` milliseconds. */
export function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    after(delayMs, resolve);
  });
}

/** A signal that aborts after `delayMs` milliseconds. */
export function signalAfter(delayMs: number): AbortSignal {
  const controller = new AbortController();
  after(delayMs, () => controller.abort(new DOMException('The time is up.', 'TimeoutError')));
  return controller.signal;
}
