import { runProgram } from './program.js';

// `raftkv list | head`: the reader has seen enough, which is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

const { stdin, stdout, stderr, env: environment } = process;
const exit = (code: number): void => process.exit(code);
// Set, not enforced: the process ends when its output is written.
process.exitCode = await runProgram(process.argv.slice(2), { stdin, stdout, stderr, environment, exit });
