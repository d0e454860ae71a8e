import { describe, expect, it } from 'vitest';
import { EntryKind, type Role } from '../../src/raft/types.js';
import { message, nodeInRole, runUntilQuiet } from './core-kit.js';

const roles: readonly Role[] = ['follower', 'preCandidate', 'candidate', 'leader'];

describe('quiet ticks', () => {
  it.each(roles)('of a %s have nothing to do, and the one after them has', (role) => {
    const raft = nodeInRole(role);
    runUntilQuiet(raft);
    const quiet = raft.quietTicks;
    for (let count = 1; count < quiet; count += 1) {
      raft.tick();
      expect(raft.hasReady(), `tick ${count} of ${quiet}`).toBe(false);
      expect(raft.quietTicks).toBe(quiet - count);
    }
    raft.tick();
    expect(raft.hasReady()).toBe(true);
  });

  it('of a follower begin anew when it hears its leader', () => {
    const raft = nodeInRole('follower');
    const before = raft.quietTicks;
    raft.tick();
    raft.step(message('heartbeat', { term: 2, round: 1, commitIndex: 1 }));
    expect(raft.quietTicks).toBe(before);
  });

  it('are over for a leader whose followers do not know of a commit', () => {
    const raft = nodeInRole('leader');
    raft.propose([Uint8Array.of(1)]);
    runUntilQuiet(raft);
    raft.step(
      message('appendEntriesResponse', {
        term: 2,
        success: true,
        matchIndex: 3,
        rejectedIndex: 0,
        hintIndex: 0,
        hintTerm: 0,
      }),
    );
    const { readies } = runUntilQuiet(raft);
    expect(readies.flatMap((ready) => ready.committed).map(({ kind }) => kind)).toContain(EntryKind.command);
    expect(raft.quietTicks).toBe(1);
    raft.tick();
    expect(runUntilQuiet(raft).sent.map(({ type }) => type)).toContain('heartbeat');
    expect(raft.quietTicks).toBe(1);
  });
});
