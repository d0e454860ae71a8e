import type { Index } from '../raft/types.js';

/** How many entries back a digest is known; at 4 bytes each. */
const WINDOW_ENTRIES = 16_384;

/**
 * The digests of the state after each of the last entries that were applied, so that members can compare theirs at the same
 * index although they apply at different times.
 */
export class DigestWindow {
  private readonly digests = new Uint32Array(WINDOW_ENTRIES);
  /** The indexes from `first` to `last` are known; none while `last` is below `first`. */
  private first: Index = 1;
  private last: Index = 0;

  /** @param digest null for a state whose digest cannot be compared. */
  note(index: Index, digest: number | null): void {
    if (digest === null) {
      this.first = index + 1;
      this.last = index;
      return;
    }
    // The state was replaced by a snapshot, or this is the first entry.
    if (index !== this.last + 1) this.first = index;
    this.digests[index % WINDOW_ENTRIES] = digest;
    this.last = index;
    this.first = Math.max(this.first, index - WINDOW_ENTRIES + 1);
  }

  get firstIndex(): Index {
    return this.first;
  }

  /** The newest index whose digest is known, or undefined. */
  get lastIndex(): Index | undefined {
    return this.last < this.first ? undefined : this.last;
  }

  /** null where it is not known. */
  at(index: Index): number | null {
    if (index < this.first || index > this.last) return null;
    return this.digests[index % WINDOW_ENTRIES] ?? null;
  }
}
