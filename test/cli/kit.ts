import { PassThrough, Readable } from 'node:stream';
import { runProgram } from '../../src/cli/program.js';
import type { StartNode } from '../../src/cli/serve.js';

export interface Ran {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

export interface RunOptions {
  readonly environment?: NodeJS.ProcessEnv;
  readonly input?: string;
  readonly terminal?: boolean;
  readonly start?: StartNode;
  /** What arrived before the program was loaded. */
  readonly earlySignals?: readonly NodeJS.Signals[];
}

/** Runs one command in this process and returns how it ended and what it wrote. */
export async function run(parameters: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { environment = {}, input = '', terminal = false, start, earlySignals = [] } = options;
  let output = '';
  let errors = '';
  let forced: number | undefined;
  const stdout = Object.assign(new PassThrough(), { isTTY: terminal });
  const stderr = Object.assign(new PassThrough(), { isTTY: terminal });
  stdout.on('data', (chunk) => {
    output += chunk.toString('latin1');
  });
  stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const stdin = Object.assign(Readable.from([Buffer.from(input, 'latin1')]), { isTTY: terminal });
  const exit = (code: number): void => {
    forced ??= code;
  };
  const streams = { stdin, stdout, stderr };
  const code = await runProgram(parameters, { ...streams, environment, earlySignals, exit }, start);
  await new Promise(setImmediate);
  return { code: forced ?? code, output, errors };
}
