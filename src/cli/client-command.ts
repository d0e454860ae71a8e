import { type Command, InvalidArgumentError } from 'commander';
import { RaftkvError } from '../errors.js';
import { type ClientOptions, endpointsDefault, parseEndpoints } from './client.js';
import type { Terminal } from './terminal.js';

/** The options that every client command has. */
export interface ClientFlags {
  readonly endpoints?: string;
  readonly json?: boolean;
  readonly timeout: number;
}

/** Gives a command the options of every client command. */
export function withClientFlags(command: Command): Command {
  return command
    .option('--endpoints <URL,…>', 'nodes to ask, in turn (or RAFTKV_ENDPOINTS)')
    .option('--timeout <DURATION>', 'how long one node may take', parseTimeout, 5_000)
    .option('--json', 'print JSON, for programs');
}

export function clientOptions(flags: ClientFlags, terminal: Terminal): ClientOptions {
  const { RAFTKV_ENDPOINTS: fromEnvironment } = terminal.environment;
  // A variable that is set to nothing counts as not set.
  const endpoints = flags.endpoints ?? (fromEnvironment || endpointsDefault);
  return { endpoints: parseEndpoints(endpoints), timeoutMs: flags.timeout };
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function parseTimeout(text: string): number {
  const match = /^(\d{1,7})(ms|s|m|h)$/.exec(text);
  const milliseconds = Number(match?.[1] ?? 0) * (unitMs[match?.[2] ?? ''] ?? 0);
  if (milliseconds < 1 || milliseconds > 3_600_000) {
    throw new InvalidArgumentError('Give a duration from 1ms to 1h, such as 500ms or 5s.');
  }
  return milliseconds;
}

export function parseCount(text: string): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (value < 1) throw new InvalidArgumentError('Give a whole number of at least 1.');
  return value;
}

/** The conditions that a write can carry, as flags. */
export interface ConditionFlags {
  readonly ifRevision?: number;
  readonly ifAbsent?: boolean;
}

export function conditionHeaders(flags: ConditionFlags): Readonly<Record<string, string>> {
  if (flags.ifRevision !== undefined && flags.ifAbsent === true) {
    throw new RaftkvError('usage', '--if-revision and --if-absent exclude each other; give one of them.');
  }
  if (flags.ifRevision !== undefined) return { 'If-Match': `"${flags.ifRevision}"` };
  return flags.ifAbsent === true ? { 'If-None-Match': '*' } : {};
}
