import type { Clock, Timer } from '../clock.js';
import { STALL_REPORT_MS, TICK_LATENESS_MS_MAX, TICK_MS } from './limits.js';

/** How often this process was held up, and for how long at most, in milliseconds. */
export interface Stalls {
  readonly count: number;
  readonly longestMs: number;
}

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
  private unreported: Stalls = { count: 0, longestMs: 0 };
  private silentUntil = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly clock: Clock,
    private readonly tick: () => void,
    private readonly stalled: (stalls: Stalls) => void,
  ) {}

  start(): void {
    this.due = this.clock.now() + TICK_MS;
    this.schedule();
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = null;
  }

  /** A busy machine stalls often, and a line for each would hide the others; the status counts them all. */
  private noteStall(lateMs: number): void {
    const now = this.clock.now();
    this.due = now;
    this.stalls.count += 1;
    this.stalls.longestMs = Math.max(this.stalls.longestMs, lateMs);
    this.unreported = {
      count: this.unreported.count + 1,
      longestMs: Math.max(this.unreported.longestMs, lateMs),
    };
    if (now < this.silentUntil) return;
    this.stalled(this.unreported);
    this.unreported = { count: 0, longestMs: 0 };
    this.silentUntil = now + STALL_REPORT_MS;
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
    if (late > TICK_LATENESS_MS_MAX) this.noteStall(late);
    this.due += TICK_MS;
    this.tick();
    // The tick may have stopped the node, and this ticker with it.
    if (this.timer !== null) this.schedule();
  }
}
