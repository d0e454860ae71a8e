import type { Clock, Timer } from '../../src/clock.js';

interface Task {
  readonly due: number;
  readonly run: () => void;
}

/** Time that passes only when a test says so. */
export class FakeClock implements Clock {
  private time = 0;
  private timers: Task[] = [];
  private tasks: (() => void)[] = [];

  now(): number {
    return this.time;
  }

  after(delayMs: number, run: () => void): Timer {
    const task = { due: this.time + delayMs, run };
    this.timers.push(task);
    return {
      cancel: () => {
        this.timers = this.timers.filter((other) => other !== task);
      },
    };
  }

  /** Whether anything waits for time to pass. */
  get isAwaited(): boolean {
    return this.timers.length > 0;
  }

  soon(run: () => void): void {
    this.tasks.push(run);
  }

  /** The machine was busy: time passes and nothing runs. */
  stall(ms: number): void {
    this.time += ms;
  }

  /** Everything that can happen without time passing happens. */
  async settle(): Promise<void> {
    for (;;) {
      // Promises first, as on the event loop; one turn of it empties their queue.
      await new Promise((resolve) => setImmediate(resolve));
      const tasks = this.tasks.splice(0);
      if (tasks.length === 0) return;
      for (const run of tasks) run();
    }
  }

  /** Time passes; what falls due meanwhile runs at its time. */
  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    await this.settle();
    for (;;) {
      const next = this.timers.filter((task) => task.due <= end).sort((a, b) => a.due - b.due)[0];
      if (next === undefined) break;
      this.timers = this.timers.filter((task) => task !== next);
      this.time = Math.max(this.time, next.due);
      next.run();
      await this.settle();
    }
    this.time = end;
  }
}
