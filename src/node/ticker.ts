import type { Clock, Timer } from '../clock.js';
import { STALL_REPORT_MS, TICK_LATENESS_MS_MAX, TICK_MS, TICKS_AT_ONCE_MAX } from './limits.js';

/** Timers drop fractions of a millisecond, so one may fire that much before its time; it must not sleep again for the rest. */
const TIMER_EARLINESS_MS = 1;

/** How often this process was held up, and for how long at most, in milliseconds. */
export interface Stalls {
  readonly count: number;
  readonly longestMs: number;
}

export interface TickerHooks {
  /** One tick of time passed. */
  tick(): void;
  /** All ticks that were due are counted. */
  ticked(): void;
  /** How many ticks may pass until one has something to do, at least 1. */
  quietTicks(): number;
  /** This process did not get its turn for so long. */
  heldUp(ms: number): void;
  /** How often that was since the last report. */
  stalled(stalls: Stalls): void;
}

/**
 * Turns time into ticks. A tick that comes late means that this process was stalled, not that its leader is silent: the
 * time that was lost is not made up for, and the input that piled up meanwhile is read before the tick counts
 * (correctness rule 32).
 *
 * Waking a process costs far more than a tick, so it sleeps through ticks that have nothing to do and counts them at once.
 */
export class Ticker {
  private timer: Timer | null = null;
  /** When the next tick is to count. */
  private due = 0;
  /** When the timer is to fire: with the next tick that may have something to do. */
  private wakeAt = 0;
  private isFiring = false;
  /** How often this process was stalled, and the longest stall in milliseconds. */
  readonly stalls = { count: 0, longestMs: 0 };
  private unreported: Stalls = { count: 0, longestMs: 0 };
  private silentUntil = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly clock: Clock,
    private readonly hooks: TickerHooks,
  ) {}

  start(): void {
    this.due = this.clock.now() + TICK_MS;
    this.schedule();
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = null;
  }

  /** Something changed, so that a tick may have something to do earlier than it seemed. */
  hasten(): void {
    if (this.timer === null || this.isFiring || this.nextWake() >= this.wakeAt) return;
    this.timer.cancel();
    this.schedule();
  }

  /** Counts what has passed of a sleep, before a message gives what is left of it another meaning. */
  catchUp(): void {
    if (this.timer === null) return;
    // None of these ticks has anything to do. Whether the others are late is for the timer to judge.
    const until = Math.min(this.clock.now(), this.wakeAt - TICK_MS);
    while (this.due <= until && this.timer !== null) {
      this.due += TICK_MS;
      this.hooks.tick();
    }
  }

  /** A busy machine stalls often, and a line for each would hide the others; the status counts them all. */
  private noteStall(lateMs: number): void {
    const now = this.clock.now();
    this.hooks.heldUp(lateMs);
    this.stalls.count += 1;
    this.stalls.longestMs = Math.max(this.stalls.longestMs, lateMs);
    this.unreported = {
      count: this.unreported.count + 1,
      longestMs: Math.max(this.unreported.longestMs, lateMs),
    };
    if (now < this.silentUntil) return;
    this.hooks.stalled(this.unreported);
    this.unreported = { count: 0, longestMs: 0 };
    this.silentUntil = now + STALL_REPORT_MS;
  }

  private nextWake(): number {
    return this.due + (Math.min(this.hooks.quietTicks(), TICKS_AT_ONCE_MAX) - 1) * TICK_MS;
  }

  private schedule(): void {
    this.wakeAt = this.nextWake();
    this.timer = this.clock.after(Math.max(0, this.wakeAt - this.clock.now()), () => {
      this.isFiring = true;
      // Timers run before the sockets are read; `soon` comes after.
      this.clock.soon(() => this.fire());
    });
  }

  private fire(): void {
    this.isFiring = false;
    if (this.timer === null) return;
    const now = this.clock.now();
    const late = now - this.wakeAt;
    // A small delay is made up for, or all of them would add up; a larger one is as if it had not passed.
    if (late > TICK_MS) this.due += late;
    if (late > TICK_LATENESS_MS_MAX) this.noteStall(late);
    // A tick may stop the node, and this ticker with it.
    while (this.due <= now + TIMER_EARLINESS_MS && this.timer !== null) {
      this.due += TICK_MS;
      this.hooks.tick();
    }
    if (this.timer !== null) this.hooks.ticked();
    if (this.timer !== null) this.schedule();
  }
}
