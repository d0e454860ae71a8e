import { describe, expect, it } from 'vitest';
import type { Message } from '../../src/raft/types.js';
import { message, nodeInRole, runUntilQuiet } from './core-kit.js';

const acknowledgement = (from: string, matchIndex: number) =>
  message('appendEntriesResponse', {
    from,
    term: 2,
    success: true,
    matchIndex,
    rejectedIndex: 0,
    hintIndex: 0,
    hintTerm: 0,
  });

describe('a member that was removed and is not told yet (rows 16 and 17)', () => {
  /** What the next heartbeat tells n2 of the commit index after n2 was removed and somebody of its name answered. */
  function toldAfter(incarnation: string): number {
    const raft = nodeInRole('leader');
    raft.step(acknowledgement('n3', 2));
    runUntilQuiet(raft);
    raft.proposeChange({ kind: 'remove', id: 'n2' });
    runUntilQuiet(raft);
    raft.step(acknowledgement('n3', 3));
    runUntilQuiet(raft);
    raft.step({ ...acknowledgement('n2', 3), fromIncarnation: incarnation } as Message);
    const sent = [...runUntilQuiet(raft).sent];
    for (let tick = 0; tick < 2; tick += 1) {
      raft.tick();
      sent.push(...runUntilQuiet(raft).sent);
    }
    const heartbeats = sent.filter((one) => one.type === 'heartbeat' && one.to === 'n2');
    expect(heartbeats.length).toBeGreaterThan(0);
    return Math.max(...heartbeats.map((one) => (one.type === 'heartbeat' ? one.commitIndex : 0)));
  }

  it('answers as the incarnation that it was', () => {
    expect(toldAfter('n2-1')).toBe(3);
  });

  it('is not spoken for by an earlier machine of its name, whose log is another (seed 3804)', () => {
    expect(toldAfter('n2-0')).toBe(0);
  });
});
