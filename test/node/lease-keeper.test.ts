import { describe, expect, it } from 'vitest';
import type { Command, CommandResult } from '../../src/kv/types.js';
import { LeaseKeeper } from '../../src/node/lease-keeper.js';
import {
  CHECKPOINT_MS,
  EXPIRIES_UNDER_WAY_MAX,
  IDLE_LEASE_REVIEW_MS,
  LEASE_REVIEW_MS,
} from '../../src/node/limits.js';
import { FakeClock } from './fake-clock.js';

const done: CommandResult = { kind: 'ticked', revision: 1 };

/** A keeper on a node whose role, leases and proposals a test decides. */
class Kept {
  readonly clock = new FakeClock();
  isLeader = true;
  due: { lease: number; generation: number }[] = [];
  leaseCount = 1;
  /** How far log time is ahead of what is applied. */
  aheadMs = 0;
  readonly proposed: Command[] = [];
  private readonly outcomes: { resolve: (result: CommandResult) => void; reject: (error: Error) => void }[] =
    [];
  readonly keeper: LeaseKeeper;

  constructor() {
    const kept = this;
    this.keeper = new LeaseKeeper({
      clock: this.clock,
      leases: {
        get leaseCount() {
          return kept.leaseCount;
        },
        logTimeMs: 5_000,
        dueLeases: (now, limit) => (now === 5_000 + kept.aheadMs ? kept.due.slice(0, limit) : []),
      },
      isLeader: () => this.isLeader,
      logTime: () => 5_000 + this.aheadMs,
      propose: (command) => {
        this.proposed.push(command);
        return new Promise((resolve, reject) => this.outcomes.push({ resolve, reject }));
      },
    });
    this.keeper.start();
  }

  /** Each proposal that has no outcome yet gets one. */
  async settle(isDone: boolean): Promise<void> {
    for (const { resolve, reject } of this.outcomes.splice(0)) {
      if (isDone) resolve(done);
      else reject(new Error('Nobody knows.'));
    }
    await this.clock.settle();
  }
}

describe('the lease keeper', () => {
  it('row 20: names the generation that it saw, and proposes each end once', async () => {
    const kept = new Kept();
    kept.due = [{ lease: 7, generation: 3 }];
    await kept.clock.pass(5 * LEASE_REVIEW_MS);
    expect(kept.proposed).toEqual([{ kind: 'leaseExpire', lease: 7, generation: 3 }]);
  });

  it('looks again at a lease whose end was not proposed or has no known outcome', async () => {
    const kept = new Kept();
    kept.due = [{ lease: 7, generation: 3 }];
    await kept.clock.pass(LEASE_REVIEW_MS);
    await kept.settle(false);
    await kept.clock.pass(LEASE_REVIEW_MS);
    expect(kept.proposed).toHaveLength(2);
    kept.due = [{ lease: 7, generation: 4 }];
    await kept.settle(true);
    await kept.clock.pass(LEASE_REVIEW_MS);
    expect(kept.proposed.at(-1)).toEqual({ kind: 'leaseExpire', lease: 7, generation: 4 });
  });

  it('proposes a bounded number of ends at a time, and the others when those have an outcome', async () => {
    const kept = new Kept();
    kept.due = Array.from({ length: EXPIRIES_UNDER_WAY_MAX + 10 }, (_, at) => ({
      lease: at + 1,
      generation: 1,
    }));
    await kept.clock.pass(3 * LEASE_REVIEW_MS);
    expect(kept.proposed).toHaveLength(EXPIRIES_UNDER_WAY_MAX);
    kept.due = kept.due.slice(EXPIRIES_UNDER_WAY_MAX);
    await kept.settle(true);
    await kept.clock.pass(LEASE_REVIEW_MS);
    expect(kept.proposed).toHaveLength(EXPIRIES_UNDER_WAY_MAX + 10);
  });

  it('writes log time down when no command has carried it for a while, once at a time', async () => {
    const kept = new Kept();
    kept.aheadMs = CHECKPOINT_MS - 1;
    await kept.clock.pass(3 * LEASE_REVIEW_MS);
    expect(kept.proposed).toEqual([]);
    kept.aheadMs = CHECKPOINT_MS;
    await kept.clock.pass(3 * LEASE_REVIEW_MS);
    expect(kept.proposed).toEqual([{ kind: 'tick' }]);
    await kept.settle(false);
    await kept.clock.pass(LEASE_REVIEW_MS);
    expect(kept.proposed).toHaveLength(2);
  });

  it('does nothing on a node that does not lead, without leases, or once it is stopped', async () => {
    const kept = new Kept();
    kept.due = [{ lease: 7, generation: 3 }];
    kept.aheadMs = CHECKPOINT_MS;
    kept.isLeader = false;
    await kept.clock.pass(2 * IDLE_LEASE_REVIEW_MS);
    kept.isLeader = true;
    kept.leaseCount = 0;
    await kept.clock.pass(2 * IDLE_LEASE_REVIEW_MS);
    kept.leaseCount = 1;
    kept.keeper.stop();
    await kept.clock.pass(2 * IDLE_LEASE_REVIEW_MS);
    expect(kept.proposed).toEqual([]);
  });
});
