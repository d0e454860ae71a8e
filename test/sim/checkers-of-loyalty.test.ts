import { describe, expect, test } from 'vitest';
import type { Configuration, Message } from '../../src/raft/types.js';
import { CountedWrites } from '../../src/sim/checkers/counted-writes.js';
import { ElectedByMajority } from '../../src/sim/checkers/elected-by-majority.js';
import { ExactMembers } from '../../src/sim/checkers/exact-members.js';
import { LeaseAlone } from '../../src/sim/checkers/lease-alone.js';
import { LoyalVoter } from '../../src/sim/checkers/loyal-voter.js';
import { PromotedInTime } from '../../src/sim/checkers/promoted-in-time.js';
import { TransferClaimed } from '../../src/sim/checkers/transfer-claimed.js';
import { core, durable, entry, envelope, node } from './fake-node.js';

/** The checkers of what leases, elections and the membership rest on: each is fed what it allows, and what it must find. */

const n1 = node('n1');
const leader = (term: number, more: Parameters<typeof core>[0] = {}) =>
  core({ role: 'leader', term, ...more });
const heartbeat: Message = { type: 'heartbeat', ...envelope('n2', 'n1', 2), round: 1, commitIndex: 0 };

const request = (more: { preVote?: boolean; leadershipTransfer?: boolean } = {}): Message => ({
  type: 'requestVote',
  ...envelope('n3', 'n1', 3),
  preVote: false,
  lastLogIndex: 2,
  lastLogTerm: 1,
  leadershipTransfer: false,
  call: 0,
  ...more,
});
const grant = (preVote = false): Message => ({
  type: 'requestVoteResponse',
  ...envelope('n1', 'n3', 3),
  preVote,
  granted: true,
  removed: false,
  call: 0,
});

describe('A leader with a lease is the only leader', () => {
  const answer: Message = { type: 'heartbeatResponse', ...envelope('n3', 'n2', 2), round: 1 };
  const former = (untilMs: number, clockMs: number) => ({
    ...node('n2'),
    clockMs,
    core: leader(2, { holdsLease: (reading) => reading < untilMs }),
  });

  test('allows a lease that ended before the next election', () => {
    const other = former(200, 200);
    const checker = new LeaseAlone(() => new Map([['n2', other]]));
    checker.stepped(other, other.core);
    checker.stepped(n1, leader(3));
    checker.received(other, other.core, answer);
  });

  test('finds one that did not, by the clock of its holder', () => {
    const other = former(200, 199);
    const checker = new LeaseAlone(() => new Map([['n2', other]]));
    expect(() => checker.stepped(n1, leader(3))).toThrow('n2 holds the lease of term 2, and n1 leads term 3');
  });

  test('finds one that begins after the next election', () => {
    const checker = new LeaseAlone(() => new Map());
    checker.stepped(n1, leader(3));
    const other = former(200, 100);
    expect(() => checker.received(other, other.core, answer)).toThrow('holds the lease of term 2');
  });
});

describe('A voter is loyal to the leader that it hears', () => {
  const at = (time: { nowMs: number; leaptMs: number }) => ({ ...time, clockDrift: 0 });

  function heardAt(askedAtMs: number, more: Parameters<typeof request>[0] = {}, leaptMs = 0) {
    const time = at({ nowMs: 1000, leaptMs: 0 });
    const checker = new LoyalVoter(time);
    checker.received(n1, core({ term: 2 }), heartbeat);
    Object.assign(time, { nowMs: askedAtMs, leaptMs });
    checker.received(n1, core({ term: 2 }), request(more));
    return checker;
  }

  test('allows a vote after an election timeout, and one that the leader wished for', () => {
    heardAt(1226).sending(n1, core(), grant());
    heardAt(1226, { preVote: true }).sending(n1, core(), grant(true));
    heardAt(1001, { leadershipTransfer: true }).sending(n1, core(), grant());
    heardAt(1001, {}, 300).sending(n1, core(), grant());
  });

  test('allows an answer that waited for the disk while a leader was heard', () => {
    const checker = heardAt(1226);
    checker.received(n1, core({ term: 2 }), heartbeat);
    checker.sending(n1, core(), grant());
  });

  test('finds a vote and a pre-vote that came too early', () => {
    expect(() => heardAt(1200).sending(n1, core(), grant())).toThrow('gives n3 its vote for term 3');
    expect(() => heardAt(1200, { preVote: true }).sending(n1, core(), grant(true))).toThrow('its pre-vote');
  });

  test('takes a late pre-vote of whom it has voted for as harmless', () => {
    const voted = node('n1', durable({ term: 3, vote: 'n3' }));
    const checker = new LoyalVoter(at({ nowMs: 1000, leaptMs: 0 }));
    checker.received(voted, core({ term: 2 }), heartbeat);
    checker.received(voted, core({ term: 3 }), request({ preVote: true }));
    checker.sending(voted, core({ term: 3 }), grant(true));
    expect(() => checker.sending(voted, core({ term: 3 }), grant())).toThrow('its vote');
  });
});

describe('An election is won by votes on the disks of a majority', () => {
  const vote = (id: string, candidate: string, term = 2) => node(id, durable({ term, vote: candidate }));
  const joint: Configuration = {
    voters: ['n1', 'n2', 'n3'],
    outgoingVoters: ['n4', 'n5', 'n1'],
    learners: [],
    members: ['n1', 'n2', 'n3', 'n4', 'n5'].map((id) => ({
      id,
      incarnation: `${id}-a`,
      peerAddress: '',
      clientUrl: '',
    })),
  };

  test('allows a majority, whatever the voters did since', () => {
    const checker = new ElectedByMajority();
    for (const id of ['n1', 'n2']) checker.persisted(vote(id, 'n1'));
    checker.persisted(vote('n2', 'n3', 3));
    checker.stepped(n1, leader(2));
  });

  test('finds votes for others, of another term, and of another machine of the name', () => {
    const checker = new ElectedByMajority();
    checker.persisted(vote('n1', 'n1'));
    checker.persisted(vote('n2', 'n3'));
    checker.persisted(vote('n3', 'n1', 1));
    checker.persisted({ ...vote('n3', 'n1'), incarnation: 'n3-b' });
    expect(() => checker.stepped(n1, leader(2))).toThrow('with the votes of n1 among the voters n1, n2, n3');
  });

  test('counts in both configurations', () => {
    const checker = new ElectedByMajority();
    for (const id of ['n1', 'n2', 'n3']) checker.persisted(vote(id, 'n1'));
    const configured = leader(2, { configuration: joint });
    expect(() => checker.stepped(n1, configured)).toThrow('and the outgoing n4, n5, n1');
    const other = new ElectedByMajority();
    for (const id of ['n1', 'n2', 'n4']) other.persisted(vote(id, 'n1'));
    other.stepped(n1, configured);
  });
});

describe('Only a leadership transfer sets the transfer flag', () => {
  const claim = { ...request({ leadershipTransfer: true }), from: 'n1', to: 'n3' } as Message;

  test('allows a claim after the leader of the term before asked for it, and finds any other', () => {
    const checker = new TransferClaimed();
    expect(() => checker.sending(n1, core(), claim)).toThrow('as if the leader of term 2');
    checker.received(n1, core(), { type: 'timeoutNow', ...envelope('n2', 'n1', 2) });
    checker.sending(n1, core(), claim);
    expect(() => checker.sending(n1, core(), { ...claim, term: 4 } as Message)).toThrow('of term 3');
    checker.ended(n1);
    expect(() => checker.sending(n1, core(), claim)).toThrow('as if');
  });
});

describe('Writes from before a truncation do not count as durable', () => {
  const log = [entry(1, 1), entry(2, 2)];

  test('allows what the disk has, and what it has compacted', () => {
    const checker = new CountedWrites();
    checker.stepped(node('n1', durable({ log })), core({ log, durableIndex: 2 }));
    checker.stepped(node('n1', durable({ startIndex: 2 })), core({ log, durableIndex: 2 }));
    checker.stepped(n1, core({ log, durableIndex: 0 }));
  });

  test('finds an entry that the disk has not, or has of another term', () => {
    const checker = new CountedWrites();
    expect(() =>
      checker.stepped(node('n1', durable({ log: log.slice(0, 1) })), core({ log, durableIndex: 2 })),
    ).toThrow('the disk has nothing there');
    const other = [entry(1, 1), entry(2, 1)];
    expect(() =>
      checker.stepped(node('n1', durable({ log: other })), core({ log, durableIndex: 2 })),
    ).toThrow('the disk has term 1 there');
  });
});

describe('A configuration has exactly the right members', () => {
  const member = (id: string, incarnation = `${id}-a`) => ({
    id,
    incarnation,
    peerAddress: '',
    clientUrl: '',
  });
  const of = (voters: string[], more: Partial<Configuration> = {}): Configuration => ({
    voters,
    outgoingVoters: [],
    learners: [],
    members: voters.map((id) => member(id)),
    ...more,
  });
  const steps = (...configurations: Configuration[]) => {
    const checker = new ExactMembers();
    configurations.forEach((configuration, at) => {
      checker.stepped(n1, leader(2, { configuration, configurationIndex: at }));
    });
  };

  test('allows changes that leave the others as they are', () => {
    const four = ['n1', 'n2', 'n3', 'n4'].map((id) => member(id));
    steps(
      of(['n1', 'n2', 'n3']),
      of(['n1', 'n2', 'n3'], { learners: ['n4'], members: [...four.slice(0, 3), member('n4', '')] }),
      of(['n1', 'n2', 'n3'], { learners: ['n4'], members: four }),
      of(['n1', 'n2', 'n4'], { outgoingVoters: ['n1', 'n2', 'n3'], members: four }),
      of(['n1', 'n2', 'n4']),
    );
  });

  test('finds a member too many or too few, and a learner that votes', () => {
    expect(() => steps(of(['n1', 'n2'], { members: [member('n1')] }))).toThrow('does not say who n2 is');
    expect(() => steps(of(['n1'], { members: [member('n1'), member('n2')] }))).toThrow('has the member n2');
    expect(() => steps(of(['n1', 'n2'], { learners: ['n2'] }))).toThrow('as a learner and as a voter');
  });

  test('finds a member that became another one, and one that a joint one lost at its end', () => {
    const changed = of(['n1', 'n2'], { members: [member('n1'), member('n2', 'n2-b')] });
    expect(() => steps(of(['n1', 'n2']), changed)).toThrow('makes n2 another server');
    const joint = of(['n1', 'n3'], { outgoingVoters: ['n1'], members: [member('n1'), member('n3')] });
    expect(() => steps(joint, of(['n1']))).toThrow('is without n3');
  });
});

describe('A promoted learner is near the end of the log', () => {
  const log = Array.from({ length: 40 }, (_, at) => entry(at + 1, 2));
  const learning: Configuration = { voters: ['n1'], outgoingVoters: [], learners: ['n2'], members: [] };
  const promoted: Configuration = { ...learning, voters: ['n1', 'n2'], learners: [] };

  /** A leader that appends an entry each 50 ms, and then makes a voter of a learner whose disk ends at an index. */
  function promote(lastIndex: number, gapMs = 50) {
    const time = { nowMs: 0 };
    const learner = node('n2', durable({ log: log.slice(0, lastIndex) }));
    const checker = new PromotedInTime(() => new Map([['n2', learner]]), time);
    for (let end = 1; end <= log.length; end += 1) {
      time.nowMs += gapMs;
      checker.stepped(n1, leader(2, { log: log.slice(0, end), configuration: learning }));
    }
    checker.stepped(n1, leader(2, { log, configuration: promoted }));
  }

  test('allows one that is some hundred milliseconds behind, and finds one that is further', () => {
    promote(40);
    promote(27);
    expect(() => promote(10)).toThrow('makes n2 a voter, whose disk ends at index 10');
  });

  test('does not count the time in which the leader stood still', () => {
    promote(29, 5000);
  });
});
