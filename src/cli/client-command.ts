import { type Command, InvalidArgumentError, Option } from 'commander';
import { clientUrl } from '../addresses.js';
import { RaftkvClient } from '../client/index.js';
import { RaftkvError } from '../errors.js';
import { durationMs } from './durations.js';
import { nodeFetch } from './node-fetch.js';
import type { Terminal } from './terminal.js';

const endpointsDefault = 'http://127.0.0.1:8101,http://127.0.0.1:8102,http://127.0.0.1:8103';

/** The options that every client command has. */
export interface ClientFlags {
  readonly endpoints?: string;
  readonly json?: boolean;
  readonly timeout: number;
}

/** Gives a command the options of every client command, and shows in its help how it is used. */
export function withClientFlags(command: Command, ...examples: readonly string[]): Command {
  return command
    .option(
      '--endpoints <URL,…>',
      'nodes to ask, in turn (default: RAFTKV_ENDPOINTS, or ports 8101 to 8103 of 127.0.0.1)',
    )
    .addOption(
      new Option('--timeout <DURATION>', 'how long an answer may take')
        .argParser(parseTimeout)
        .default(5_000, '5s'),
    )
    .option('--json', 'print JSON, for programs')
    .addHelpText('after', ['', 'For example:', ...examples.map((example) => `  ${example}`)].join('\n'));
}

export function clientOf(
  flags: ClientFlags,
  terminal: Terminal,
  redirects?: 'follow' | 'never',
): RaftkvClient {
  const { RAFTKV_ENDPOINTS: fromEnvironment } = terminal.environment;
  // A variable that is set to nothing counts as not set.
  const endpoints = flags.endpoints ?? (fromEnvironment || endpointsDefault);
  return clientAt(parseEndpoints(endpoints), flags.timeout, redirects);
}

/**
 * Unless told otherwise, nodes do the work themselves, because their URLs may mean nothing here; and who waits at a terminal
 * hears at once that none runs.
 */
export function clientAt(
  endpoints: readonly string[],
  timeoutMs: number,
  redirects: 'follow' | 'never' = 'never',
): RaftkvClient {
  return new RaftkvClient({ endpoints, timeoutMs, fetch: nodeFetch, redirects, waitForNodes: false });
}

function parseEndpoints(text: string): readonly string[] {
  return text.split(',').map((part) => {
    const trimmed = part.trim();
    const endpoint = clientUrl(trimmed.includes('://') ? trimmed : `http://${trimmed}`);
    if (endpoint === undefined) {
      throw new RaftkvError(
        'usage',
        `The endpoint ${JSON.stringify(part)} is not one. Give URLs such as http://127.0.0.1:8101, separated by commas.`,
      );
    }
    if (endpoint.text.startsWith('https:')) {
      throw new RaftkvError('usage', `${endpoint.text}: only http:// is spoken. Correct --endpoints.`);
    }
    return endpoint.text;
  });
}

/** Throws `usage` where an argument was not text: Node has put U+FFFD in the place of what it was. */
export function checkText(text: string): string {
  if (text.includes('\ufffd')) {
    throw new RaftkvError(
      'usage',
      `${JSON.stringify(text)} was not UTF-8 as it was given, and would stand for other bytes. Give such a value by --file ` +
        'or on standard input; such a key needs the HTTP API, where it is percent-encoded: /v1/kv/%FF.',
    );
  }
  return text;
}

function parseTimeout(text: string): number {
  const milliseconds = durationMs(text);
  // What is no duration is NaN, which is not within any bounds.
  if (!(milliseconds >= 1 && milliseconds <= 3_600_000)) {
    throw new InvalidArgumentError('Give a duration from 1ms to 1h, such as 500ms or 5s.');
  }
  return milliseconds;
}

/** A time to live, in seconds. */
export function parseTtl(text: string): number {
  const seconds = durationMs(text) / 1_000;
  if (!(seconds >= 1 && seconds <= 31_536_000)) {
    throw new InvalidArgumentError('Give a duration from 1s to 8760h, such as 30s or 2h.');
  }
  return seconds;
}

/** How long to wait, in seconds; 0 is not to wait at all. */
export function parseWait(text: string): number {
  const milliseconds = durationMs(text);
  if (!(milliseconds <= 3_600_000)) {
    throw new InvalidArgumentError('Give a duration from 0s to 1h, such as 500ms or 10s.');
  }
  return milliseconds / 1_000;
}

/** Reads a whole number within bounds. */
export function wholeNumber(min: number, max?: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= (max ?? value)) return value;
    const bounds = max === undefined ? `of at least ${min}` : `from ${min} to ${max}`;
    throw new InvalidArgumentError(`Give a whole number ${bounds}.`);
  };
}

export const parseCount = wholeNumber(1);
/** 0 is the revision of the empty store. */
export const parseRevision = wholeNumber(0);
