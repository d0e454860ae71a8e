const EVERY_MS = 10;
/** Timers are this late on a machine that has time for this process. */
const USUAL_LATENESS_MS = 5;

/** How much of some time this process did not get when it asked for it. */
export interface Disturbance {
  readonly lostMs: number;
  readonly longestMs: number;
}

/**
 * Watches whether the machine gives this process, which does next to nothing, its turn on time. Where it does not, a time
 * that is measured meanwhile says something about the machine and nothing about the product.
 */
export function watchMachine(): () => Disturbance {
  let lostMs = 0;
  let longestMs = 0;
  let expectedAt = performance.now() + EVERY_MS;
  const timer = setInterval(() => {
    const lateMs = performance.now() - expectedAt;
    expectedAt = performance.now() + EVERY_MS;
    if (lateMs <= USUAL_LATENESS_MS) return;
    lostMs += lateMs;
    longestMs = Math.max(longestMs, lateMs);
  }, EVERY_MS);
  return () => {
    clearInterval(timer);
    const pendingMs = performance.now() - expectedAt;
    if (pendingMs > USUAL_LATENESS_MS) lostMs += pendingMs;
    return { lostMs, longestMs: Math.max(longestMs, pendingMs) };
  };
}
