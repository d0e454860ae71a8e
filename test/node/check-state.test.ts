import { describe, expect, it } from 'vitest';
import { checkStateAgainstLog } from '../../src/node/check-state.js';
import { entryAt } from '../raft/core-kit.js';

/** A log that was compacted up to index 5 of term 2, with the entries 6 and 7 of the terms 2 and 3. */
const log = {
  hardState: { term: 3 },
  compacted: { index: 5, term: 2 },
  entries: [entryAt(6, 2), entryAt(7, 3)],
};

const refuse = () => null;

describe('the state and the log of a data directory (row 23)', () => {
  it.each([
    [5, 2],
    [6, 2],
    [7, 3],
  ])('belong together when the state ends at index %i of term %i', (appliedIndex, appliedTerm) => {
    expect(() => checkStateAgainstLog({ appliedIndex, appliedTerm, refuse }, log)).not.toThrow();
  });

  it('belong together when both are new', () => {
    const young = { hardState: { term: 0 }, compacted: { index: 0, term: 0 }, entries: [] };
    expect(() => checkStateAgainstLog({ appliedIndex: 0, appliedTerm: 0, refuse }, young)).not.toThrow();
  });

  it.each([
    [4, 2, 'The log begins after index 5, but the state ends at index 4: a part'],
    [8, 3, 'The state holds index 8, but the log ends at index 7: a part'],
    [5, 1, 'index 5 with term 1, but the log has term 2 there: the two do not belong together'],
    [7, 2, 'index 7 with term 2, but the log has term 3 there: the two do not belong together'],
  ])('are refused when the state ends at index %i of term %i', (appliedIndex, appliedTerm, message) => {
    expect(() => checkStateAgainstLog({ appliedIndex, appliedTerm, refuse }, log)).toThrow(
      expect.objectContaining({ code: 'storage_damaged', message: expect.stringContaining(message) }),
    );
  });

  it('are refused when an entry that is not applied yet can never be', () => {
    const refuse = (payload: Uint8Array) => (payload[0] === 3 ? 'The command is malformed.' : null);
    expect(() => checkStateAgainstLog({ appliedIndex: 6, appliedTerm: 2, refuse }, log)).toThrow(
      expect.objectContaining({
        code: 'storage_unusable',
        message: expect.stringContaining(
          'Entry 7 of the log can never be applied here. The command is malformed.',
        ),
      }),
    );
    expect(() => checkStateAgainstLog({ appliedIndex: 7, appliedTerm: 3, refuse }, log)).not.toThrow();
  });

  it('are refused when no leader can emerge in the term of the log', () => {
    const beyond = { ...log, hardState: { term: Number.MAX_SAFE_INTEGER } };
    expect(() => checkStateAgainstLog({ appliedIndex: 7, appliedTerm: 3, refuse }, beyond)).toThrow(
      expect.objectContaining({ code: 'storage_damaged', message: expect.stringContaining('no election') }),
    );
  });
});
