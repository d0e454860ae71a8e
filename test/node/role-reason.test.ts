import { describe, expect, it } from 'vitest';
import { RoleReason } from '../../src/node/role-reason.js';

describe('why a node has its role', () => {
  it('is what changed it last, and for one that was removed, that it was', () => {
    const reason = new RoleReason();
    const note = (name: Parameters<RoleReason['note']>[0]['name'], message: string, isRemoved = false) => {
      reason.note({ name, term: 1, message }, isRemoved);
      return reason.text;
    };
    expect(reason.text).toBe('This node has just started.');
    expect(note('becameFollower', 'n2 leads.')).toBe('n2 leads.');
    expect(note('votedFor', 'Voted for n3.')).toBe('n2 leads.');
    expect(note('removed', 'This node was removed.', true)).toBe('This node was removed.');
    // Who leads now tells it so, which is no reason for what it is.
    expect(note('becameFollower', 'n3 leads.', true)).toBe('This node was removed.');
    expect(note('becameFollower', 'It is back, and n3 leads.')).toBe('It is back, and n3 leads.');
  });
});
