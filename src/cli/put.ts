import { validateHeaderValue } from 'node:http';
import type { Command } from 'commander';
import { RaftkvError } from '../errors.js';
import {
  type ClientFlags,
  checkText,
  clientOf,
  parseCount,
  parseTtl,
  withClientFlags,
} from './client-command.js';
import { readFile, readStandardInput } from './input.js';
import { printResult, showText, type Terminal } from './terminal.js';

interface PutFlags extends ClientFlags {
  readonly file?: string;
  readonly contentType?: string;
  readonly ifRevision?: number;
  readonly ifAbsent?: boolean;
  /** In seconds. */
  readonly ttl?: number;
  readonly lease?: string;
}

export function addPut(program: Command, terminal: Terminal): void {
  const command = program
    .command('put')
    .alias('set')
    .description('store a value: the argument, a file, or what arrives on standard input')
    .argument('<KEY>')
    .argument('[VALUE]', '- for standard input')
    .option('--file <FILE>', 'take the value from a file')
    .option(
      '--content-type <TYPE>',
      'the media type to keep with the value (default: application/octet-stream)',
    )
    .option('--if-revision <N>', 'only if the key has this revision', parseCount)
    .option('--if-absent', 'only if there is no such key')
    .option('--ttl <DURATION>', 'delete the key after this time', parseTtl)
    .option('--lease <ID>', 'delete the key when this lease ends');
  withClientFlags(
    command,
    'raftkv put greeting hello',
    'raftkv put session/7 "$(hostname)" --ttl 30s --if-absent',
  ).action(async (key: string, value: string | undefined, flags: PutFlags) => {
    const client = clientOf(flags, terminal);
    checkFlags(flags);
    const bytes = await readValue(value, flags.file, terminal);
    const { ttl: ttlSeconds, ifRevision, ifAbsent, lease, contentType } = flags;
    const options = { ttlSeconds, ifRevision, ifAbsent, lease, contentType };
    const result = await client.put(checkText(key), bytes, options);
    printResult(terminal, flags, result, () => {
      const withLease = result.lease === undefined ? '' : ` with lease ${result.lease}`;
      return `${showText(key)} ${result.created ? 'created' : 'replaced'} at revision ${result.revision}${withLease}`;
    });
  });
}

function checkFlags({ contentType, ifRevision, ifAbsent, ttl, lease }: PutFlags): void {
  if (ifRevision !== undefined && ifAbsent === true) {
    throw new RaftkvError('usage', '--if-revision and --if-absent exclude each other; give one of them.');
  }
  if (ttl !== undefined && lease !== undefined) {
    throw new RaftkvError('usage', '--ttl makes a lease of its own; give it or --lease, not both.');
  }
  try {
    // What cannot stand in a header at all; whether it is a media type, the server says.
    if (contentType !== undefined) validateHeaderValue('Content-Type', contentType);
  } catch {
    throw new RaftkvError(
      'usage',
      '--content-type holds a character that no header can. Correct it or leave it out.',
    );
  }
}

async function readValue(
  value: string | undefined,
  file: string | undefined,
  terminal: Terminal,
): Promise<Uint8Array | string> {
  if (file !== undefined) {
    if (value !== undefined) throw new RaftkvError('usage', 'Give the value or --file, not both.');
    return readFile(file);
  }
  if (value !== undefined && value !== '-') return checkText(value);
  if (value === undefined && terminal.stdin.isTTY === true) {
    throw new RaftkvError(
      'usage',
      'The value is missing. Give it after the key, or --file FILE, or - to type it.',
    );
  }
  const bytes = await readStandardInput(terminal);
  if (bytes.length > 0) return bytes;
  // Far more often the output of a command that failed than a value that somebody meant.
  throw new RaftkvError(
    'usage',
    "Standard input is empty, and nothing was changed. Give the value after the key; '' stores an empty one.",
  );
}
