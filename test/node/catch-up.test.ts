import { describe, expect, it } from 'vitest';
import { CatchUp } from '../../src/node/catch-up.js';
import { CAUGHT_UP_ENTRIES_MAX, FALLEN_BEHIND_ENTRIES, STANDSTILL_MS } from '../../src/node/limits.js';
import { NodeKit } from './node-kit.js';

describe('a node that starts', () => {
  it('has not caught up before its leader has said how far it is, nor before all of that is applied', () => {
    const catchUp = new CatchUp();
    expect(catchUp.reason(2, 0, 0)).toBe('the leader has not said yet how far it is');
    expect(catchUp.reason(2, 702, 0)).toBe('catching up, 2 of 702 entries are applied');
    expect(catchUp.reason(701, 702, 0)).toBe('catching up, 701 of 702 entries are applied');
    expect(catchUp.reason(702, 702, 0)).toBe('');
  });

  it('has caught up although entries come all the time', () => {
    const catchUp = new CatchUp();
    expect(catchUp.reason(2, 10_000, 0)).not.toBe('');
    expect(catchUp.reason(10_000, 10_000 + CAUGHT_UP_ENTRIES_MAX, 0)).toBe('');
  });

  it('has not caught up where it is as far behind as before', () => {
    const catchUp = new CatchUp();
    expect(catchUp.reason(2, 10_000, 0)).not.toBe('');
    expect(catchUp.reason(10_000, 20_000, 0)).not.toBe('');
    expect(catchUp.reason(20_000 - 1, 20_000 + 1, 0)).not.toBe('');
    expect(catchUp.reason(20_000, 20_000 + 1, 0)).toBe('');
  });

  it('takes the word of a new leader whose log is shorter', () => {
    const catchUp = new CatchUp();
    expect(catchUp.reason(2, 900, 0)).not.toBe('');
    expect(catchUp.reason(850, 850, 0)).toBe('');
  });
});

it('a node that has caught up is behind again only when it is far behind, and then until it has caught up as a whole', () => {
  const catchUp = new CatchUp();
  expect(catchUp.reason(5, 5, 0)).toBe('');
  expect(catchUp.reason(5, 4 + FALLEN_BEHIND_ENTRIES, 0)).toBe('');
  expect(catchUp.reason(5, 5 + FALLEN_BEHIND_ENTRIES, 0)).not.toBe('');
  expect(catchUp.reason(4 + FALLEN_BEHIND_ENTRIES, 5 + FALLEN_BEHIND_ENTRIES, 0)).not.toBe('');
  expect(catchUp.reason(5 + FALLEN_BEHIND_ENTRIES, 5 + FALLEN_BEHIND_ENTRIES, 0)).toBe('');
});

it('a node that stands still has fallen behind however little is missing, until it has caught up as a whole', () => {
  const catchUp = new CatchUp();
  expect(catchUp.reason(5, 5, 0)).toBe('');
  // Nothing was missing for as long as nobody asked.
  expect(catchUp.reason(5, 7, 60_000)).toBe('');
  expect(catchUp.reason(5, 8, 60_000 + STANDSTILL_MS - 1)).toBe('');
  expect(catchUp.reason(5, 8, 60_000 + STANDSTILL_MS)).toContain('5 of 8 entries are applied, and no more');
  expect(catchUp.reason(6, 8, 70_000)).toBe('catching up, 6 of 8 entries are applied');
  expect(catchUp.reason(8, 8, 70_001)).toBe('');
});

it('a node that applies something now and then does not stand still', () => {
  const catchUp = new CatchUp();
  expect(catchUp.reason(5, 5, 0)).toBe('');
  for (let now = 0; now < 5 * STANDSTILL_MS; now += STANDSTILL_MS - 1)
    expect(catchUp.reason(6 + now, 9 + now, now)).toBe('');
});

describe('how far a member must be', () => {
  it('is what its leader says, although the commit index in a heartbeat is capped by what the member holds', async () => {
    const kit = new NodeKit();
    expect(kit.node.raft.catchUpIndex).toBe(0);
    await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 1, catchUpIndex: 702 });
    expect(kit.node.raft.catchUpIndex).toBe(702);
  });

  it('is the commit index from a leader of an earlier program, which says nothing else', async () => {
    const kit = new NodeKit();
    await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 1 });
    expect(kit.node.raft.catchUpIndex).toBe(1);
    await kit.follow(2, 1, 1, [], 702);
    expect(kit.node.raft.catchUpIndex).toBe(702);
  });

  it('is the start of its term for a leader that has committed nothing yet, and for its followers', async () => {
    const kit = new NodeKit();
    await kit.lead();
    expect([kit.node.raft.commitIndex, kit.node.raft.catchUpIndex]).toEqual([2, 2]);
    await kit.hear('heartbeat', { term: 3, round: 1, commitIndex: 2, catchUpIndex: 9 });
    await kit.hear('heartbeat', { term: 4, round: 1, commitIndex: 2, catchUpIndex: 5 });
    expect(kit.node.raft.catchUpIndex).toBe(5);
  });
});
