import type { Clock, Timer } from './clock.js';

/** Work that goes on in the background, with pauses, until it is stopped. */
export class BackgroundTask {
  /** Whether the work is to end. It looks after each pause. */
  isStopped = false;
  #running: Promise<void> = Promise.resolve();
  #timer: Timer | undefined;
  #wake: () => void = () => {};

  constructor(private readonly clock: Clock) {}

  start(work: () => Promise<void>): void {
    this.#running = work();
  }

  /** Resolves when the work has ended. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.#timer?.cancel();
    this.#wake();
    await this.#running;
  }

  /** Resolves after a while, or at once when the work is to end. One pause at a time. */
  async pause(milliseconds: number): Promise<void> {
    if (this.isStopped || milliseconds <= 0) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#timer = this.clock.after(milliseconds, resolve);
    });
  }
}
