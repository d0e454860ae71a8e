import type { Persist } from '../../src/raft/types.js';

/** A write to a log that does what is named, and nothing else. */
export const persist = (changes: Partial<Persist>): Persist => ({
  sequence: 1,
  hardState: null,
  snapshot: null,
  compact: null,
  truncateFrom: null,
  entries: [],
  ...changes,
});
