import type { Terminal } from './terminal.js';

/** A terminal's Ctrl-C reaches npm as well as its child, and npm passes it on: what arrives this soon is the same one. */
const sameSignalMs = 500;

/**
 * Calls `stop` at once where a signal arrived early, or at the first SIGTERM, SIGINT or SIGHUP, and `force` at another one after it. SIGHUP says that the terminal
 * is gone, so a program without a terminal ignores it: Node resets the signals that `nohup` has had ignored.
 *
 * @returns Takes the handlers away again.
 */
export function onStopSignals(
  {
    stdin,
    stdout,
    stderr,
    earlySignals = [],
  }: Pick<Terminal, 'stdin' | 'stdout' | 'stderr' | 'earlySignals'>,
  stop: (signal: NodeJS.Signals) => void,
  force: () => void,
): () => void {
  const hasTerminal = [stdin, stdout, stderr].some((stream) => stream.isTTY === true);
  let stoppedAtMs: number | undefined;
  const handle = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGHUP' && !hasTerminal) return;
    if (stoppedAtMs === undefined) {
      stoppedAtMs = performance.now();
      stop(signal);
    } else if (performance.now() - stoppedAtMs > sameSignalMs) {
      force();
    }
  };
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, handle);
  for (const signal of earlySignals) handle(signal);
  return () => {
    for (const signal of signals) process.off(signal, handle);
  };
}
