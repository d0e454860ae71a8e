import { setImmediate as settle } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { DiskDamage } from '../src/disk-damage.js';
import { RaftkvError, StorageDamaged } from '../src/errors.js';
import type { Logger } from '../src/logger.js';

function setUp({ obstacle = null as string | null, withdraw = async () => {} } = {}) {
  const seen = {
    lines: [] as unknown[][],
    reasons: [] as string[],
    repaired: [] as string[],
    failures: [] as unknown[],
  };
  const damage = new DiskDamage({
    logger: { error: (...line: unknown[]) => seen.lines.push(line) } as unknown as Logger,
    obstacle: () => obstacle,
    withdraw: (reason) => {
      seen.reasons.push(reason);
      return withdraw();
    },
    repair: (what) => seen.repaired.push(what),
    fail: (error) => seen.failures.push(error),
  });
  return { damage, seen };
}

const ofState = new StorageDamaged('state', 'A value of the state is damaged.', {
  data: { path: '/d/state-1' },
});

describe('damage that a running node finds on its disk (rule 29)', () => {
  it('in its state takes it out of service, and then its next run replaces the state', async () => {
    let handedOver = () => {};
    const { damage, seen } = setUp({
      withdraw: () =>
        new Promise((resolve) => {
          handedOver = resolve;
        }),
    });
    expect(damage.sentence).toBe(null);
    damage.found(ofState);
    const sentence =
      'A value of the state is damaged. This node starts again, to have its state replaced by a snapshot of the leader.';
    expect(damage.sentence).toBe(sentence);
    expect(seen.lines).toEqual([[{ code: 'storage_damaged', path: '/d/state-1' }, sentence]]);
    expect(seen.reasons).toEqual([sentence]);
    await settle();
    expect(seen.repaired).toEqual([]);
    handedOver();
    await settle();
    expect(seen.repaired).toEqual(['A value of the state is damaged.']);
  });

  it('in a state that cannot be replaced comes with the one advice that helps', async () => {
    const { damage, seen } = setUp({ obstacle: 'No other member has a copy. Restore a backup.' });
    damage.found(ofState);
    await settle();
    expect(damage.sentence).toBe(
      'A value of the state is damaged. No other member has a copy. Restore a backup.',
    );
    expect(seen.reasons).toEqual([damage.sentence]);
    expect(seen.repaired).toEqual([]);
  });

  it('in its log is told of with what to do, and nothing is replaced', async () => {
    const { damage, seen } = setUp();
    const error = new StorageDamaged('log', "The node's log is damaged.");
    damage.found(error);
    await settle();
    expect(damage.sentence).toBe(error.message);
    expect(damage.sentence).toContain('wipe its data directory');
    expect(seen.repaired).toEqual([]);
  });

  it('is told of once, however much is found', async () => {
    const { damage, seen } = setUp();
    damage.found(ofState);
    damage.found(new StorageDamaged('log', "The node's log is damaged."));
    damage.found(ofState);
    await settle();
    expect(seen.lines).toHaveLength(1);
    expect(seen.reasons).toHaveLength(1);
    expect(seen.repaired).toHaveLength(1);
  });

  it('ends the run where the node cannot go out of service', async () => {
    const error = new Error('The disk is gone.');
    const { damage, seen } = setUp({ withdraw: () => Promise.reject(error) });
    damage.found(ofState);
    await settle();
    expect(seen.failures).toEqual([error]);
    expect(seen.repaired).toEqual([]);
  });

  it('that ends a run is left to the next run, or comes with the one advice that helps', () => {
    expect(setUp().damage.judge(ofState)).toBe(null);
    const refused = setUp({ obstacle: 'Restore a backup.' }).damage.judge(ofState);
    expect(refused).toMatchObject({
      message: 'A value of the state is damaged. Restore a backup.',
      data: { path: '/d/state-1' },
    });
    const ofLog = new StorageDamaged('log', "The node's log is damaged.");
    expect(setUp().damage.judge(ofLog)).toBe(ofLog);
  });

  it('is noted where work for another node meets it, and what another node says of its own disk is not', async () => {
    const { damage } = setUp();
    expect(await damage.noting(Promise.resolve(7))).toBe(7);
    const elsewhere = new RaftkvError('storage_damaged', 'Over there.');
    await expect(damage.noting(Promise.reject(elsewhere))).rejects.toBe(elsewhere);
    expect(damage.sentence).toBe(null);
    await expect(damage.noting(Promise.reject(ofState))).rejects.toBe(ofState);
    expect(damage.sentence).toContain(ofState.what);
  });
});
