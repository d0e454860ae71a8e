import { describe, expect, it } from 'vitest';
import { emptyConfiguration } from '../../src/raft/configuration.js';
import type { AppendEntries, Message } from '../../src/raft/types.js';
import { entryAt, message, nodeInRole, runUntilQuiet, startNode } from './core-kit.js';

/** What other nodes may say, late, twice, or wrong. What cannot be true is in quarantine.test.ts. */

const append = (content: Partial<AppendEntries>): Message =>
  message('appendEntries', {
    term: 3,
    previousIndex: 2,
    previousTerm: 2,
    entries: [],
    commitIndex: 1,
    ...content,
  });

describe('appends that no leader sends are ignored', () => {
  const malformed: Readonly<Record<string, Partial<AppendEntries>>> = {
    'a gap after the previous entry': { entries: [entryAt(4, 3)] },
    'a gap among the entries': { entries: [entryAt(3, 3), entryAt(5, 3)] },
    'an index twice': { entries: [entryAt(3, 3), entryAt(3, 3)] },
    'a term that goes down': { entries: [entryAt(3, 3), entryAt(4, 2)] },
    'a term below that of the previous entry': { entries: [entryAt(3, 1)] },
    'a term above that of the leader': { entries: [entryAt(3, 4)] },
    'a previous term above that of the leader': { previousTerm: 9 },
  };
  for (const [what, content] of Object.entries(malformed)) {
    it(what, () => {
      const raft = startNode({ term: 3, log: [1, 2, 2] });
      runUntilQuiet(raft);
      expect(raft.step(append(content))).toBe('It is not a run of entries up to term 3.');
      expect(runUntilQuiet(raft).readies).toEqual([]);
      expect([raft.lastIndex, raft.leader]).toEqual([3, null]);
    });
  }
});

describe('commit index', () => {
  it('is at most the last index that the append verified (row 10)', () => {
    // Entry 3 here is of a leader that lost; this append says nothing about it.
    const raft = startNode({ term: 3, log: [1, 2, 2] });
    raft.step(append({ previousIndex: 1, previousTerm: 1, entries: [entryAt(2, 2)], commitIndex: 3 }));
    runUntilQuiet(raft);
    expect(raft.commitIndex).toBe(2);
  });

  it('does not go back for a leader that is behind with its own', () => {
    const raft = startNode({ term: 3, log: [1, 2, 2], commit: 3 });
    raft.step(append({ commitIndex: 1 }));
    raft.step(message('heartbeat', { term: 3, round: 1, commitIndex: 0 }));
    expect(raft.commitIndex).toBe(3);
  });
});

describe('late and repeated answers to a leader', () => {
  const accepted = (matchIndex: number, term = 2): Message =>
    message('appendEntriesResponse', {
      term,
      success: true,
      matchIndex,
      rejectedIndex: 0,
      hintIndex: 0,
      hintTerm: 0,
    });
  const refused = (rejectedIndex: number, hintIndex = 0): Message =>
    message('appendEntriesResponse', {
      term: 2,
      success: false,
      matchIndex: 0,
      rejectedIndex,
      hintIndex,
      hintTerm: 0,
    });

  it('do not bring match back (row 9)', () => {
    const raft = nodeInRole('leader');
    raft.step(accepted(2));
    raft.step(accepted(1));
    raft.step(refused(1));
    runUntilQuiet(raft);
    expect(raft.status().followers[0]).toMatchObject({ match: 2, state: 'replicate' });
  });

  it('of an older term are ignored (row 9)', () => {
    const raft = nodeInRole('leader');
    raft.step(accepted(2, 1));
    expect(raft.status().followers[0]).toMatchObject({ match: 0 });
    expect(raft.commitIndex).toBe(1);
  });

  it('with a hint beyond the log or below its start are survived', () => {
    for (const hintIndex of [0, 1, 99]) {
      const raft = nodeInRole('leader');
      raft.step(refused(1, hintIndex));
      runUntilQuiet(raft);
      expect(raft.role).toBe('leader');
    }
  });

  it('from a stranger, or from a stranger under a known name, are not heard (row 16)', () => {
    const raft = nodeInRole('leader');
    raft.step({ ...accepted(2), from: 'n9' });
    raft.step({ ...accepted(2), fromIncarnation: 'n2-2' });
    raft.step({ ...message('heartbeatResponse', { term: 9, round: 0 }), fromIncarnation: 'n2-2' });
    expect([raft.commitIndex, raft.term, raft.role]).toEqual([1, 2, 'leader']);
  });
});

describe('requests of an older term', () => {
  const requests: readonly Message[] = [
    message('appendEntries', { term: 1, previousIndex: 1, previousTerm: 1, entries: [], commitIndex: 1 }),
    message('heartbeat', { term: 1, round: 4, commitIndex: 1 }),
    message('installSnapshot', {
      term: 1,
      snapshot: { index: 9, term: 1, configuration: emptyConfiguration },
    }),
  ];
  for (const request of requests) {
    it(`${request.type} is answered with the term, so that a stuck leader notices (row 5)`, () => {
      const raft = startNode({ term: 2 });
      raft.step(request);
      const { sent } = runUntilQuiet(raft);
      expect(sent).toMatchObject([{ type: 'heartbeatResponse', term: 2, round: 0, to: 'n2' }]);
      expect(raft.leader).toBeNull();
    });
  }
});

describe('pre-votes (row 5)', () => {
  const preVote = (term: number): Message =>
    message('requestVote', {
      term,
      preVote: true,
      lastLogIndex: 9,
      lastLogTerm: 1,
      leadershipTransfer: false,
      call: 0,
    });

  it('change no term, and a grant echoes the term of the request', () => {
    const raft = startNode({ term: 2 });
    raft.step(preVote(7));
    const { sent, readies } = runUntilQuiet(raft);
    expect(sent).toMatchObject([{ granted: true, term: 7, preVote: true }]);
    expect([raft.term, raft.status().vote]).toEqual([2, null]);
    expect(readies.every((ready) => ready.persist === null)).toBe(true);
  });

  it('do not make the voter more patient', () => {
    const raft = startNode({ term: 2 });
    for (let count = 0; count < 9; count += 1) {
      raft.tick();
      raft.step(preVote(3));
    }
    raft.tick();
    expect(raft.role).toBe('preCandidate');
  });

  it('a higher term in a refusal is taken', () => {
    const raft = nodeInRole('preCandidate');
    raft.step(
      message('requestVoteResponse', { term: 6, preVote: true, granted: false, removed: false, call: 0 }),
    );
    expect([raft.role, raft.term]).toEqual(['follower', 6]);
  });

  it('a late grant does not count as a vote', () => {
    const raft = nodeInRole('candidate');
    raft.step(
      message('requestVoteResponse', { term: 3, preVote: true, granted: true, removed: false, call: 0 }),
    );
    raft.step(
      message('requestVoteResponse', { term: 2, preVote: true, granted: true, removed: false, call: 0 }),
    );
    expect(raft.role).toBe('candidate');
  });
});

describe('loyalty to a leader whose heartbeat was answered (row 19)', () => {
  it('holds in a term that was learned from a refusal just after it', () => {
    const raft = nodeInRole('preCandidate');
    const { term } = raft;
    raft.step(message('heartbeat', { term, round: 7, commitIndex: 1 }));
    expect(runUntilQuiet(raft).sent.map(({ type }) => type)).toEqual(['heartbeatResponse']);
    const next = term + 1;
    raft.step(
      message('requestVoteResponse', {
        from: 'n3',
        term: next,
        preVote: true,
        granted: false,
        removed: false,
        call: 0,
      }),
    );
    const request = { from: 'n3', term: next, preVote: false, lastLogIndex: 9, lastLogTerm: term, call: 0 };
    raft.step(message('requestVote', { ...request, leadershipTransfer: false }));
    runUntilQuiet(raft);
    expect([raft.term, raft.status().vote]).toEqual([next, null]);
    // Who was asked by the leader itself is another matter.
    raft.step(message('requestVote', { ...request, leadershipTransfer: true }));
    expect(raft.status().vote).toBe('n3');
  });
});

describe('the notice that this node was removed (row 17)', () => {
  const notice = (term: number) =>
    message('requestVoteResponse', {
      from: 'n3',
      term,
      preVote: true,
      granted: false,
      removed: true,
      call: 0,
    });

  it('is heard from whoever is in a lower term', () => {
    const raft = nodeInRole('preCandidate');
    raft.step(notice(raft.term - 1));
    expect([raft.status().isRemoved, raft.role]).toEqual([true, 'follower']);
  });

  it('is the reason of the role from that moment on, whoever is heard of since', () => {
    const raft = nodeInRole('preCandidate');
    raft.step(notice(raft.term - 1));
    expect(raft.status().reason).toContain('says n3. To use it again, empty its data directory');
    raft.step(
      message('requestVoteResponse', {
        term: raft.term + 1,
        preVote: true,
        granted: false,
        removed: false,
        call: 0,
      }),
    );
    expect(raft.status().reason).toContain('says n3. To use it again, empty its data directory');
  });

  it('is heard by a follower that counts no votes any more', () => {
    const raft = nodeInRole('follower');
    raft.step(notice(raft.term));
    expect(raft.status().isRemoved).toBe(true);
  });

  it('is of no interest to a leader, and forgotten when a leader is heard', () => {
    const leader = nodeInRole('leader');
    leader.step(notice(leader.term));
    expect(leader.role).toBe('leader');
    const raft = nodeInRole('follower');
    raft.step(notice(raft.term));
    raft.step(message('heartbeat', { term: raft.term, round: 1, commitIndex: 1 }));
    expect(raft.status().isRemoved).toBe(false);
  });
});
