/** A terminal's Ctrl-C reaches npm as well as its child, and npm passes it on: what arrives this soon is the same one. */
const sameSignalMs = 500;

/**
 * Calls `stop` at the first SIGTERM, SIGINT or SIGHUP, and `force` at another one after it.
 *
 * @returns Takes the handlers away again.
 */
export function onStopSignals(stop: (signal: NodeJS.Signals) => void, force: () => void): () => void {
  let stoppedAtMs: number | undefined;
  const handle = (signal: NodeJS.Signals): void => {
    if (stoppedAtMs === undefined) {
      stoppedAtMs = performance.now();
      stop(signal);
    } else if (performance.now() - stoppedAtMs > sameSignalMs) {
      force();
    }
  };
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, handle);
  return () => {
    for (const signal of signals) process.off(signal, handle);
  };
}
