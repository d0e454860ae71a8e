import { Command, CommanderError } from 'commander';
import { RaftkvClientError } from '../client/index.js';
import { RaftkvError } from '../errors.js';
import { printable } from '../text.js';
import { version } from '../version.js';
import { addBench } from './bench.js';
import { addCheck } from './check.js';
import { addCompletion } from './completion.js';
import { addAdd, addCompact } from './counter.js';
import { addDelete } from './delete.js';
import { addDev } from './dev.js';
import { addExport } from './export.js';
import { addGet } from './get.js';
import { addImport } from './import.js';
import { addLease } from './lease.js';
import { addList } from './list.js';
import { addLock } from './lock.js';
import { addLeader, addMember } from './member.js';
import { addPut } from './put.js';
import { addSecret } from './secret.js';
import { addServe, type StartNode, startServerOnDemand } from './serve.js';
import { addSim } from './sim.js';
import { addStatus } from './status.js';
import type { Terminal } from './terminal.js';
import { addTxn } from './txn.js';
import { addUpgrade } from './upgrade.js';
import { addWatch } from './watch.js';
import { inWords } from './words.js';

/** What a process of this program can end with. `tryAgain`: nothing was changed, and the same may work a moment later. */
export const exitCodes = {
  success: 0,
  refused: 1,
  usage: 2,
  unreachable: 3,
  outcomeUnknown: 4,
  tryAgain: 5,
} as const;

/** The command line. It never ends the process: {@link runProgram} says how it ended. */
export function buildProgram(terminal: Terminal, start: StartNode = startServerOnDemand): Command {
  const program = new Command('raftkv')
    .description('a replicated key-value store you can curl')
    .version(version, '-V, --version', 'print the version of this program')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
      outputError: (text, write) => write(inOurWords(text)),
    })
    // Further names of a command are for those who know it under another one; the help shows one of them.
    .configureHelp({ subcommandTerm: termOf })
    .showSuggestionAfterError();
  addServe(program, terminal, start);
  addDev(program, terminal);
  addPut(program, terminal);
  addGet(program, terminal);
  addAdd(program, terminal);
  addDelete(program, terminal);
  addList(program, terminal);
  addWatch(program, terminal);
  addTxn(program, terminal);
  addLease(program, terminal);
  addLock(program, terminal);
  addExport(program, terminal);
  addImport(program, terminal);
  addCompact(program, terminal);
  addStatus(program, terminal);
  addMember(program, terminal);
  addUpgrade(program, terminal);
  addLeader(program, terminal);
  addBench(program, terminal);
  addSecret(program, terminal);
  addCheck(program, terminal);
  addSim(program, terminal);
  addCompletion(program, terminal);
  return program;
}

/**
 * Runs one command and returns the exit code. A failure is one clear line on standard error; what a server said, and what
 * kept it from answering, is a problem document there with `--json`, so that programs read its code.
 */
export async function runProgram(
  parameters: readonly string[],
  terminal: Terminal,
  start?: StartNode,
): Promise<number> {
  let json = false;
  let name = '';
  try {
    const program = buildProgram(terminal, start);
    program.hook('preAction', (_, command) => {
      json = command.opts<{ readonly json?: boolean }>().json === true;
      name = nameOf(command);
    });
    await program.parseAsync([...parameters], { from: 'user' });
    return exitCodes.success;
  } catch (error) {
    // Commander has printed its own, and the help that was asked for is no failure.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.success : exitCodes.usage;
    const problem = json ? problemOf(error, name) : undefined;
    if (problem !== undefined) {
      // Characters that steer a terminal stand in JSON as they are, from U+0080 on.
      const text = JSON.stringify(problem);
      terminal.stderr.write(`${terminal.stderr.isTTY === true ? printable(text) : text}\n`);
    } else {
      for (const line of describe(error, name).split('\n'))
        terminal.stderr.write(`raftkv: ${printable(line)}\n`);
    }
    return exitCodeOf(error);
  }
}

/** What commander says about wrong usage. */
function inOurWords(text: string): string {
  return text
    .replace(/^error: /, 'raftkv: ')
    .replace(
      /command-argument value '(.*)' is invalid for argument '(.*?)'\./s,
      "the argument $2 is invalid: '$1'.",
    );
}

/** Its own name after those of the commands above it: `member add`. */
function nameOf(command: Command): string {
  const above = command.parent?.parent == null ? '' : `${nameOf(command.parent)} `;
  return above + command.name();
}

function termOf(command: Command): string {
  const rest = command.usage();
  return rest === '' ? command.name() : `${command.name()} ${rest}`;
}

function problemOf(error: unknown, command: string): Readonly<Record<string, unknown>> | undefined {
  if (!(error instanceof RaftkvClientError)) return undefined;
  return error.code === 'unreachable'
    ? { ...error.problem, detail: describe(error, command) }
    : error.problem;
}

function describe(error: unknown, command: string): string {
  if (error instanceof RaftkvClientError) {
    return error.code === 'unreachable'
      ? `${error.message} Start one, or name them with --endpoints or RAFTKV_ENDPOINTS.`
      : `${inWords(error, command)} (${error.code})`;
  }
  if (error instanceof RaftkvError) return error.message;
  // A mistake of this program: whoever reports it needs the place.
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function exitCodeOf(error: unknown): number {
  // `raftkv check` tells a directory that it could not look at from one that is damaged.
  if (error instanceof RaftkvError && ['usage', 'not_checked'].includes(error.code)) return exitCodes.usage;
  if (!(error instanceof RaftkvClientError)) return exitCodes.refused;
  if (error.code === 'unreachable') return exitCodes.unreachable;
  // Not a no: a script that takes it for one would write again what may be written.
  if (error.code === 'outcome_unknown') return exitCodes.outcomeUnknown;
  // Not a no either: the cluster could not say yes at this moment.
  if (error.status === 503) return exitCodes.tryAgain;
  return exitCodes.refused;
}
