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
  after(delayMs, task) {
    const handle = setTimeout(task, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  soon: (task) => {
    setImmediate(task);
  },
};
