import { isUtf8 } from 'node:buffer';
import type { Command } from 'commander';
import { type ClientAnswer, call, keyPath } from './client.js';
import { type ClientFlags, clientOptions, parseCount, withClientFlags } from './client-command.js';
import { printLine, type Terminal } from './terminal.js';

/** How a read is to be done; shared by get and list. */
export interface ReadFlags {
  readonly revision?: number;
  readonly minRevision?: number;
  readonly stale?: boolean;
}

export function withReadFlags(command: Command): Command {
  return command
    .option('--revision <N>', 'read the store as it was at this revision', parseCount)
    .option('--min-revision <N>', 'wait until the node has this revision', parseCount)
    .option('--stale', 'what the node has at the moment, without asking the leader');
}

export function readQuery(flags: ReadFlags): Readonly<Record<string, string | undefined>> {
  return {
    revision: flags.revision?.toString(),
    minRevision: flags.minRevision?.toString(),
    consistency: flags.stale === true ? 'stale' : undefined,
  };
}

export function addGet(program: Command, terminal: Terminal): void {
  const command = program
    .command('get')
    .description('write the value of a key to standard output, byte for byte')
    .argument('<KEY>');
  withClientFlags(withReadFlags(command)).action(async (key: string, flags: ClientFlags & ReadFlags) => {
    const answer = await call(clientOptions(flags, terminal), {
      method: 'GET',
      path: keyPath(key),
      query: readQuery(flags),
    });
    if (flags.json === true) {
      printLine(terminal, JSON.stringify(itemOf(key, answer)));
      return;
    }
    terminal.stdout.write(answer.body);
    // A prompt on the same line would be mistaken for a part of the value; a pipe gets the value alone.
    if (terminal.stdout.isTTY === true) terminal.stdout.write('\n');
  });
}

function itemOf(key: string, answer: ClientAnswer): Readonly<Record<string, unknown>> {
  const { body, headers } = answer;
  return {
    key,
    ...(isUtf8(body) ? { value: body.toString('utf8') } : { valueBase64: body.toString('base64') }),
    modRevision: Number(headers.etag?.replaceAll('"', '')),
    contentType: headers['content-type'],
  };
}
