import { Buffer, isUtf8 } from 'node:buffer';
import type { Command } from 'commander';
import type { Entry, ReadOptions } from '../client/index.js';
import { type ClientFlags, checkText, clientOf, parseCount, withClientFlags } from './client-command.js';
import { printLine, type Terminal } from './terminal.js';

/** How a read is to be done; shared by get, list and export. */
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

export function readOptions({ revision, minRevision, stale }: ReadFlags): ReadOptions {
  return { revision, minRevision, consistency: stale === true ? 'stale' : undefined };
}

export function addGet(program: Command, terminal: Terminal): void {
  const command = program
    .command('get')
    .description('write the value of a key to standard output, byte for byte')
    .argument('<KEY>');
  withClientFlags(withReadFlags(command), 'raftkv get greeting', 'raftkv get greeting --revision 7').action(
    async (key: string, flags: ClientFlags & ReadFlags) => {
      const client = clientOf(flags, terminal);
      const entry = await client.get(checkText(key), { ...readOptions(flags), mustExist: true });
      if (flags.json === true) {
        printLine(terminal, JSON.stringify(itemOf(key, entry)));
        return;
      }
      terminal.stdout.write(entry.value);
      // A prompt on the same line would be mistaken for a part of the value; a pipe gets the value alone.
      if (terminal.stdout.isTTY === true) terminal.stdout.write('\n');
    },
  );
}

function itemOf(key: string, entry: Entry): Readonly<Record<string, unknown>> {
  const { modRevision, contentType } = entry;
  const value = Buffer.from(entry.value);
  return {
    key,
    ...(isUtf8(value) ? { value: value.toString('utf8') } : { valueBase64: value.toString('base64') }),
    modRevision,
    contentType,
  };
}
