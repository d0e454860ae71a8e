import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Raft, RaftStatus } from '../../src/raft/raft.js';
import {
  type AppendEntries,
  INDEX_MAX,
  type Message,
  type Role,
  TERM_JUMP_MAX,
  TERM_MAX,
} from '../../src/raft/types.js';
import { entryAt, message, nodeInRole, runUntilQuiet, startNode, threeVoters } from './core-kit.js';

/** What cannot be true: of a member it is a reason for quarantine (rule 24), of anybody else it is nonsense. */

const append = (content: Partial<AppendEntries>): Message =>
  message('appendEntries', {
    term: 3,
    previousIndex: 2,
    previousTerm: 2,
    entries: [],
    commitIndex: 1,
    ...content,
  });
const heartbeat = (term: number, commitIndex = 1, from = 'n2'): Message =>
  message('heartbeat', { from, term, round: 1, commitIndex });
const acknowledgement = (matchIndex: number): Message =>
  message('appendEntriesResponse', {
    term: 2,
    success: true,
    matchIndex,
    rejectedIndex: 0,
    hintIndex: 0,
    hintTerm: 0,
  });
const committed = () => startNode({ term: 3, log: [1, 2, 2], commit: 3 });
/** n2 leads term 2. */
const following = () => {
  const raft = nodeInRole('follower');
  raft.step(heartbeat(2));
  runUntilQuiet(raft);
  return raft;
};

const contradictions: readonly (readonly [string, () => Raft, Message, string])[] = [
  [
    'a committed entry of another term',
    committed,
    append({ previousIndex: 1, previousTerm: 1, entries: [entryAt(2, 3)] }),
    'Index 2 is committed here in term 2, but leader n2 has an entry of term 3 there',
  ],
  [
    'a previous entry of another term at a committed index',
    committed,
    append({ previousTerm: 1 }),
    'Index 2 is committed here',
  ],
  [
    'a snapshot of another term at a committed index',
    committed,
    message('installSnapshot', { term: 3, snapshot: { index: 3, term: 3, configuration: threeVoters } }),
    'Index 3 is committed here',
  ],
  [
    'a commit index that this node acknowledged and does not have',
    startNode,
    heartbeat(1, 5),
    'entries that were acknowledged are gone',
  ],
  ['a second leader, heard by a follower', following, heartbeat(2, 1, 'n3'), 'n2 and n3, both lead term 2'],
  [
    'a second leader that appends, heard by a follower',
    following,
    append({ from: 'n3', fromIncarnation: 'n3-1', term: 2, previousIndex: 1, previousTerm: 1 }),
    'n2 and n3, both lead term 2',
  ],
  [
    'a second leader, heard by a node that does not hear the first one any more',
    () => {
      const raft = following();
      for (let ticks = 0; ticks < 20; ticks += 1) raft.tick();
      expect(raft.leader).toBeNull();
      return raft;
    },
    heartbeat(2, 1, 'n3'),
    'n2 and n3, both lead term 2',
  ],
  [
    'a second leader, heard by the first',
    () => nodeInRole('leader'),
    heartbeat(2),
    'n1 and n2, both lead term 2',
  ],
  [
    'an acknowledgement beyond the log of the leader',
    () => nodeInRole('leader'),
    acknowledgement(9),
    'are missing here',
  ],
];

describe('a member that says what cannot be true', () => {
  it.each(contradictions)('%s', (_, start, contradiction, words) => {
    const raft = start();
    expect(raft.step(contradiction)).toBeNull();
    const { sent, readies } = runUntilQuiet(raft);
    expect(sent).toEqual([]);
    expect(raft.quarantine).toContain(words);
    expect(readies.flatMap(({ events }) => events.map(({ name }) => name))).toContain('quarantined');
    expect(raft.status().reason).toBe(`This node is in quarantine. ${raft.quarantine}`);
  });

  it('puts this node out of everything: no votes, acknowledgements, campaigns or reads', () => {
    const raft = nodeInRole('leader');
    raft.read(1);
    raft.step(heartbeat(2));
    raft.read(2);
    expect(runUntilQuiet(raft).readies.flatMap(({ readsRefused }) => readsRefused)).toEqual([1, 2]);
    expect([raft.role, raft.leader, raft.propose([Uint8Array.of(1)])]).toEqual([
      'follower',
      null,
      'notLeader',
    ]);
    expect(raft.transfer(undefined)).toBe('Only the leader can hand leadership over.');
    const vote = {
      term: 9,
      preVote: false,
      lastLogIndex: 9,
      lastLogTerm: 9,
      leadershipTransfer: true,
      call: 0,
    };
    raft.step(message('requestVote', vote));
    raft.step(message('requestVote', { ...vote, preVote: true }));
    raft.step(append({ term: 9, previousIndex: 1, previousTerm: 1, entries: [entryAt(2, 9)] }));
    raft.step(heartbeat(9));
    raft.step(message('timeoutNow', { term: 2 }));
    for (let ticks = 0; ticks < 100; ticks += 1) raft.tick();
    expect(runUntilQuiet(raft).readies).toEqual([]);
    expect([raft.term, raft.role]).toEqual([2, 'follower']);
  });
});

describe('a stranger that says what cannot be true', () => {
  it.each(contradictions)('changes nothing: %s', (_, start, contradiction, words) => {
    const raft = start();
    runUntilQuiet(raft);
    const before = raft.status();
    const answer = raft.step({ ...contradiction, fromIncarnation: 'x-1' });
    // Answers are heard from members only, so a stranger's is not even looked at.
    if (contradiction.type === 'appendEntriesResponse') expect(answer).toBeNull();
    else expect(answer).toContain(words);
    expectUnchanged(raft, before);
  });
});

describe('what no member sends', () => {
  const vote = (term: number, content: object = {}): Message =>
    message('requestVote', {
      term,
      preVote: false,
      lastLogIndex: 9,
      lastLogTerm: 1,
      leadershipTransfer: true,
      call: 0,
      ...content,
    });
  it.each<[string, Message]>([
    ['a term beyond the last one', vote(TERM_MAX + 1)],
    ['a term of 2^53 - 1', heartbeat(Number.MAX_SAFE_INTEGER)],
    ['a term that jumps too far', vote(2 + TERM_JUMP_MAX + 1)],
    ['a message of this node itself', heartbeat(2, 1, 'n1')],
    ['a log that ends beyond its term', vote(3, { lastLogTerm: 4 })],
    ['an index beyond the last one', vote(3, { lastLogIndex: INDEX_MAX + 1 })],
    ['a commit index beyond the last one', heartbeat(2, INDEX_MAX + 1)],
    [
      'a snapshot of a later term',
      message('installSnapshot', { term: 2, snapshot: { index: 9, term: 3, configuration: threeVoters } }),
    ],
    [
      'a snapshot at index 0',
      message('installSnapshot', { term: 2, snapshot: { index: 0, term: 0, configuration: threeVoters } }),
    ],
    ['a campaign that another node than the leader asks for', message('timeoutNow', { from: 'n3', term: 2 })],
  ])('changes nothing, not even of a member: %s', (_, nonsense) => {
    const raft = following();
    const before = raft.status();
    expect(raft.step(nonsense)).toMatch(/^Its? .*\.$/);
    expectUnchanged(raft, before);
  });

  it('is an answer to a round that was never sent', () => {
    const raft = nodeInRole('leader');
    const before = raft.status();
    expect(raft.step(message('heartbeatResponse', { term: 2, round: 99 }))).toContain('round 99');
    expectUnchanged(raft, before);
  });
});

describe('terms', () => {
  it('jump by as much as a node can have missed, and to the end of all terms', () => {
    const raft = following();
    raft.step(heartbeat(2 + TERM_JUMP_MAX));
    expect(raft.term).toBe(2 + TERM_JUMP_MAX);
    const last = startNode({ term: TERM_MAX - 1 });
    expect(last.step(heartbeat(TERM_MAX))).toBeNull();
    expect(last.term).toBe(TERM_MAX);
  });

  it('end: nobody campaigns after the last one, and no term wraps', () => {
    const raft = startNode({ term: TERM_MAX });
    for (let ticks = 0; ticks < 100; ticks += 1) raft.tick();
    raft.step(message('timeoutNow', { term: TERM_MAX }));
    expect([raft.role, raft.term]).toEqual(['follower', TERM_MAX]);
    expect(runUntilQuiet(raft).sent).toEqual([]);
  });

  it('are whatever the cluster has for a node that begins', () => {
    const raft = startNode({ term: 0, log: [], commit: 0 });
    raft.step(heartbeat(TERM_MAX, 0));
    expect(raft.term).toBe(TERM_MAX);
  });
});

describe('any message', () => {
  const counter = fc.oneof(
    fc.nat(4),
    fc.constantFrom(2 ** 32, TERM_MAX, INDEX_MAX + 1, Number.MAX_SAFE_INTEGER),
  );
  const from = fc.constantFrom('n1', 'n2', 'n3', 'n9');
  const envelope = {
    from,
    fromIncarnation: fc.constantFrom('n1-1', 'n2-1', 'n3-1', 'x'),
    to: fc.constant('n1'),
    term: counter,
  };
  const entry = fc.record({
    index: counter,
    term: counter,
    kind: fc.constantFrom(0, 1, 2, 3),
    payload: fc.uint8Array({ maxLength: 3 }),
  });
  const boolean = fc.boolean();
  const arbitraryMessage = fc.oneof(
    fc.record({
      ...envelope,
      type: fc.constant('requestVote'),
      preVote: boolean,
      lastLogIndex: counter,
      lastLogTerm: counter,
      leadershipTransfer: boolean,
      call: counter,
    }),
    fc.record({
      ...envelope,
      type: fc.constant('requestVoteResponse'),
      preVote: boolean,
      granted: boolean,
      removed: boolean,
      call: counter,
    }),
    fc.record({
      ...envelope,
      type: fc.constant('appendEntries'),
      previousIndex: counter,
      previousTerm: counter,
      entries: fc.array(entry, { maxLength: 3 }),
      commitIndex: counter,
    }),
    fc.record({
      ...envelope,
      type: fc.constant('appendEntriesResponse'),
      success: boolean,
      matchIndex: counter,
      rejectedIndex: counter,
      hintIndex: counter,
      hintTerm: counter,
    }),
    fc.record({ ...envelope, type: fc.constant('heartbeat'), round: counter, commitIndex: counter }),
    fc.record({ ...envelope, type: fc.constant('heartbeatResponse'), round: counter }),
    fc.record({
      ...envelope,
      type: fc.constant('installSnapshotResponse'),
      success: boolean,
      matchIndex: counter,
    }),
    fc.record({ ...envelope, type: fc.constant('timeoutNow') }),
    fc.record({
      ...envelope,
      type: fc.constant('installSnapshot'),
      snapshot: fc.record({ index: counter, term: counter, configuration: fc.constant(threeVoters) }),
    }),
  ) as fc.Arbitrary<unknown> as fc.Arbitrary<Message>;
  const role = fc.constantFrom<Role>('follower', 'preCandidate', 'candidate', 'leader');

  it('is survived in any role, in any order, and changes nothing where it is nonsense', () => {
    fc.assert(
      fc.property(
        role,
        fc.array(fc.tuple(arbitraryMessage, fc.nat(12)), { maxLength: 12 }),
        (start, messages) => {
          const raft = nodeInRole(start);
          for (const [next, ticks] of messages) {
            const before = raft.status();
            if (raft.step(next) !== null) expect(raft.status()).toEqual(before);
            expect(raft.commitIndex).toBeGreaterThanOrEqual(before.commitIndex);
            expect(raft.term).toBeLessThanOrEqual(before.term + TERM_JUMP_MAX + 1);
            runUntilQuiet(raft);
            for (let tick = 0; tick < ticks; tick += 1) raft.tick();
            runUntilQuiet(raft);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

/** Nothing of the node is other than it was, and it has nothing to do. */
function expectUnchanged(raft: Raft, before: RaftStatus): void {
  expect(raft.status()).toEqual(before);
  expect(raft.quarantine).toBeNull();
  expect(runUntilQuiet(raft).readies).toEqual([]);
}
