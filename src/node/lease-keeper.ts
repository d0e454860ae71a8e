import type { Clock, Timer } from '../clock.js';
import type { Command, CommandResult, LeaseId, LogTime } from '../kv/types.js';
import {
  CHECKPOINT_MS,
  EXPIRIES_UNDER_WAY_MAX,
  EXPIRY_TIMEOUT_MS,
  IDLE_LEASE_REVIEW_MS,
  LEASE_REVIEW_MS,
} from './limits.js';

/** What is known of leases on this node. */
export interface LeaseTable {
  readonly leaseCount: number;
  /** The last log time that was applied. */
  readonly logTimeMs: LogTime;
  /** Leases that have run out by that time, the first to run out first. */
  dueLeases(now: LogTime, limit: number): readonly { readonly lease: LeaseId; readonly generation: number }[];
}

export interface LeaseKeeperParts {
  readonly clock: Clock;
  readonly leases: LeaseTable;
  readonly isLeader: () => boolean;
  /** Log time as this node would stamp it now. */
  readonly logTime: () => LogTime;
  readonly propose: (command: Command, timeoutMs: number) => Promise<CommandResult>;
}

/**
 * Ends leases whose time is up, and writes down how much time has passed. Only a leader can: time enters the state through the
 * log alone. An expiry names the generation that it saw, and the state checks it again when it is applied, so a leader that
 * was paused while a lease was renewed by another ends nothing (correctness rule 20).
 *
 * A new leader counts from the last log time in the log. So that little is lost where nothing is written, log time is
 * written down every second while there are leases: a change of leader lengthens them by that much, and does not let them
 * begin anew.
 */
export class LeaseKeeper {
  private readonly expiring = new Set<LeaseId>();
  private isTicking = false;
  private timer: Timer | null = null;

  constructor(private readonly parts: LeaseKeeperParts) {}

  start(): void {
    const busy = this.parts.isLeader() && this.parts.leases.leaseCount > 0;
    this.timer = this.parts.clock.after(busy ? LEASE_REVIEW_MS : IDLE_LEASE_REVIEW_MS, () => {
      this.review();
      this.start();
    });
  }

  stop(): void {
    this.timer?.cancel();
  }

  private review(): void {
    const { leases, isLeader, logTime } = this.parts;
    if (!isLeader() || leases.leaseCount === 0) return;
    const now = logTime();
    // Those under way may be among the first ones that are due.
    for (const { lease, generation } of leases.dueLeases(now, 2 * EXPIRIES_UNDER_WAY_MAX)) {
      if (this.expiring.size >= EXPIRIES_UNDER_WAY_MAX) return;
      if (!this.expiring.has(lease)) this.expire(lease, generation);
    }
    if (now - leases.logTimeMs >= CHECKPOINT_MS && !this.isTicking) this.checkpoint();
  }

  private expire(lease: LeaseId, generation: number): void {
    this.expiring.add(lease);
    const done = () => this.expiring.delete(lease);
    // Whatever became of it, the next look finds what is still due.
    this.parts.propose({ kind: 'leaseExpire', lease, generation }, EXPIRY_TIMEOUT_MS).then(done, done);
  }

  private checkpoint(): void {
    this.isTicking = true;
    const done = () => {
      this.isTicking = false;
    };
    this.parts.propose({ kind: 'tick' }, EXPIRY_TIMEOUT_MS).then(done, done);
  }
}
