/**
 * How much the state does in one step, after which others have their turn. Real nodes have {@link STEP_SIZES}. The simulator
 * draws smaller ones, so that a step ends within a revision, and entries are applied between two steps.
 */
export interface StepSizes {
  /** Keys that a walk finds: about a millisecond's work where each value is read as well. */
  readonly keys: number;
  /** Changes of the past: finding one out, and pruning one, costs up to a read from the disk. */
  readonly changes: number;
  /**
   * Changes that one flush prunes at least. A flush prunes twice as many as it brings, so that history shrinks faster than it
   * grows. What is left over waits for the next flush, which follows at once; until then it only takes room on disk.
   */
  readonly prunedChanges: number;
  /** Bytes at which a record of a journal is closed. One entry, with a key of at most 4 KiB, may exceed it. */
  readonly journalBytes: number;
  /** Bytes of a chunk of a snapshot. A record that is larger by itself makes a chunk of its own. */
  readonly chunkBytes: number;
  /** Bytes of a synced batch of a snapshot that arrives; no more of it is held in memory. */
  readonly batchBytes: number;
}

export const STEP_SIZES: StepSizes = {
  keys: 128,
  changes: 128,
  prunedChanges: 1000,
  journalBytes: 128 * 1024,
  chunkBytes: 256 * 1024,
  batchBytes: 4 * 1024 * 1024,
};
