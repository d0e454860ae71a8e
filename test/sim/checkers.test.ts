import { describe, expect, test } from 'vitest';
import type { Message } from '../../src/raft/types.js';
import { AppliedIsDurable } from '../../src/sim/checkers/applied-is-durable.js';
import { Violation } from '../../src/sim/checkers/checker.js';
import { CommitOnMajority } from '../../src/sim/checkers/commit-on-majority.js';
import { DurableBeforeAnswer } from '../../src/sim/checkers/durable-before-answer.js';
import { ElectionSafety } from '../../src/sim/checkers/election-safety.js';
import { FreshReads } from '../../src/sim/checkers/fresh-reads.js';
import { LeaderAppendOnly } from '../../src/sim/checkers/leader-append-only.js';
import { LeaderCompleteness } from '../../src/sim/checkers/leader-completeness.js';
import { LogMatching } from '../../src/sim/checkers/log-matching.js';
import { Monotonic } from '../../src/sim/checkers/monotonic.js';
import { OneChangeAtATime } from '../../src/sim/checkers/one-change-at-a-time.js';
import { RemovedLeader } from '../../src/sim/checkers/removed-leader.js';
import { StateMachineSafety } from '../../src/sim/checkers/state-machine-safety.js';
import { VoteOnce } from '../../src/sim/checkers/vote-once.js';
import { core, durable, entry, envelope, node } from './fake-node.js';

/** Every checker is fed a history in which its property holds, and one in which it does not. */

const n1 = node('n1');
const n2 = node('n2');
const leader = (term: number, log: Parameters<typeof core>[0] = {}) => core({ role: 'leader', term, ...log });

describe('Election Safety', () => {
  test('allows one leader a term, and the same one again', () => {
    const checker = new ElectionSafety();
    checker.stepped(n1, leader(2));
    checker.stepped(n1, leader(2));
    checker.stepped(n2, leader(3));
    expect(checker.count).toBe(2);
  });

  test('finds two leaders in one term', () => {
    const checker = new ElectionSafety();
    checker.stepped(n1, leader(2));
    expect(() => checker.stepped(n2, leader(2))).toThrow('n1 and n2 both lead term 2');
  });
});

describe('Leader Append-Only', () => {
  const log = [entry(1, 1), entry(2, 1)];

  test('allows a leader to append and to compact', () => {
    const checker = new LeaderAppendOnly();
    checker.stepped(n1, leader(2, { log }));
    const third = entry(3, 2);
    checker.stepped(n1, leader(2, { log: [...log, third] }));
    checker.stepped(n1, leader(2, { log: [third], firstIndex: 3 }));
  });

  test('finds a leader that drops an entry', () => {
    const checker = new LeaderAppendOnly();
    checker.stepped(n1, leader(2, { log }));
    expect(() => checker.stepped(n1, leader(2, { log: log.slice(0, 1) }))).toThrow(Violation);
  });

  test('finds a leader that writes another entry over one in the middle', () => {
    const checker = new LeaderAppendOnly();
    checker.stepped(n1, leader(2, { log }));
    expect(() => checker.stepped(n1, leader(2, { log: [entry(1, 1, 'other'), ...log.slice(1)] }))).toThrow(
      'entry 1',
    );
  });

  test('leaves followers alone', () => {
    const checker = new LeaderAppendOnly();
    checker.stepped(n1, leader(2, { log }));
    checker.stepped(n1, core({ term: 3, log: [] }));
    checker.stepped(n1, leader(4, { log: [] }));
  });
});

describe('Log Matching', () => {
  test('allows logs that differ in their ends', () => {
    const checker = new LogMatching();
    checker.stepped(n1, core({ log: [entry(1, 1), entry(2, 1)] }));
    checker.stepped(n2, core({ log: [entry(1, 1), entry(2, 2)] }));
  });

  test('finds two entries of one index and term', () => {
    const checker = new LogMatching();
    checker.stepped(n1, core({ log: [entry(1, 1, 'a')] }));
    expect(() => checker.stepped(n2, core({ log: [entry(1, 1, 'b')] }))).toThrow(
      'Entry 1 of term 1 is another one',
    );
  });

  test('finds equal entries after different ones', () => {
    const checker = new LogMatching();
    checker.stepped(n1, core({ log: [entry(1, 1), entry(2, 3)] }));
    expect(() => checker.stepped(n2, core({ log: [entry(1, 2), entry(2, 3)] }))).toThrow(
      'follows term 2 on n2',
    );
  });

  test('looks again at what was overwritten', () => {
    const checker = new LogMatching();
    checker.stepped(n1, core({ log: [entry(1, 1, 'a'), entry(2, 2, 'a')] }));
    checker.stepped(n2, core({ log: [entry(1, 1, 'a'), entry(2, 1, 'b')] }));
    expect(() => checker.stepped(n2, core({ log: [entry(1, 1, 'a'), entry(2, 2, 'c')] }))).toThrow(Violation);
  });
});

describe('Leader Completeness', () => {
  const log = [entry(1, 1), entry(2, 2)];

  test('allows a leader of a later term that has everything, be it compacted', () => {
    const checker = new LeaderCompleteness();
    checker.stepped(n1, leader(2, { log, commitIndex: 2 }));
    checker.stepped(n2, leader(3, { log: [...log, entry(3, 3)] }));
    checker.ended(n1);
    checker.stepped(n1, leader(4, { log: log.slice(1), firstIndex: 2, compactedTerm: 1 }));
    expect(checker.commitIndexMax).toBe(2);
  });

  test('finds a new leader without a committed entry', () => {
    const checker = new LeaderCompleteness();
    checker.stepped(n1, leader(2, { log, commitIndex: 2 }));
    expect(() => checker.stepped(n2, leader(3, { log: log.slice(0, 1) }))).toThrow(
      'n2 leads term 3, and entry 2',
    );
  });

  test('finds an entry that is committed under a leader of a later term', () => {
    const checker = new LeaderCompleteness();
    checker.stepped(n2, leader(3, { log: log.slice(0, 1) }));
    expect(() => checker.stepped(n1, leader(2, { log, commitIndex: 2 }))).toThrow(
      'n2 leads term 3, and entry 2',
    );
  });

  test('finds two entries committed at one index', () => {
    const checker = new LeaderCompleteness();
    checker.stepped(n1, core({ term: 2, log, commitIndex: 2 }));
    const other = [entry(1, 1), entry(2, 1)];
    expect(() => checker.stepped(n2, core({ term: 2, log: other, commitIndex: 2 }))).toThrow(
      'Entry 2 is committed',
    );
  });

  test('asks nothing of a leader of the same or an earlier term', () => {
    const checker = new LeaderCompleteness();
    checker.stepped(n1, leader(3, { log, commitIndex: 2 }));
    checker.stepped(n2, leader(2, { log: log.slice(0, 1) }));
  });
});

describe('State Machine Safety', () => {
  test('allows everybody to apply the same', () => {
    const checker = new StateMachineSafety();
    checker.applied(n1, entry(1, 1), undefined, 'd1');
    checker.applied(n2, entry(1, 1), undefined, 'd1');
  });

  test('finds another entry at the same index', () => {
    const checker = new StateMachineSafety();
    checker.applied(n1, entry(1, 1, 'a'), undefined, 'd1');
    expect(() => checker.applied(n2, entry(1, 1, 'b'), undefined, 'd1')).toThrow('at index 1');
  });

  test('finds another state after the same entry', () => {
    const checker = new StateMachineSafety();
    checker.applied(n1, entry(1, 1), undefined, 'd1');
    expect(() => checker.applied(n2, entry(1, 1), undefined, 'd2')).toThrow(
      'The digest after index 1 is d2 on n2',
    );
  });
});

describe('Terms and the commit index never go back', () => {
  test.each([
    ['a term', core({ term: 2 }), core({ term: 1 }), 'from term 2 to 1'],
    ['a commit index', core({ commitIndex: 2 }), core({ commitIndex: 1 }), 'from commit index 2 to 1'],
  ])('finds %s that does', (_, before, after, message) => {
    const checker = new Monotonic();
    checker.stepped(n1, before);
    expect(() => checker.stepped(n1, after)).toThrow(message);
  });

  test('allows the commit index to begin lower after a restart, but not below the disk', () => {
    const checker = new Monotonic();
    checker.stepped(n1, core({ commitIndex: 5 }));
    checker.ended(n1);
    const restarted = node('n1', durable({ commit: 3 }));
    checker.started(restarted, core({ commitIndex: 3 }));
    checker.stepped(restarted, core({ commitIndex: 3 }));
    expect(() => checker.started(restarted, core({ commitIndex: 2 }))).toThrow('its disk says 3');
  });

  test('finds a term that is lower on disk, over a restart too', () => {
    const checker = new Monotonic();
    checker.persisted(node('n1', durable({ term: 3 })));
    checker.ended(n1);
    expect(() => checker.persisted(node('n1', durable({ term: 2 })))).toThrow('wrote term 2 over term 3');
  });
});

describe('A vote is set at most once a term', () => {
  const vote = (to: string, term: number): Message => ({
    type: 'requestVoteResponse',
    ...envelope('n1', to, term),
    preVote: false,
    granted: true,
    removed: false,
    call: 0,
  });

  test('allows a vote in each term, said twice', () => {
    const checker = new VoteOnce();
    checker.persisted(node('n1', durable({ term: 1, vote: 'n2' })));
    checker.persisted(node('n1', durable({ term: 2, vote: 'n3' })));
    checker.sending(n1, core(), vote('n2', 1));
    checker.sending(n1, core(), vote('n2', 1));
  });

  test('finds another vote, or none, written over one', () => {
    const checker = new VoteOnce();
    checker.persisted(node('n1', durable({ term: 1, vote: 'n2' })));
    expect(() => checker.persisted(node('n1', durable({ term: 1, vote: 'n3' })))).toThrow('after n2');
    expect(() => checker.persisted(node('n1', durable({ term: 1, vote: null })))).toThrow('over one for n2');
  });

  test('finds two votes given in one term', () => {
    const checker = new VoteOnce();
    checker.sending(n1, core(), vote('n2', 1));
    expect(() => checker.sending(n1, core(), vote('n3', 1))).toThrow(
      'gave its vote of term 1 to n3, after n2',
    );
  });

  test('finds a candidate that has voted for somebody else', () => {
    const checker = new VoteOnce();
    checker.sending(n1, core(), vote('n2', 1));
    const request: Message = {
      type: 'requestVote',
      ...envelope('n1', 'n3', 1),
      preVote: false,
      lastLogIndex: 0,
      lastLogTerm: 0,
      leadershipTransfer: false,
      call: 0,
    };
    expect(() => checker.sending(n1, core(), request)).toThrow(Violation);
  });
});

describe('State is on disk before the response that depends on it', () => {
  const acknowledgement = (matchIndex: number): Message => ({
    type: 'appendEntriesResponse',
    ...envelope('n1', 'n2', 2),
    success: true,
    matchIndex,
    rejectedIndex: 0,
    hintIndex: 0,
    hintTerm: 0,
  });
  const voteOf = (preVote: boolean, term: number): Message => ({
    type: 'requestVoteResponse',
    ...envelope('n1', 'n2', term),
    preVote,
    granted: true,
    removed: false,
    call: 0,
  });
  const checker = new DurableBeforeAnswer();
  const log = [entry(1, 1), entry(2, 2)];

  test('allows what is on disk, and pre-votes of a term that is not', () => {
    const disk = node('n1', durable({ term: 2, vote: 'n2', log }));
    checker.sending(disk, core({ term: 2, log }), acknowledgement(2));
    checker.sending(disk, core({ term: 2, log }), voteOf(false, 2));
    checker.sending(disk, core({ term: 2, log }), voteOf(true, 3));
  });

  test('finds an acknowledgement of an entry that is not there', () => {
    const disk = node('n1', durable({ term: 2, log: log.slice(0, 1) }));
    expect(() => checker.sending(disk, core({ term: 2, log }), acknowledgement(2))).toThrow(
      'the disk has nothing there',
    );
  });

  test('finds an acknowledgement of another entry than the one that is there', () => {
    const disk = node('n1', durable({ term: 2, log: [entry(1, 1), entry(2, 1)] }));
    expect(() => checker.sending(disk, core({ term: 2, log }), acknowledgement(2))).toThrow(
      'the disk has term 1',
    );
  });

  test('allows a late acknowledgement of what a newer leader has replaced, and of nothing else', () => {
    const disk = node('n1', durable({ term: 3, log: log.slice(0, 1) }));
    checker.sending(disk, core({ term: 3, log: log.slice(0, 1) }), acknowledgement(2));
    checker.sending(disk, core({ term: 3, log: [entry(1, 1), entry(2, 3)] }), acknowledgement(2));
    expect(() => checker.sending(disk, core({ term: 3, log }), acknowledgement(2))).toThrow(
      'the disk has nothing',
    );
  });

  test('finds a vote that is not there', () => {
    const disk = node('n1', durable({ term: 2, vote: null }));
    expect(() => checker.sending(disk, core({ term: 2 }), voteOf(false, 2))).toThrow('a vote for n2');
  });

  test('finds a leader whose own vote is not there', () => {
    const disk = node('n1', durable({ term: 2, vote: null }));
    expect(() => checker.stepped(disk, core({ role: 'leader', term: 2 }))).toThrow('n1 leads term 2');
    checker.stepped(node('n1', durable({ term: 2, vote: 'n1' })), core({ role: 'leader', term: 2 }));
  });

  test('finds a term that is not there', () => {
    const disk = node('n1', durable({ term: 1 }));
    const answer: Message = { type: 'heartbeatResponse', ...envelope('n1', 'n2', 2), round: 1 };
    expect(() => checker.sending(disk, core({ term: 2 }), answer)).toThrow('names term 2');
  });
});

describe('An entry is committed only when a majority has it on disk', () => {
  const log = [entry(1, 1), entry(2, 2)];
  const cluster = (held: readonly number[]) =>
    new Map(
      held.map((count, at) => [`n${at + 1}`, node(`n${at + 1}`, durable({ log: log.slice(0, count) }))]),
    );
  const commitTwo = (held: readonly number[], term = 2) => {
    const checker = new CommitOnMajority(() => cluster(held));
    checker.stepped(n1, leader(term, { log, commitIndex: 1 }));
    checker.stepped(n1, leader(term, { log, commitIndex: 2 }));
  };

  test('allows a commit that a majority has, whoever it is', () => {
    commitTwo([2, 2, 0]);
    commitTwo([0, 2, 2]);
  });

  test('finds a commit that counts a disk which does not have it', () => {
    expect(() => commitTwo([1, 2, 1])).toThrow('no majority of n1, n2, n3 has on disk');
  });

  test('finds an entry of an earlier term that was committed by counting', () => {
    expect(() => commitTwo([2, 2, 2], 3)).toThrow('whose term is 2');
  });
});

describe('One membership change at a time', () => {
  const log = [entry(1, 1), entry(2, 2), entry(3, 2), entry(4, 2)];
  const at = (configurationIndex: number, commitIndex: number, voters: readonly string[]) =>
    leader(2, { log, configurationIndex, commitIndex, voters });

  test('allows one after the other', () => {
    const checker = new OneChangeAtATime();
    checker.stepped(n1, at(1, 2, ['n1', 'n2']));
    checker.stepped(n1, at(3, 2, ['n1', 'n2', 'n3']));
    checker.stepped(n1, at(4, 3, ['n2', 'n3']));
  });

  test.each([
    ['two that are not committed', [at(3, 2, ['n1', 'n2']), at(4, 2, ['n1'])], 'index 3 was not committed'],
    ['one before the first commit', [at(1, 1, ['n1', 'n2']), at(3, 1, ['n1'])], 'before it had committed'],
    ['two servers at once', [at(1, 2, ['n1', 'n2']), at(3, 2, ['n3', 'n2'])], 'n1, n3 all change'],
  ])('finds %s', (_, [before, after], message) => {
    const checker = new OneChangeAtATime();
    if (before) checker.stepped(n1, before);
    expect(() => after && checker.stepped(n1, after)).toThrow(message);
  });
});

describe('Only entries on disk are applied', () => {
  const disk = node('n1', durable({ log: [entry(1, 1)] }));

  test('finds an entry that is not there, and one that is another', () => {
    const checker = new AppliedIsDurable();
    checker.applied(disk, entry(1, 1), undefined);
    expect(() => checker.applied(disk, entry(2, 1), undefined)).toThrow('nothing there');
    expect(() => checker.applied(disk, entry(1, 2), undefined)).toThrow('the disk has term 1');
  });
});

describe('A removed leader steps down', () => {
  const removed = { configurationIndex: 2, voters: ['n2'], log: [entry(1, 1), entry(2, 1)] };

  test('allows it to lead until its removal is committed, and no longer', () => {
    const checker = new RemovedLeader();
    checker.stepped(n1, leader(1, { ...removed, commitIndex: 1 }));
    checker.stepped(n1, core({ ...removed, commitIndex: 2 }));
    expect(() => checker.stepped(n1, leader(1, { ...removed, commitIndex: 2 }))).toThrow('is committed');
  });
});

describe('A read shows everything that was acknowledged before it', () => {
  test('finds one that is behind', () => {
    const checker = new FreshReads();
    checker.read('n1', 5, 5);
    expect(() => checker.read('n1', 5, 4)).toThrow('n1 answers from index 4');
  });
});
