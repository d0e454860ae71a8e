import type { Clock, Timer } from '../clock.js';
import { TICK_LATENESS_MS_MAX, TICK_MS } from './limits.js';

/**
 * Turns time into ticks. A tick that comes late means that this process was stalled, not that its leader is silent: the
 * time that was lost is not made up for, and the input that piled up meanwhile is read before the tick counts
 * (correctness rule 32).
 */
export class Ticker {
  private timer: Timer | null = null;
  private due = 0;
  /** How often this process was stalled, and the longest stall in milliseconds. */
  readonly stalls = { count: 0, longestMs: 0 };

  constructor(
    private readonly clock: Clock,
    private readonly tick: () => void,
    private readonly stalled: (lateMs: number) => void,
  ) {}

  start(): void {
    this.due = this.clock.now() + TICK_MS;
    this.schedule();
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = null;
  }

  private schedule(): void {
    this.timer = this.clock.after(Math.max(0, this.due - this.clock.now()), () => {
      // Timers run before the sockets are read; `soon` comes after.
      this.clock.soon(() => this.fire());
    });
  }

  private fire(): void {
    if (this.timer === null) return;
    const late = this.clock.now() - this.due;
    if (late > TICK_LATENESS_MS_MAX) {
      this.stalls.count += 1;
      this.stalls.longestMs = Math.max(this.stalls.longestMs, late);
      this.due = this.clock.now();
      this.stalled(late);
    }
    this.due += TICK_MS;
    this.tick();
    // The tick may have stopped the node, and this ticker with it.
    if (this.timer !== null) this.schedule();
  }
}
