import { describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { FLUSH_DELAY_MS, TICK_MS } from '../../src/node/limits.js';
import { memberCalled } from '../raft/core-kit.js';
import { NodeKit } from './node-kit.js';

const BOUND = 20;

/** n1 leads, n2 has everything at once, and n3, who was away until the log was compacted, needs a snapshot. */
class Leader extends NodeKit {
  constructor() {
    super({ logEntriesMax: BOUND });
  }

  /** Puts, one by one; returns how many were taken. */
  async put(count: number): Promise<number> {
    let taken = 0;
    for (let done = 0; done < count; done += 1) {
      const outcome = this.propose('x');
      await this.clock.settle();
      await this.acknowledge(this.node.raft.lastIndex);
      if (outcome.value === 'x') taken += 1;
      if (done % 5 === 4) await this.stay(FLUSH_DELAY_MS + TICK_MS);
    }
    await this.stay(FLUSH_DELAY_MS + TICK_MS);
    return taken;
  }

  /** Time passes, and n2 and n3 answer heartbeats. */
  async stay(ms: number): Promise<void> {
    const { term } = this.node.raft;
    for (let passed = 0; passed < ms; passed += 50) {
      await this.clock.pass(Math.min(50, ms - passed));
      await this.hear('heartbeatResponse', { term, round: 0 }, 'n2');
      await this.hear('heartbeatResponse', { term, round: 0 }, 'n3');
    }
  }

  async arrives(transfer: number): Promise<number> {
    const { header, answer } = present(this.transport.transfers[transfer], 'It was begun.');
    const { index } = header.snapshot;
    answer.resolve({ success: true, matchIndex: index, term: this.node.raft.term });
    await this.clock.settle();
    return index;
  }
}

async function leadWithSnapshotUnderWay(): Promise<Leader> {
  const kit = new Leader();
  await kit.lead();
  for (let puts = 0; puts < 40 && kit.transport.transfers.length === 0; puts += 1) await kit.put(1);
  expect(kit.transport.transfers).toHaveLength(1);
  return kit;
}

describe('a follower that needs a snapshot while clients go on writing', () => {
  it('goes on from the log when it has it, and needs no other (row 11)', async () => {
    const kit = await leadWithSnapshotUnderWay();
    expect(await kit.put(25)).toBe(25);
    kit.transport.sent.length = 0;
    const index = await kit.arrives(0);
    expect(kit.node.raft.firstIndex).toBeLessThanOrEqual(index + 1);
    expect(kit.transport.takeNames()).toContain('appendEntries n3');
    await kit.acknowledge(index, 'n3');
    await kit.acknowledge(kit.node.raft.lastIndex, 'n3');
    await kit.put(5);
    expect(kit.transport.transfers).toHaveLength(1);
    expect(kit.node.raft.follower('n3')?.state).toBe('replicate');
    // It has caught up, so the log is cut as ever.
    expect(kit.node.raft.logSize.entries).toBeLessThanOrEqual(BOUND);
  });

  it('never keeps them from it, though it takes nothing for ever (row 12)', async () => {
    const kit = await leadWithSnapshotUnderWay();
    expect(await kit.put(4 * BOUND)).toBe(4 * BOUND);
    expect(kit.transport.transfers[0]?.abort.aborted).toBe(true);
  });

  it('has no claim to the log any more once it is removed', async () => {
    const kit = await leadWithSnapshotUnderWay();
    await kit.put(25);
    expect(kit.node.raft.logSize.entries).toBeGreaterThan(BOUND);
    kit.node.change((raft) => raft.proposeChange({ kind: 'remove', id: 'n3' }));
    await kit.clock.settle();
    await kit.acknowledge(kit.node.raft.lastIndex);
    expect(kit.transport.transfers[0]?.abort.aborted).toBe(true);
    await kit.put(1);
    expect(kit.node.raft.logSize.entries).toBeLessThan(BOUND);
  });

  it('does not hand what it got to who comes under its name (row 16)', async () => {
    const kit = await leadWithSnapshotUnderWay();
    kit.node.change((raft) => raft.proposeChange({ kind: 'remove', id: 'n3' }));
    await kit.clock.settle();
    await kit.acknowledge(kit.node.raft.lastIndex);
    const member = memberCalled('n3', 'n3-new');
    kit.node.change((raft) => raft.proposeChange({ kind: 'addLearner', member }));
    await kit.clock.settle();
    await kit.acknowledge(kit.node.raft.lastIndex);
    for (const [transfer] of kit.transport.transfers.entries()) await kit.arrives(transfer);
    expect(kit.node.raft.follower('n3')?.match).toBe(0);
    expect(kit.node.raft.configuration.learners).toEqual(['n3']);
  });
});
