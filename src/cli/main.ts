import { runProgram } from './program.js';
import { endWithOutput, type Terminal } from './terminal.js';

/** What Node ends with when nothing is left that could settle a promise on which a module waits. */
const unsettledExitCode = 13;

/**
 * Runs the command that this process was started with.
 *
 * @param earlySignals The signals to stop that arrived before anything was loaded; more may join them.
 */
export async function main(earlySignals: readonly NodeJS.Signals[]): Promise<void> {
  const { stdin, stdout, stderr, env: environment } = process;
  const exit = (code: number): void => process.exit(code);
  const terminal: Terminal = { stdin, stdout, stderr, environment, earlySignals, exit };
  endWithOutput(terminal);
  // A command that nothing can finish any more has not succeeded.
  process.exitCode = unsettledExitCode;
  const exitCode = await runProgram(process.argv.slice(2), terminal);
  process.exitCode = exitCode;
  // After a failure nothing is left to do, and a server that did not start may have left something behind that would hold
  // the process. After a success it ends by itself, when its output is written.
  if (exitCode !== 0) exit(exitCode);
}
