import { runProgram } from './program.js';

// `raftkv list | head`: the reader has seen enough, which is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

const { stdin, stdout, stderr, env: environment } = process;
const exit = (code: number): void => process.exit(code);
const exitCode = await runProgram(process.argv.slice(2), { stdin, stdout, stderr, environment, exit });
// After a failure nothing is left to do, and a server that did not start may have left something behind that would hold
// the process. After a success it ends by itself, when its output is written.
if (exitCode !== 0) exit(exitCode);
