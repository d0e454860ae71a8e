/** What must come about comes about within this time wherever the machine gets to it at all. */
const PATIENCE_MS = 120_000;

let areFigures = true;

/** From now on, time limits only tell a cluster that is stuck from one that goes on, however slowly. */
export function lookAtSurvivalOnly(): void {
  areFigures = false;
}

/** How long to wait for what should take at most `ms` milliseconds on a machine that does nothing else. */
export function limit(ms: number): number {
  return areFigures ? ms : Math.max(ms, PATIENCE_MS);
}
