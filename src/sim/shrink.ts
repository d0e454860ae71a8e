import type { Report } from './simulation.js';

/** A failure with as few faults as were found to bring it about. */
export interface Shrunk {
  readonly report: Report;
  /** The numbers of the faults that are left. */
  readonly faults: readonly number[];
  readonly runCount: number;
}

/** A run takes a tenth of a second. */
const RUNS_MAX = 200;

/**
 * Leaves out faults, first many at once and then one after the other, as long as the same property is violated (after Zeller and
 * Hildebrandt, "Simplifying and isolating failure-inducing input", 2002). Resolves with null when nothing fails.
 */
export async function shrink(
  run: (faults: readonly number[] | undefined) => Promise<Report>,
): Promise<Shrunk | null> {
  const first = await run(undefined);
  if (first.failure === null) return null;
  let faults = Array.from({ length: first.faultCount }, (_, at) => at + 1);
  let report = first;
  let runCount = 1;
  for (let size = faults.length; size >= 1 && runCount < RUNS_MAX; ) {
    let hasShrunk = false;
    for (let at = 0; at < faults.length && runCount < RUNS_MAX; ) {
      const fewer = [...faults.slice(0, at), ...faults.slice(at + size)];
      const attempt = await run(fewer);
      runCount += 1;
      if (attempt.failure !== null && attempt.property === first.property) {
        // What would have come after the failure is of no use either.
        faults = fewer.filter((fault) => fault <= attempt.faultCount);
        report = attempt;
        hasShrunk = true;
      } else {
        at += size;
      }
    }
    // One that could not be left out before may have become useless.
    if (size > 1 || !hasShrunk) size = Math.floor(size / 2);
  }
  return { report, faults, runCount };
}
