import { PATIENCE_MS } from '../e2e/wait.js';

let areFigures = true;

/** From now on, time limits only tell a cluster that is stuck from one that goes on, however slowly. */
export function lookAtSurvivalOnly(): void {
  areFigures = false;
}

/** How long to wait for what should take at most `ms` milliseconds on a machine that does nothing else. */
export function limit(ms: number): number {
  return areFigures ? ms : Math.max(ms, PATIENCE_MS);
}
