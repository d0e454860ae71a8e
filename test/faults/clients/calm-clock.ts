import type { Clocks } from './lease-ends.js';

/** Counts the time in which no fault is under way or being recovered from. */
export class CalmClock implements Clocks {
  private passedMs = 0;
  private calmSinceMs: number | undefined;

  get nowMs(): number {
    return performance.now();
  }

  get calmMs(): number {
    return this.passedMs + (this.calmSinceMs === undefined ? 0 : this.nowMs - this.calmSinceMs);
  }

  /** Every node serves clients. */
  calm(): void {
    this.calmSinceMs ??= this.nowMs;
  }

  /** A fault begins. */
  disturbed(): void {
    this.passedMs = this.calmMs;
    this.calmSinceMs = undefined;
  }
}
