import { describe, expect, it } from 'vitest';
import { encodeConfiguration } from '../../src/raft/configuration.js';
import type { Raft } from '../../src/raft/raft.js';
import { type AppendEntries, type Entry, EntryKind, type Message } from '../../src/raft/types.js';
import {
  entryAt,
  memberCalled,
  message,
  nodeInRole,
  runUntilQuiet,
  startNode,
  threeVoters,
} from './core-kit.js';

/** What may not enter a log, because a node that has it could not apply it when it is committed. */

const bad = entryAt(2, 2, Uint8Array.of(0xff, 0xff, 0xff));
const refuseCommand = (payload: Uint8Array) => (payload[0] === 0xff ? 'The command is malformed.' : null);

const append = (content: Partial<AppendEntries> = {}): Message =>
  message('appendEntries', {
    term: 2,
    previousIndex: 1,
    previousTerm: 1,
    entries: [bad],
    commitIndex: 1,
    ...content,
  });
const heartbeat = message('heartbeat', { term: 2, round: 4, commitIndex: 1 });

const configurationEntry = (payload: Uint8Array): Entry => ({
  index: 2,
  term: 2,
  kind: EntryKind.configuration,
  payload,
});
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const [one, two, three] = threeVoters.members;
const valid = { version: 1, ...threeVoters };

describe('a follower', () => {
  const configurations: Readonly<Record<string, unknown>> = {
    'that is null': null,
    'with a null member': { ...valid, members: [one, two, three, null] },
    'with an object for an id': { ...valid, members: [one, two, { ...three, id: {} }] },
    'with a line break in an id': { ...valid, members: [one, two, three, { ...three, id: 'n4\n' }] },
    'with an address that is none': { ...valid, members: [one, two, { ...three, peerAddress: 'n3' }] },
    'with a URL that is none': {
      ...valid,
      members: [one, two, { ...three, clientUrl: 'javascript:alert(1)' }],
    },
    'with a member twice': { ...valid, members: [one, two, three, three] },
    'with a voter that is no member': { ...valid, voters: ['n1', 'n9'] },
    'with an object for a voter': { ...valid, voters: [{}] },
    'with a voter twice': { ...valid, voters: ['n1', 'n1'] },
    'with a learner that votes': { ...valid, learners: ['n1'] },
    'without voters': { ...valid, voters: [] },
    'of a later format': { ...valid, version: 2 },
  };
  const entries: readonly (readonly [string, Entry])[] = [
    ['a command that it cannot apply', bad],
    ['a no-op with bytes', { ...bad, kind: EntryKind.noop }],
    ...Object.entries(configurations).map(
      ([what, value]) => [`a configuration ${what}`, configurationEntry(json(value))] as const,
    ),
    ['a configuration of no JSON', configurationEntry(Uint8Array.of(0xff))],
  ];
  it.each(entries)('takes no append with %s', (_, entry) => {
    const raft = startNode({ term: 2, log: [1, 1], refuseCommand });
    raft.step(append({ entries: [entry] }));
    const { sent, readies } = runUntilQuiet(raft);
    expect(sent).toMatchObject([
      {
        type: 'appendEntriesResponse',
        success: false,
        matchIndex: 0,
        rejectedIndex: 0,
        refusal: expect.any(String),
      },
    ]);
    // Not even a conflict is repaired by it.
    expect([raft.lastIndex, raft.termAt(2)]).toEqual([2, 1]);
    expect(readies.every(({ persist }) => persist === null || persist.entries.length === 0)).toBe(true);
  });

  it('takes a sane configuration and an empty no-op', () => {
    const raft = startNode({ term: 2, refuseCommand });
    const noop = { index: 3, term: 2, kind: EntryKind.noop, payload: new Uint8Array(0) };
    raft.step(append({ entries: [configurationEntry(encodeConfiguration(threeVoters)), noop] }));
    expect(raft.lastIndex).toBe(3);
  });

  it('notices that it falls behind, so that it does not call itself ready', () => {
    const raft = startNode({ term: 2, refuseCommand });
    raft.step(append());
    raft.step(message('heartbeat', { term: 2, round: 4, commitIndex: 1, catchUpIndex: 900 }));
    expect(raft.catchUpIndex).toBe(900);
  });

  it('answers nothing of that leader until it takes an entry again', () => {
    const raft = startNode({ term: 2, refuseCommand });
    raft.step(append());
    runUntilQuiet(raft);
    raft.step(heartbeat);
    expect(runUntilQuiet(raft).sent).toEqual([]);
    // Neither an append that brings nothing nor one that follows the refused entry counts for the leader.
    raft.step(append({ entries: [] }));
    raft.step(append({ previousIndex: 2, previousTerm: 2, entries: [entryAt(3, 2)] }));
    expect(runUntilQuiet(raft).sent).toMatchObject(
      Array(2).fill({ success: false, refusal: 'An earlier append was refused.' }),
    );
    raft.step(append({ entries: [entryAt(2, 2)] }));
    raft.step(heartbeat);
    expect(runUntilQuiet(raft).sent).toMatchObject([
      { type: 'heartbeatResponse', round: 4 },
      { type: 'appendEntriesResponse', success: true, matchIndex: 2 },
    ]);
  });

  it('is told by the log once a term', () => {
    const raft = startNode({ term: 2, refuseCommand });
    raft.step(append());
    raft.step(append());
    const events = runUntilQuiet(raft).readies.flatMap((ready) => ready.events);
    expect(events.filter(({ name }) => name === 'appendRefused').map((event) => event.message)).toEqual([
      'An append of n2 is refused. Entry 2 of term 2 is refused. The command is malformed.',
    ]);
  });
});

describe('a leader', () => {
  const refusal = (from: string): Message =>
    message('appendEntriesResponse', {
      from,
      term: 2,
      success: false,
      matchIndex: 0,
      rejectedIndex: 0,
      hintIndex: 0,
      hintTerm: 0,
      refusal: 'The command is malformed.',
    });
  const stateOf = (raft: Raft) => raft.status().followers[0];

  it('takes a refusal neither for contact nor for a mismatch', () => {
    const raft = nodeInRole('leader');
    const before = stateOf(raft);
    raft.step(refusal('n2'));
    expect(stateOf(raft)).toEqual(before);
    expect(stateOf(raft)).toMatchObject({ lastContactTicks: null, recentlyActive: false });
  });

  it('that a majority refuses steps down', () => {
    const raft = nodeInRole('leader');
    for (let ticks = 0; ticks < 20 && raft.role === 'leader'; ticks += 1) {
      raft.tick();
      runUntilQuiet(raft);
      raft.step(refusal('n2'));
      raft.step(refusal('n3'));
    }
    expect(raft.role).toBe('follower');
    expect(raft.status().reason).toContain('No majority answered');
  });

  it('sends a follower that refused nothing more, until it answers a heartbeat', () => {
    const raft = nodeInRole('leader');
    raft.step(refusal('n2'));
    raft.propose([Uint8Array.of(1)]);
    const appends = () =>
      runUntilQuiet(raft).sent.filter(({ type, to }) => type === 'appendEntries' && to === 'n2');
    expect(appends()).toEqual([]);
    for (let ticks = 0; ticks < 2; ticks += 1) raft.tick();
    raft.step(message('heartbeatResponse', { term: 2, round: 1 }));
    expect(appends()).toHaveLength(1);
  });
});

describe('a leader', () => {
  it('proposes no configuration that its followers refuse, however it came by it', () => {
    const raft = nodeInRole('leader');
    raft.step(
      message('appendEntriesResponse', {
        term: 2,
        success: true,
        matchIndex: 2,
        rejectedIndex: 0,
        hintIndex: 0,
        hintTerm: 0,
      }),
    );
    runUntilQuiet(raft);
    const member = { ...memberCalled('n3'), clientUrl: 'http://n3:8000/evil' };
    expect(raft.proposeChange({ kind: 'updateMember', member })).toEqual({
      reason: 'invalid',
      detail: 'The configuration is malformed: it has a member whose client URL does not look like one.',
    });
    expect(raft.lastIndex).toBe(2);
  });
});
