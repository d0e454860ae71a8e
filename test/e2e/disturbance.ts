/** A machine that keeps an idle process from its turn for longer kept the nodes from theirs. */
export const HELD_UP_MS = 50;
const EVERY_MS = 10;

/**
 * Watches whether the machine gives this process, which does next to nothing, its turn on time. Where it does not, a time
 * that is measured meanwhile says something about the machine and nothing about the product.
 *
 * @returns Ends the watch, and says how late this process got its turn at worst, in milliseconds.
 */
export function watchMachine(): () => number {
  let longestMs = 0;
  let expectedAt = performance.now() + EVERY_MS;
  const look = () => {
    longestMs = Math.max(longestMs, performance.now() - expectedAt);
    expectedAt = performance.now() + EVERY_MS;
  };
  const timer = setInterval(look, EVERY_MS);
  return () => {
    clearInterval(timer);
    look();
    return longestMs;
  };
}
