import { describe, expect, it } from 'vitest';
import { BATCH_BYTES, BATCH_COUNT, BATCH_LEAD_MS, GATHER_COUNT, GATHER_MS } from '../../src/node/limits.js';
import { ProposalQueue } from '../../src/node/proposal-queue.js';
import { noLeader, overloaded, Sweep } from '../../src/node/waiting.js';
import { FakeClock } from './fake-clock.js';

/** A queue, and what its owner would see of it. */
class QueueKit {
  readonly clock = new FakeClock();
  wakes = 0;
  readonly rejected: string[] = [];
  readonly queue = new ProposalQueue<string>(this.clock, () => {
    this.wakes += 1;
  });

  add(count: number, { bytes = 1, deadline = 1_000_000 } = {}): void {
    for (let added = 0; added < count; added += 1) {
      this.queue.add({
        payload: new Uint8Array(bytes),
        deadline,
        resolve: () => {},
        reject: (error) => this.rejected.push(error.code),
      });
    }
  }

  /** Proposes what is due, as the node does, and says how much that was. */
  propose(isCommitting: boolean): number {
    const { length } = this.queue.due(isCommitting);
    if (length > 0) this.queue.left();
    return length;
  }
}

describe('a batch', () => {
  it('leaves at once when nothing is under way and nobody is expected', () => {
    const kit = new QueueKit();
    kit.add(3);
    expect(kit.propose(false)).toBe(3);
    expect(kit.queue.size).toBe(0);
  });

  it('gathers behind the one that is not committed yet, and follows it', async () => {
    const kit = new QueueKit();
    kit.add(1);
    kit.propose(false);
    kit.add(2);
    expect(kit.propose(true)).toBe(0);
    await kit.clock.pass(GATHER_MS);
    expect(kit.propose(true)).toBe(0);
    expect(kit.queue.size).toBe(2);
  });

  it('does not wait for a slow one: batches are pipelined', async () => {
    const kit = new QueueKit();
    kit.add(1);
    kit.propose(false);
    kit.add(2);
    await kit.clock.pass(BATCH_LEAD_MS - 1);
    expect(kit.propose(true)).toBe(0);
    await kit.clock.pass(1);
    expect(kit.propose(true)).toBe(2);
  });

  it.each([
    ['many', BATCH_COUNT, 1],
    ['large', 1, BATCH_BYTES],
  ])('waits for nothing when there are %s', (_, count, bytes) => {
    const kit = new QueueKit();
    kit.add(1);
    kit.propose(false);
    kit.add(count, { bytes });
    expect(kit.propose(true)).toBe(count);
  });
});

describe('after a commit', () => {
  it('the next batch waits for those who were just answered, and leaves when they are back', () => {
    const kit = new QueueKit();
    kit.add(4);
    kit.propose(false);
    kit.add(2);
    expect(kit.propose(true)).toBe(0);
    // Committed: four were answered and two wait, so six are expected.
    expect(kit.propose(false)).toBe(0);
    kit.add(3);
    expect(kit.propose(false)).toBe(0);
    kit.add(1);
    expect(kit.propose(false)).toBe(6);
  });

  it('it leaves with whoever came when the others do not', async () => {
    const kit = new QueueKit();
    kit.add(4);
    kit.propose(false);
    kit.add(2);
    expect(kit.propose(false)).toBe(0);
    expect(kit.wakes).toBe(0);
    await kit.clock.pass(GATHER_MS);
    expect(kit.wakes).toBe(1);
    expect(kit.propose(false)).toBe(2);
  });

  it('one client alone never waits', () => {
    const kit = new QueueKit();
    for (let round = 0; round < 3; round += 1) {
      kit.add(1);
      expect(kit.propose(false)).toBe(1);
      expect(kit.propose(false)).toBe(0);
    }
  });

  it('who comes later than the gathering lasts leaves at once', async () => {
    const kit = new QueueKit();
    kit.add(4);
    kit.propose(false);
    expect(kit.propose(false)).toBe(0);
    await kit.clock.pass(GATHER_MS);
    kit.add(1);
    expect(kit.propose(false)).toBe(1);
  });

  it('no more are waited for than make a good batch', () => {
    const kit = new QueueKit();
    kit.add(GATHER_COUNT * 2);
    kit.propose(false);
    expect(kit.propose(false)).toBe(0);
    kit.add(GATHER_COUNT);
    expect(kit.propose(false)).toBe(GATHER_COUNT);
  });
});

describe('proposals that wait', () => {
  it('are rejected when their time is up, the others stay', () => {
    const kit = new QueueKit();
    kit.add(1, { deadline: 10 });
    kit.add(1, { deadline: 20, bytes: BATCH_BYTES - 1 });
    kit.queue.expire(new Sweep().begin(10), () => overloaded('Too late.'));
    expect(kit.rejected).toEqual(['overloaded']);
    expect(kit.queue.size).toBe(1);
    // The bytes of the rejected one do not count any more.
    kit.add(1, { deadline: 20 });
    kit.queue.rejectAll(noLeader);
    expect(kit.rejected).toEqual(['overloaded', 'no_leader', 'no_leader']);
    expect(kit.propose(false)).toBe(0);
  });
});
