import type { Clock } from '../clock.js';
import type { LogTime } from '../kv/types.js';

/**
 * Log time as this node would stamp it on a command now: what is applied, and what its own monotonic clock has measured since
 * it began to lead. A wall clock that jumps changes nothing, and the time without a leader does not count: whatever lives
 * for a time lives longer then, never shorter.
 *
 * Invariant: it never runs ahead of the applied log time by more than has really passed while this node led.
 */
export class LogClock {
  private startedFrom: LogTime = 0;
  private startedAt = 0;

  /** @param applied The log time of the last command that was applied here. */
  constructor(
    private readonly clock: Clock,
    private readonly applied: () => LogTime,
  ) {}

  /** This node leads from now on, and what it measured before does not count. */
  restart(): void {
    this.startedFrom = this.applied();
    this.startedAt = this.clock.now();
  }

  now(): LogTime {
    const counted = this.startedFrom + Math.floor(this.clock.now() - this.startedAt);
    const applied = this.applied();
    if (counted >= applied) return counted;
    // A new leader applies what its predecessors stamped after it has begun to count.
    this.startedFrom = applied;
    this.startedAt = this.clock.now();
    return applied;
  }
}
