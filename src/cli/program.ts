import { Command, CommanderError } from 'commander';
import { RaftkvError } from '../errors.js';
import { RefusedError, UnreachableError } from './client.js';
import { addDelete } from './delete.js';
import { addDev } from './dev.js';
import { addGet } from './get.js';
import { addList } from './list.js';
import { addLeader, addMember } from './member.js';
import { addPut } from './put.js';
import { addServe, type StartNode, startServerOnDemand } from './serve.js';
import { addSim } from './sim.js';
import { addStatus } from './status.js';
import type { Terminal } from './terminal.js';

/** What a process of this program can end with. */
export const exitCodes = { success: 0, refused: 1, usage: 2, unreachable: 3 } as const;

/** The command line. It never ends the process: {@link runProgram} says how it ended. */
export function buildProgram(terminal: Terminal, start: StartNode = startServerOnDemand): Command {
  const program = new Command('raftkv')
    .description('a replicated key-value store you can curl')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'raftkv: ')),
    })
    .showSuggestionAfterError();
  addServe(program, terminal, start);
  addDev(program, terminal);
  addPut(program, terminal);
  addGet(program, terminal);
  addDelete(program, terminal);
  addList(program, terminal);
  addStatus(program, terminal);
  addMember(program, terminal);
  addLeader(program, terminal);
  addSim(program, terminal);
  return program;
}

/** Runs one command and returns the exit code; a failure is one clear line on standard error. */
export async function runProgram(
  parameters: readonly string[],
  terminal: Terminal,
  start?: StartNode,
): Promise<number> {
  try {
    await buildProgram(terminal, start).parseAsync([...parameters], { from: 'user' });
    return exitCodes.success;
  } catch (error) {
    // Commander has printed its own, and the help that was asked for is no failure.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.success : exitCodes.usage;
    for (const line of describe(error).split('\n')) terminal.stderr.write(`raftkv: ${line}\n`);
    return exitCodeOf(error);
  }
}

function describe(error: unknown): string {
  if (error instanceof RaftkvError || error instanceof RefusedError || error instanceof UnreachableError) {
    return error.message;
  }
  // A mistake of this program: whoever reports it needs the place.
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof RaftkvError && error.code === 'usage') return exitCodes.usage;
  return error instanceof UnreachableError ? exitCodes.unreachable : exitCodes.refused;
}
