import { runProgram } from './program.js';
import { endWithOutput, type Terminal } from './terminal.js';

const { stdin, stdout, stderr, env: environment } = process;
const exit = (code: number): void => process.exit(code);
const terminal: Terminal = { stdin, stdout, stderr, environment, exit };
endWithOutput(terminal);
const exitCode = await runProgram(process.argv.slice(2), terminal);
// After a failure nothing is left to do, and a server that did not start may have left something behind that would hold
// the process. After a success it ends by itself, when its output is written.
if (exitCode !== 0) exit(exitCode);
