import { expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { FLUSH_DELAY_MS } from '../../src/node/limits.js';
import { entryAt } from '../raft/core-kit.js';
import { NodeKit } from './node-kit.js';

const BOUND = 20;
const BATCH = 10;

it('a follower whose state does not reach the disk holds a bounded log, and goes on when it does (rows 11 and 12)', async () => {
  const kit = new NodeKit({ logEntriesMax: BOUND });
  const { raft } = kit.node;
  const { stateMachine } = kit;
  stateMachine.isFlushSlow = true;
  /** What a leader does at the pace of heartbeats: it tries from where the follower is. */
  const lead = async (appends: number) => {
    for (let count = 0; count < appends; count += 1) {
      const last = raft.lastIndex;
      const entries = Array.from({ length: BATCH }, (_, offset) => entryAt(last + 1 + offset, 2));
      await kit.follow(2, last, last === 1 ? 1 : 2, entries, last);
    }
  };
  await lead(50);
  expect(raft.logSize.entries).toBeLessThanOrEqual(2 * BOUND + BATCH);
  const held = raft.lastIndex;
  for (let flushes = 0; flushes < 5; flushes += 1) {
    await kit.clock.pass(FLUSH_DELAY_MS);
    for (const flush of stateMachine.flushes.splice(0)) present(flush, 'It is under way.').resolve();
    await kit.clock.settle();
    await lead(1);
  }
  expect(raft.lastIndex).toBe(held + 5 * BATCH);
  expect(kit.deaths).toEqual([]);
});

it('a node that died between a flush and the cut of its log goes on when it starts again (row 11)', async () => {
  const appliedEntries = Array.from({ length: 3 * BOUND }, (_, offset) => entryAt(2 + offset, 1));
  const kit = new NodeKit({ logEntriesMax: BOUND, appliedEntries });
  const { raft } = kit.node;
  const last = raft.lastIndex;
  await kit.follow(2, last, 1, [entryAt(last + 1, 2)], last);
  expect(raft.lastIndex).toBe(last + 1);
  expect(raft.logSize.entries).toBeLessThanOrEqual(BOUND);
});
