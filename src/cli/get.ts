import { Buffer } from 'node:buffer';
import type { Command } from 'commander';
import type { Item, RaftkvClient, ReadOptions } from '../client/index.js';
import { type ClientFlags, checkText, clientOf, parseRevision, withClientFlags } from './client-command.js';
import { printLine, type Terminal } from './terminal.js';

/** How a read is to be done; shared by get, list and export. */
export interface ReadFlags {
  readonly revision?: number;
  readonly minRevision?: number;
  readonly stale?: boolean;
}

export function withReadFlags(command: Command): Command {
  return command
    .option(
      '--revision <N>',
      'read the store as it was at this revision (default: the newest)',
      parseRevision,
    )
    .option('--min-revision <N>', 'wait until the node has this revision', parseRevision)
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
      checkText(key);
      if (flags.json === true) {
        printLine(terminal, JSON.stringify(await itemOf(client, key, readOptions(flags))));
        return;
      }
      const entry = await client.get(key, { ...readOptions(flags), mustExist: true });
      terminal.stdout.write(entry.value);
      // A prompt on the same line would be mistaken for a part of the value; a pipe gets the value alone.
      if (terminal.stdout.isTTY === true) terminal.stdout.write('\n');
    },
  );
}

/** The item as it stands in all other JSON; the value alone says neither how old the key is nor whether it has a lease. */
async function itemOf(client: RaftkvClient, key: string, options: ReadOptions): Promise<Item> {
  // Of all keys that begin with a key, it is the first one.
  const { items, revision } = await client.list({ ...options, prefix: key, limit: 1 });
  const [item] = items;
  if (item !== undefined && Buffer.from(item.keyBytes).equals(Buffer.from(key))) return item;
  await client.get(key, { ...options, revision, mustExist: true });
  throw new Error('A key is there at a revision at which no listing has it.');
}
