import { describe, expect, it } from 'vitest';
import type { Raft } from '../../src/raft/raft.js';
import type { Entry } from '../../src/raft/types.js';
import { entryAt, message, runUntilQuiet, startNode } from './core-kit.js';

const BOUND = 10;

/** A follower whose log of 10 entries at most is twice as long, with this much of it committed. */
const follower = (commit: number) =>
  startNode({ term: 1, log: Array(2 * BOUND).fill(1), commit, logEntriesMax: BOUND });

/** The answers to an append, and how the log ends after it. */
function append(
  raft: Raft,
  {
    previousIndex,
    entries,
    commitIndex = 0,
  }: { previousIndex: number; entries: readonly Entry[]; commitIndex?: number },
) {
  raft.step(message('appendEntries', { term: 1, previousIndex, previousTerm: 1, entries, commitIndex }));
  const { sent, readies } = runUntilQuiet(raft);
  const answers = sent.map((answer) =>
    answer.type === 'appendEntriesResponse'
      ? { success: answer.success, matchIndex: answer.matchIndex }
      : answer,
  );
  const events = readies.flatMap((ready) => ready.events.map((event) => event.name));
  return { answers, lastIndex: raft.lastIndex, events: events.filter((name) => name === 'appendsHeldBack') };
}

describe('a follower whose log is full (row 12)', () => {
  it('takes no new entries, answers nothing, and says so once', () => {
    const raft = follower(20);
    const next = { previousIndex: 20, entries: [entryAt(21, 1)] };
    expect(append(raft, next)).toEqual({ answers: [], lastIndex: 20, events: ['appendsHeldBack'] });
    expect(append(raft, next)).toEqual({ answers: [], lastIndex: 20, events: [] });
  });

  it('takes them again when the log was cut (row 11)', () => {
    const raft = follower(20);
    runUntilQuiet(raft);
    const next = { previousIndex: 20, entries: [entryAt(21, 1)] };
    append(raft, next);
    raft.compact(15);
    expect(append(raft, next)).toEqual({
      answers: [{ success: true, matchIndex: 21 }],
      lastIndex: 21,
      events: [],
    });
  });

  it('acknowledges what it has of an append, or the leader could never tell it that this is committed', () => {
    const raft = follower(12);
    const entries = [19, 20, 21].map((index) => entryAt(index, 1));
    expect(append(raft, { previousIndex: 18, entries, commitIndex: 19 })).toMatchObject({
      answers: [{ success: true, matchIndex: 20 }],
      lastIndex: 20,
    });
    expect(raft.commitIndex).toBe(19);
  });

  it('takes the commit index from an append of which it takes nothing', () => {
    const raft = follower(12);
    append(raft, { previousIndex: 20, entries: [entryAt(21, 1)], commitIndex: 21 });
    expect([raft.commitIndex, raft.lastIndex]).toEqual([20, 20]);
  });

  it('refuses what does not follow its log, as ever', () => {
    const { answers } = append(follower(20), { previousIndex: 25, entries: [entryAt(26, 1)] });
    expect(answers).toEqual([{ success: false, matchIndex: 0 }]);
  });

  it('takes more while what is committed would not bring it below its bound: the rest waits for just that', () => {
    const raft = follower(BOUND);
    expect(append(raft, { previousIndex: 20, entries: [entryAt(21, 1)] })).toMatchObject({
      answers: [{ success: true, matchIndex: 21 }],
      lastIndex: 21,
    });
  });

  it('is full by its bytes as well, whichever way they come and go', () => {
    const raft = startNode({ term: 1, logBytesMax: 4000 });
    const entries = [2, 3, 4].map((index) => entryAt(index, 1, new Uint8Array(3000)));
    append(raft, { previousIndex: 1, entries, commitIndex: 4 });
    const next = { previousIndex: 4, entries: [entryAt(5, 1)], commitIndex: 4 };
    expect(append(raft, next)).toMatchObject({ answers: [], lastIndex: 4 });
    raft.compact(3);
    expect(append(raft, next)).toMatchObject({ lastIndex: 5 });
  });
});
