import { assert } from '../assert.js';
import type { Entry, Index, Term } from '../raft/types.js';

/**
 * The terms of a log as runs of equal terms, of which there are as many as there were elections that left entries:
 * the log's store needs terms long after it has forgotten the entries.
 */
export class TermRuns {
  /** Ascending in both fields. The first run begins at the compacted point. */
  #runs: { readonly from: Index; readonly term: Term }[];

  /** A log without entries after this point. */
  constructor(index: Index, term: Term) {
    this.#runs = [{ from: index, term }];
  }

  /** The term at an index at or after the compacted point and not beyond the end, which the caller knows. */
  at(index: Index): Term {
    const run = this.#runs.findLast((candidate) => candidate.from <= index);
    assert(run !== undefined, `The term of index ${index} is not known any more.`);
    return run.term;
  }

  /** Begins anew, without entries after this point. */
  reset(index: Index, term: Term): void {
    this.#runs = [{ from: index, term }];
  }

  /** Adds entries that follow the last one. */
  append(entries: readonly Entry[]): void {
    let last = this.#runs[this.#runs.length - 1]?.term ?? 0;
    for (const entry of entries) {
      if (entry.term === last) continue;
      assert(
        entry.term > last,
        `Terms never go back: entry ${entry.index} has term ${entry.term} after ${last}.`,
      );
      last = entry.term;
      this.#runs.push({ from: entry.index, term: last });
    }
  }

  /** Forgets everything from this index on. */
  truncateFrom(index: Index): void {
    while ((this.#runs[this.#runs.length - 1]?.from ?? 0) >= index && this.#runs.length > 1) this.#runs.pop();
  }

  /** Forgets what is before this index, whose own term stays known. */
  compact(index: Index): void {
    while (this.#runs.length > 1 && (this.#runs[1]?.from ?? index + 1) <= index) this.#runs.shift();
  }
}
