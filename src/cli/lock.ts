import { type ChildProcess, spawn } from 'node:child_process';
import { constants, hostname } from 'node:os';
import { type Command, Option } from 'commander';
import type { LockGuard } from '../client/index.js';
import { after, type Timer } from '../clock.js';
import { RaftkvError } from '../errors.js';
import {
  type ClientFlags,
  checkText,
  clientOf,
  parseTtl,
  parseWait,
  withClientFlags,
} from './client-command.js';
import type { Terminal } from './terminal.js';

interface LockFlags extends ClientFlags {
  /** In seconds. */
  readonly ttl: number;
  /** In seconds. */
  readonly wait?: number;
}

/**
 * How long a command that lost its lock may take to end before it is killed, as a part of the time to live. The lock counts
 * as lost after eight tenths of that, so the command is gone before anybody else can hold the lock.
 */
const killAfter = 0.1;

export function addLock(program: Command, terminal: Terminal): void {
  const command = program
    .command('lock')
    .summary('run a command while holding a lock')
    .description(
      'run a command while holding a lock. The command finds its fencing token in RAFTKV_LOCK_TOKEN, and is ended (SIGTERM, ' +
        'then SIGKILL) when the lock is lost; what it has started in its turn is for it to end. Exits as the command does; ' +
        'with 1 where another holds the lock',
    )
    .argument('<NAME>')
    .argument('<COMMAND...>', 'after --')
    .addOption(
      new Option('--ttl <DURATION>', 'how soon others get the lock when this program dies')
        .argParser(parseTtl)
        .default(30, '30s'),
    )
    .option('--wait <DURATION>', 'how long to wait while another holds it (default: not at all)', parseWait)
    // Whatever is wrong, it may be a part of the command that was read as one of this program.
    .showHelpAfterError(
      'raftkv: The command stands after --, as in: raftkv lock backup -- tar -czf backup.tgz data',
    );
  withClientFlags(command, 'raftkv lock backup --wait 10s -- /usr/local/bin/backup --all').action(
    async (name: string, words: readonly string[], flags: LockFlags) => {
      const { ttl: ttlSeconds, wait: waitSeconds } = flags;
      const guard = await clientOf(flags, terminal).lockGuard(checkText(name), {
        ttlSeconds,
        waitSeconds,
        value: `${hostname()} ${process.pid}`,
      });
      let code: number;
      try {
        code = await runUnder(guard, words, ttlSeconds * 1_000 * killAfter, terminal);
      } finally {
        // A lock that cannot be given back goes with its lease; what the command did counts.
        await guard.release().catch(() => {});
      }
      guard.signal.throwIfAborted();
      terminal.exit(code);
    },
  );
}

/** Resolves with the exit code of the command, as a shell gives it. */
async function runUnder(
  guard: LockGuard,
  [command = '', ...parameters]: readonly string[],
  killDelayMs: number,
  terminal: Terminal,
): Promise<number> {
  const child = spawn(command, parameters, {
    stdio: 'inherit',
    env: { ...terminal.environment, RAFTKV_LOCK_TOKEN: String(guard.token) },
  });
  const letGo = passSignalsOn(child, terminal);
  let killTimer: Timer | undefined;
  const end = (): void => {
    child.kill('SIGTERM');
    killTimer = after(killDelayMs, () => child.kill('SIGKILL'));
  };
  if (guard.held) guard.signal.addEventListener('abort', end);
  else end();
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', (error) => {
        reject(new RaftkvError('usage', `The command cannot be run: ${error.message}. Correct it.`));
      });
      child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? 'SIGTERM']));
    });
  } finally {
    killTimer?.cancel();
    letGo();
  }
}

/** Returns what ends it. */
function passSignalsOn(child: ChildProcess, terminal: Terminal): () => void {
  const handle = (signal: NodeJS.Signals): void => {
    // What is typed at a terminal reaches the command by itself.
    if (signal !== 'SIGINT' || terminal.stdin.isTTY !== true) child.kill(signal);
  };
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, handle);
  return () => {
    for (const signal of signals) process.off(signal, handle);
  };
}
