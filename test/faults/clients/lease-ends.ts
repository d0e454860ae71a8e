import type { CommandResult, LeaseId } from '../../../src/kv/types.js';
import { LeaseTime } from '../../../src/sim/checkers/lease-time.js';
import { limit } from '../time-limits.js';
import { violationOf } from './judge.js';

/** Beyond a lease's time, while nothing is wrong with the cluster, its keys go within so long: leaders measure in ticks and look now and then. */
const LINGER_MS_MAX = 5000;

/** When things happened, in milliseconds. */
export interface Clocks {
  /** Of a monotonic clock. */
  readonly nowMs: number;
  /** How much of that no fault was under way or being recovered from. */
  readonly calmMs: number;
}

interface Known {
  readonly ttlMs: number;
  /** On the clock of calm, when it was asked for or for more time for the last time, answered or not. */
  calmMs: number;
}

/** A renewal that was asked for and may be answered yet. */
export interface Asking {
  readonly ttlMs: number;
  readonly atMs: number;
}

/** Leases as their holders know them, and as the nodes end them: never before their time, and soon after it. */
export class LeaseEnds {
  readonly violations: string[] = [];
  /** How much later than their time leases were seen to end. */
  readonly lateMs: number[] = [];
  private readonly known = new Map<LeaseId, Known>();
  private readonly renewedAt = new Map<LeaseId, Asking>();
  private readonly given = new Set<LeaseId>();
  /** When it was seen. */
  private readonly ended = new Map<LeaseId, number>();
  private readonly leaseTime: LeaseTime;
  /** What {@link leaseTime} goes by while it is told of a renewal: when that was asked for. */
  private readonly time = { nowMs: 0, leaptMs: 0, clockDrift: 0 };

  constructor(private readonly clocks: Clocks) {
    this.leaseTime = new LeaseTime(this.time);
  }

  /** A lease was granted or kept alive; `atMs` is when that was asked for, or for the first time where it was repeated. */
  renewed(lease: LeaseId, asking: Asking): void {
    this.time.nowMs = asking.atMs;
    const result: CommandResult = { kind: 'lease', revision: 0, lease, ttlMs: asking.ttlMs };
    this.leaseTime.renewed(
      result,
      this.leaseTime.asks({ kind: 'leaseKeepAlive', lease, ttlMs: asking.ttlMs }),
    );
    const endedAtMs = this.ended.get(lease);
    if (endedAtMs !== undefined && endedAtMs < asking.atMs)
      this.violations.push(`Lease ${lease} was kept alive after it had ended.`);
    const before = this.renewedAt.get(lease);
    if (before === undefined || before.atMs < asking.atMs) this.renewedAt.set(lease, asking);
    this.touched(lease, asking.ttlMs);
  }

  /** More time was asked for, whatever came of it. */
  touched(lease: LeaseId, ttlMs: number): void {
    const { calmMs } = this.clocks;
    const known = this.known.get(lease);
    if (known === undefined) this.known.set(lease, { ttlMs, calmMs });
    else known.calmMs = calmMs;
  }

  /** The holder is about to end it by itself. */
  givenBack(lease: LeaseId): void {
    this.given.add(lease);
  }

  /** A key of it was deleted, or was not there, or the lease was not. */
  seenEnded(lease: LeaseId): void {
    const { nowMs } = this.clocks;
    const isFirst = !this.ended.has(lease);
    if (isFirst) this.ended.set(lease, nowMs);
    if (!isFirst || this.given.has(lease)) return;
    this.time.nowMs = nowMs;
    const result: CommandResult = { kind: 'leaseRevoked', revision: 0, lease, deleted: 1, remaining: false };
    const wrong = violationOf(() =>
      this.leaseTime.performed(0, { kind: 'leaseExpire', lease, generation: 0 }, result),
    );
    if (wrong !== undefined) this.violations.push(wrong);
    const renewal = this.renewedAt.get(lease);
    if (renewal !== undefined) this.lateMs.push(nowMs - renewal.atMs - renewal.ttlMs);
  }

  get count(): number {
    return this.known.size;
  }

  /** Leases that should have ended long ago, of those whose holders have nothing more to do with them. */
  lingering(): readonly string[] {
    const { calmMs } = this.clocks;
    return [...this.known]
      .filter(([lease]) => !this.ended.has(lease))
      .filter(([, known]) => calmMs - known.calmMs > known.ttlMs + limit(LINGER_MS_MAX))
      .map(
        ([lease, known]) =>
          `Lease ${lease} of ${known.ttlMs} ms was left ${(calmMs - known.calmMs).toFixed(0)} ms of calm ago.`,
      );
  }
}
