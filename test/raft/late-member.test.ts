import { describe, expect, it } from 'vitest';
import { memberCalled, message, nodeInRole, runUntilQuiet } from './core-kit.js';

describe('a member that was added by hand before it started (row 11)', () => {
  it('gets its snapshot when it answers, because nobody may be there yet to take one', () => {
    const raft = nodeInRole('leader');
    const acknowledge = () => {
      const matchIndex = raft.lastIndex;
      const answer = { matchIndex, success: true, rejectedIndex: 0, hintIndex: 0, hintTerm: 0 };
      raft.step(message('appendEntriesResponse', { term: 2, ...answer }));
      return runUntilQuiet(raft);
    };
    const requested = (readies: ReturnType<typeof runUntilQuiet>['readies']) =>
      readies.flatMap((ready) => ready.snapshotRequests.map((request) => request.to));
    acknowledge();
    raft.proposeChange({ kind: 'addLearner', member: memberCalled('n4', '') });
    acknowledge();
    raft.propose([Uint8Array.of(1), Uint8Array.of(2)]);
    acknowledge();
    raft.compact(raft.lastIndex);

    // It says who it is, and is not ready for anything else.
    raft.proposeChange({ kind: 'updateMember', member: memberCalled('n4') });
    expect(requested(acknowledge().readies)).toEqual([]);
    for (let tick = 0; tick < 4; tick += 1) raft.tick();
    expect(requested(runUntilQuiet(raft).readies)).toEqual([]);
    raft.step(message('heartbeatResponse', { from: 'n4', term: 2, round: 1 }));
    expect(requested(runUntilQuiet(raft).readies)).toEqual(['n4']);
  });
});
