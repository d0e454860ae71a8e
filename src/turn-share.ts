/**
 * A bounded part of each turn of the event loop, which long pieces of work share: listings, walks of prefixes, watches of the past
 * and large answers. Each runs one slice at a time and asks for a turn before the next, so the sum of their slices is
 * bounded, and not only each of them. What a node does for short requests, timers and heartbeats waits for no more than that.
 *
 * Slices run in the order of asking. The first slice of a turn runs in any case; the last one may end after the share does.
 */
export class TurnShare {
  readonly #shareMs: number;
  readonly #loop: EventLoop;
  #waiting: (() => void)[] = [];
  #isScheduled = false;

  /** @param shareMs How long slices may begin in one turn, in milliseconds. With 0, each turn runs one slice. */
  constructor(shareMs: number, loop: EventLoop = nodeEventLoop) {
    this.#shareMs = shareMs;
    this.#loop = loop;
  }

  /** Resolves when the next slice may run: never in the turn of the event loop in which it is asked for, unless a slice asks. */
  turn(): Promise<void> {
    return new Promise((proceed) => {
      this.#waiting.push(proceed);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#loop.soon(() => this.#runSlice(this.#loop.now() + this.#shareMs));
  }

  #runSlice(endsAtMs: number): void {
    const proceed = this.#waiting.shift();
    proceed?.();
    // The slice runs in microtasks, and may ask for its next turn there.
    this.#loop.afterMicrotasks(() => {
      if (this.#waiting.length > 0 && this.#loop.now() < endsAtMs) {
        this.#runSlice(endsAtMs);
        return;
      }
      this.#isScheduled = false;
      if (this.#waiting.length > 0) this.#schedule();
    });
  }
}

/** What a {@link TurnShare} needs of the event loop. */
export interface EventLoop {
  /** A monotonic reading in milliseconds. */
  now(): number;
  /** Runs a task in another turn. */
  soon(task: () => void): void;
  /** Runs a task in this turn, after all microtasks that are queued and those that they queue. */
  afterMicrotasks(task: () => void): void;
}

const nodeEventLoop: EventLoop = {
  now: () => performance.now(),
  soon: setImmediate,
  // A tick alone would run before the microtasks of the callback that it was queued in.
  afterMicrotasks: (task) => queueMicrotask(() => process.nextTick(task)),
};
