import type { Clock } from '../clock.js';
import type { LogTime } from '../kv/types.js';
import type { Term } from '../raft/types.js';

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
  private startedIn: Term | null = null;

  /**
   * @param applied The log time of the last command that was applied here.
   * @param ledTerm The term in which this node leads now; null while it does not.
   */
  constructor(
    private readonly clock: Clock,
    private readonly applied: () => LogTime,
    private readonly ledTerm: () => Term | null,
  ) {}

  now(): LogTime {
    const applied = this.applied();
    const term = this.ledTerm();
    if (term === null) return applied;
    const counted = this.startedFrom + Math.floor(this.clock.now() - this.startedAt);
    // Counting begins anew with each term, even for whoever asks in the very turn in which this node was elected; and when this
    // node, which leads, applies what its predecessors stamped.
    if (term === this.startedIn && counted >= applied) return counted;
    this.startedFrom = applied;
    this.startedAt = this.clock.now();
    this.startedIn = term;
    return applied;
  }
}
