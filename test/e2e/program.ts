import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PATIENCE_MS } from './wait.js';

/** The checkout. This file is used as it is, and compiled elsewhere by the tester of faults. */
const root = rootAbove(dirname(fileURLToPath(import.meta.url)));
/** The program of this checkout. */
export const currentProgram = join(root, 'bin/raftkv.js');
const built = join(root, 'dist/cli/main.js');

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ProgramOptions {
  /** For the runtime, such as `--max-old-space-size=256`. */
  readonly runtimeFlags?: readonly string[];
  /** The `bin/raftkv.js` to run; that of this checkout unless given. */
  readonly program?: string;
  readonly environment?: NodeJS.ProcessEnv;
  readonly workingDirectory?: string;
  /** Takes standard output and standard error in place of `output` and `errors`. */
  readonly outputDescriptor?: number;
  /** A command that runs the program in its own place, such as one that enters a network namespace. */
  readonly launcher?: readonly string[];
}

/** One process of the built program, with everything that it wrote. */
export class ProgramRun {
  output = '';
  errors = '';
  /** How it ended; undefined while it runs. */
  exit: Exit | undefined;
  readonly exited: Promise<Exit>;
  private readonly child: ChildProcess;

  constructor(parameters: readonly string[], options: ProgramOptions = {}) {
    if (!existsSync(built)) throw new Error('These tests run what is built: npm run build.');
    const { runtimeFlags = [], environment = {}, workingDirectory, launcher = [] } = options;
    const output = options.outputDescriptor ?? 'pipe';
    const script = options.program ?? currentProgram;
    const [command = '', ...rest] = [...launcher, process.execPath, ...runtimeFlags, script, ...parameters];
    this.child = spawn(command, rest, {
      // Over the channel a node notices that whoever started it is gone, so that none outlives an interrupted test.
      stdio: ['ignore', output, output, 'ipc'],
      env: { ...cleanEnvironment(), ...environment },
      ...(workingDirectory === undefined ? {} : { cwd: workingDirectory }),
    });
    this.child.stdout?.on('data', (chunk) => {
      this.output += chunk;
    });
    this.child.stderr?.on('data', (chunk) => {
      this.errors += chunk;
    });
    this.exited = new Promise((resolve) => {
      // 'close' comes after the streams have ended, so that the last words are there.
      this.child.on('close', (code, signal) => {
        this.exit = { code, signal };
        resolve(this.exit);
      });
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Nobody reads what it writes from now on, as when the reader of a pipe has ended. */
  closeOutput(): void {
    this.child.stdout?.destroy();
    this.child.stderr?.destroy();
  }

  signal(signal: NodeJS.Signals): void {
    if (this.exit === undefined) this.child.kill(signal);
  }

  /** As a power failure would end it. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  /** How it ended; throws when that takes longer. */
  async ended(timeoutMs = PATIENCE_MS): Promise<Exit> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`The process did not end in ${timeoutMs} ms.`)), timeoutMs);
    });
    try {
      return await Promise.race([this.exited, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Runs the program to its end. */
export async function runToEnd(
  parameters: readonly string[],
  options: ProgramOptions & { readonly timeoutMs?: number } = {},
): Promise<ProgramRun> {
  const run = new ProgramRun(parameters, options);
  try {
    await run.ended(options.timeoutMs);
  } finally {
    await run.kill();
  }
  return run;
}

function rootAbove(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : rootAbove(dirname(directory));
}

/** What the test runner put there for itself, and settings meant for somebody's own node, stay out. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(RAFTKV_|VITEST|NODE_)/.test(name)),
  );
}
