import { describe, expect, it } from 'vitest';
import type { Raft } from '../../src/raft/raft.js';
import type { Message, MessageType, Role } from '../../src/raft/types.js';
import { entryAt, message, nodeInRole, runUntilQuiet, threeVoters } from './core-kit.js';

/**
 * What each role does with each message of its own term (2). The record names every pair, so a role or a message that
 * nobody thought about does not compile. A node that does nothing is as much a decision as one that answers.
 */
interface Case {
  readonly must: string;
  readonly message: Message;
  /** Time that passes before it comes. */
  readonly ticksBefore?: number;
  /** The role after it; the same one when nothing is said. */
  readonly role?: Role;
  /** The messages that leave, as `type to`, in order. */
  readonly sends?: readonly string[];
  readonly check?: (raft: Raft, sent: readonly Message[]) => void;
  /** A full sentence with which the node goes into quarantine. */
  readonly quarantine?: RegExp;
}

const voteRequest = message('requestVote', {
  term: 2,
  preVote: false,
  lastLogIndex: 5,
  lastLogTerm: 2,
  leadershipTransfer: false,
  call: 7,
});
const grantedPreVote = message('requestVoteResponse', {
  term: 3,
  preVote: true,
  granted: true,
  removed: false,
  call: 0,
});
const grantedVote = message('requestVoteResponse', {
  term: 2,
  preVote: false,
  granted: true,
  removed: false,
  call: 0,
});
const append = message('appendEntries', {
  term: 2,
  previousIndex: 1,
  previousTerm: 1,
  entries: [entryAt(2, 2)],
  commitIndex: 2,
});
const appendAnswer = message('appendEntriesResponse', {
  term: 2,
  success: true,
  matchIndex: 2,
  rejectedIndex: 0,
  hintIndex: 0,
  hintTerm: 0,
});
const heartbeat = message('heartbeat', { term: 2, round: 9, commitIndex: 1 });
const heartbeatAnswer = message('heartbeatResponse', { term: 2, round: 1 });
const snapshot = message('installSnapshot', {
  term: 2,
  snapshot: { index: 8, term: 2, configuration: threeVoters },
});
const snapshotAnswer = message('installSnapshotResponse', { term: 2, success: true, matchIndex: 2 });
const timeoutNow = message('timeoutNow', { term: 2 });

const followsAndAppends: Omit<Case, 'must'> = {
  message: append,
  role: 'follower',
  sends: ['appendEntriesResponse n2'],
  check: (raft) => expect([raft.leader, raft.lastIndex, raft.commitIndex]).toEqual(['n2', 2, 2]),
};
const followsAndAnswersHeartbeat: Omit<Case, 'must'> = {
  message: heartbeat,
  role: 'follower',
  sends: ['heartbeatResponse n2'],
  check: (raft, sent) => {
    expect(raft.leader).toBe('n2');
    expect(sent[0]).toMatchObject({ round: 9, term: 2 });
  },
};
const followsAndTakesSnapshot: Omit<Case, 'must'> = {
  message: snapshot,
  role: 'follower',
  sends: ['installSnapshotResponse n2'],
  check: (raft, sent) => {
    expect([raft.leader, raft.commitIndex, raft.firstIndex]).toEqual(['n2', 8, 9]);
    expect(sent[0]).toMatchObject({ success: true, matchIndex: 8 });
  },
};
const campaignsForTransfer: Omit<Case, 'must'> = {
  message: timeoutNow,
  role: 'candidate',
  sends: ['requestVote n2', 'requestVote n3'],
  check: (raft, sent) => {
    expect(raft.term).toBe(3);
    expect(sent[0]).toMatchObject({ preVote: false, leadershipTransfer: true, term: 3 });
  },
};
const ignores = (ignored: Message): Omit<Case, 'must'> => ({ message: ignored, sends: [] });
const noticesTwoLeaders = (of: Message): Omit<Case, 'must'> => ({
  message: of,
  role: 'follower',
  sends: [],
  quarantine: /n1 and n2, both lead term 2/,
});
const grants: Omit<Case, 'must'> = {
  message: voteRequest,
  sends: ['requestVoteResponse n2'],
  check: (raft, sent) => {
    expect(raft.status().vote).toBe('n2');
    expect(sent[0]).toMatchObject({ granted: true, removed: false, call: 7 });
  },
};
const refuses: Omit<Case, 'must'> = {
  message: voteRequest,
  sends: ['requestVoteResponse n2'],
  check: (raft, sent) => {
    expect(raft.status().vote).toBe('n1');
    expect(sent[0]).toMatchObject({ granted: false, term: 2, call: 7 });
  },
};

const table: Readonly<Record<Role, Readonly<Record<MessageType, Case>>>> = {
  follower: {
    requestVote: { must: 'grants its one vote of the term', ...grants },
    requestVoteResponse: { must: 'ignores an answer to a campaign that it gave up', ...ignores(grantedVote) },
    appendEntries: { must: 'follows the sender and takes the entries', ...followsAndAppends },
    appendEntriesResponse: { must: 'ignores what it did not ask for', ...ignores(appendAnswer) },
    heartbeat: { must: 'follows the sender and answers with the round', ...followsAndAnswersHeartbeat },
    heartbeatResponse: { must: 'ignores what it did not ask for', ...ignores(heartbeatAnswer) },
    installSnapshot: { must: 'takes the snapshot in place of its log', ...followsAndTakesSnapshot },
    installSnapshotResponse: { must: 'ignores what it did not ask for', ...ignores(snapshotAnswer) },
    timeoutNow: { must: 'campaigns at once, without pre-votes', ...campaignsForTransfer },
  },
  preCandidate: {
    requestVote: { must: 'grants its vote, which a pre-vote does not bind', ...grants },
    requestVoteResponse: {
      must: 'campaigns in the next term when a majority would vote for it',
      message: grantedPreVote,
      role: 'candidate',
      sends: ['requestVote n2', 'requestVote n3'],
      check: (raft) => expect(raft.term).toBe(3),
    },
    appendEntries: { must: 'gives up, because its term has a leader', ...followsAndAppends },
    appendEntriesResponse: { must: 'ignores what it did not ask for', ...ignores(appendAnswer) },
    heartbeat: { must: 'gives up, because its term has a leader', ...followsAndAnswersHeartbeat },
    heartbeatResponse: { must: 'ignores what it did not ask for', ...ignores(heartbeatAnswer) },
    installSnapshot: { must: 'gives up, because its term has a leader', ...followsAndTakesSnapshot },
    installSnapshotResponse: { must: 'ignores what it did not ask for', ...ignores(snapshotAnswer) },
    timeoutNow: { must: 'campaigns at once', ...campaignsForTransfer },
  },
  candidate: {
    requestVote: { must: 'refuses, because it voted for itself', ...refuses },
    requestVoteResponse: {
      must: 'leads with the vote of a majority, and announces it',
      message: grantedVote,
      role: 'leader',
      sends: ['heartbeat n2', 'heartbeat n3', 'appendEntries n2', 'appendEntries n3'],
    },
    appendEntries: { must: 'gives up, because its term has a leader', ...followsAndAppends },
    appendEntriesResponse: { must: 'ignores what it did not ask for', ...ignores(appendAnswer) },
    heartbeat: { must: 'gives up, because its term has a leader', ...followsAndAnswersHeartbeat },
    heartbeatResponse: { must: 'ignores what it did not ask for', ...ignores(heartbeatAnswer) },
    installSnapshot: { must: 'gives up, because its term has a leader', ...followsAndTakesSnapshot },
    installSnapshotResponse: { must: 'ignores what it did not ask for', ...ignores(snapshotAnswer) },
    timeoutNow: { must: 'ignores it, because it campaigns already', ...ignores(timeoutNow) },
  },
  leader: {
    requestVote: { must: 'refuses, because it voted for itself', ...refuses },
    requestVoteResponse: { must: 'needs no more votes', ...ignores(grantedVote) },
    appendEntries: { must: 'goes into quarantine: two leaders in a term', ...noticesTwoLeaders(append) },
    appendEntriesResponse: {
      must: 'counts the acknowledgement and commits',
      message: appendAnswer,
      check: (raft) => {
        expect(raft.commitIndex).toBe(2);
        expect(raft.status().followers[0]).toMatchObject({ id: 'n2', state: 'replicate', match: 2 });
      },
    },
    heartbeat: { must: 'goes into quarantine: two leaders in a term', ...noticesTwoLeaders(heartbeat) },
    heartbeatResponse: {
      must: 'notes the contact, and probes again where an answer is overdue and may have been lost',
      message: heartbeatAnswer,
      ticksBefore: 2,
      sends: ['appendEntries n2'],
      check: (raft) => expect(raft.status().followers[0]?.recentlyActive).toBe(true),
    },
    installSnapshot: { must: 'goes into quarantine: two leaders in a term', ...noticesTwoLeaders(snapshot) },
    installSnapshotResponse: {
      must: 'counts what the follower holds and commits',
      message: snapshotAnswer,
      check: (raft) => expect(raft.commitIndex).toBe(2),
    },
    timeoutNow: { must: 'ignores it, because it leads already', ...ignores(timeoutNow) },
  },
};

for (const [role, row] of Object.entries(table) as [Role, (typeof table)[Role]][]) {
  describe(role, () => {
    for (const [type, cell] of Object.entries(row)) {
      it(`${type}: ${cell.must}`, () => {
        const raft = nodeInRole(role);
        expect(raft.role).toBe(role);
        for (let tick = 0; tick < (cell.ticksBefore ?? 0); tick += 1) raft.tick();
        runUntilQuiet(raft);
        raft.step(cell.message);
        const { sent } = runUntilQuiet(raft);
        expect(raft.role).toBe(cell.role ?? role);
        if (cell.sends) expect(sent.map((one) => `${one.type} ${one.to}`)).toEqual(cell.sends);
        if (cell.quarantine) expect(raft.quarantine).toMatch(cell.quarantine);
        else expect(raft.quarantine).toBeNull();
        cell.check?.(raft, sent);
      });
    }
  });
}
