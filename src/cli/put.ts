import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { validateHeaderValue } from 'node:http';
import type { Command } from 'commander';
import { RaftkvError } from '../errors.js';
import { bytesOfArgument, call, keyPath } from './client.js';
import {
  type ClientFlags,
  type ConditionFlags,
  clientOptions,
  conditionHeaders,
  parseCount,
  withClientFlags,
} from './client-command.js';
import { printLine, showText, type Terminal } from './terminal.js';

interface PutFlags extends ClientFlags, ConditionFlags {
  readonly file?: string;
  readonly contentType?: string;
}

export function addPut(program: Command, terminal: Terminal): void {
  const command = program
    .command('put')
    .description('store a value: the argument, a file, or what arrives on standard input')
    .argument('<KEY>')
    .argument('[VALUE]', '- for standard input')
    .option('--file <FILE>', 'take the value from a file')
    .option('--content-type <TYPE>', 'the media type to keep with the value')
    .option('--if-revision <N>', 'only if the key has this revision', parseCount)
    .option('--if-absent', 'only if there is no such key');
  withClientFlags(command).action(async (key: string, value: string | undefined, flags: PutFlags) => {
    const options = clientOptions(flags, terminal);
    const headers = {
      ...conditionHeaders(flags),
      ...(flags.contentType === undefined ? {} : { 'Content-Type': flags.contentType }),
    };
    checkHeader(flags.contentType);
    const body = await readValue(value, flags.file, terminal);
    const answer = await call(options, { method: 'PUT', path: keyPath(key), headers, body });
    const text = answer.body.toString('utf8');
    if (flags.json === true) {
      printLine(terminal, text);
      return;
    }
    const { revision, created }: { revision: number; created: boolean } = JSON.parse(text);
    printLine(terminal, `${showText(key)} ${created ? 'created' : 'replaced'} at revision ${revision}`);
  });
}

/** What cannot stand in a header at all; whether it is a media type, the server says. */
function checkHeader(contentType: string | undefined): void {
  try {
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
): Promise<Buffer> {
  if (file !== undefined) {
    if (value !== undefined) throw new RaftkvError('usage', 'Give the value or --file, not both.');
    try {
      return readFileSync(file);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new RaftkvError('usage', `The file cannot be read: ${reason}.`);
    }
  }
  if (value !== undefined && value !== '-') return bytesOfArgument(value);
  if (value === undefined && terminal.stdin.isTTY === true) {
    throw new RaftkvError(
      'usage',
      'The value is missing. Give it after the key, or --file FILE, or - to type it.',
    );
  }
  const chunks: Buffer[] = [];
  for await (const chunk of terminal.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
