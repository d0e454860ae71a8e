import type { Command, CommandResult, LeaseId } from '../../kv/types.js';
import type { Index } from '../../raft/types.js';
import { type Checker, Violation } from './checker.js';

/** Time as it is outside of all nodes. */
export interface TrueTime {
  readonly nowMs: number;
  /** How far clocks of nodes have leapt ahead, all together. */
  readonly leaptMs: number;
  /** By how much, as a share, a clock may be faster. */
  readonly clockDrift: number;
}

/** When a lease was last renewed, as its holder knows: before it asked, at the earliest. */
interface Renewal {
  readonly atMs: number;
  readonly leaptMs: number;
  readonly ttlMs: number;
}

/** Clocks count whole milliseconds. */
const ROUNDING_MS = 2;

/**
 * Nobody's lease ends before its time, counted from when its holder asked for it or last renewed it, by true time and whoever led
 * meanwhile (correctness row 20). A clock that goes faster or leaps takes its part of that time away.
 */
export class LeaseTime implements Checker {
  readonly property = 'A lease lasts for its time to live (row 20)';
  private readonly renewals = new Map<LeaseId, Renewal>();

  constructor(private readonly time: TrueTime) {}

  /** What a client remembers when it asks for a lease or for more time. */
  asks(command: Command): Renewal {
    const { nowMs: atMs, leaptMs } = this.time;
    return { atMs, leaptMs, ttlMs: ttlOf(command) };
  }

  /** It was told what came of it: it holds the lease from then on. */
  renewed(result: CommandResult, renewal: Renewal): void {
    if (result.kind === 'lease') this.note(result.lease, { ...renewal, ttlMs: result.ttlMs });
    const puts = result.kind === 'txn' ? result.results : [result];
    for (const put of puts) {
      if (put.kind === 'put' && put.lease !== undefined) this.note(put.lease, renewal);
    }
  }

  private note(lease: LeaseId, renewal: Renewal): void {
    const known = this.renewals.get(lease);
    if (known === undefined || known.atMs < renewal.atMs) this.renewals.set(lease, renewal);
  }

  performed(_index: Index, command: Command, result: CommandResult): void {
    if (result.kind !== 'leaseRevoked' || command.kind !== 'leaseExpire') return;
    const renewal = this.renewals.get(command.lease);
    if (renewal === undefined) return;
    const { nowMs, leaptMs, clockDrift } = this.time;
    const passedMs = nowMs - renewal.atMs;
    // A clock that is fast measures its leaps faster, too.
    const countedMs = (passedMs + leaptMs - renewal.leaptMs) * (1 + clockDrift) + ROUNDING_MS;
    if (countedMs >= renewal.ttlMs) return;
    throw new Violation(
      this.property,
      `Lease ${command.lease} has ended ${passedMs.toFixed(0)} ms after it was renewed for ${renewal.ttlMs} ms.`,
    );
  }
}

/** A transaction of a client asks for one time to live at most. */
function ttlOf(command: Command): number {
  const operations = command.kind === 'txn' ? command.success : [command];
  return operations.map((one) => ('ttlMs' in one ? (one.ttlMs ?? 0) : 0)).find((ttlMs) => ttlMs > 0) ?? 0;
}
