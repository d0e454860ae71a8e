import type { Command } from 'commander';
import type { WatchEvent } from '../client/index.js';
import { RaftkvError } from '../errors.js';
import { type ClientFlags, checkText, clientOf, parseCount, withClientFlags } from './client-command.js';
import { nameOf, showName, showValue } from './show-item.js';
import { type Terminal, write } from './terminal.js';

interface WatchFlags extends ClientFlags {
  readonly prefix?: string;
  readonly fromRevision?: number;
  readonly previous?: boolean;
}

export function addWatch(program: Command, terminal: Terminal): void {
  const command = program
    .command('watch')
    .description('follow the changes of a key, or of every key with a prefix, until it is interrupted')
    .argument('[KEY]')
    .option('--prefix <PREFIX>', 'every key that starts with it; all keys where it is empty')
    .option(
      '--from-revision <N>',
      'begin with the changes of this revision (default: the next change)',
      parseCount,
    )
    .option('--previous', 'with --json, also give what was there before');
  withClientFlags(
    command,
    'raftkv watch greeting',
    'raftkv watch --prefix config/ --from-revision 7 --json',
  ).action(async (key: string | undefined, flags: WatchFlags) => {
    const { prefix, fromRevision, previous } = flags;
    if ((key === undefined) === (prefix === undefined)) {
      throw new RaftkvError('usage', 'Give a key or --prefix, one of them.');
    }
    const events = clientOf(flags, terminal).watch({
      key: key === undefined ? undefined : checkText(key),
      prefix: prefix === undefined ? undefined : checkText(prefix),
      fromRevision,
      previous,
    });
    const line = flags.json === true ? forPrograms : forPeople;
    for await (const event of events) await write(terminal, `${line(event)}\n`);
  });
}

/** As the server writes an event in a stream of lines. */
function forPrograms(event: WatchEvent): string {
  const { type, revision, n, previous } = event;
  const what = event.type === 'put' ? { item: event.item } : nameOf(event.keyBytes);
  return JSON.stringify({ type, revision, n, ...what, previous });
}

function forPeople(event: WatchEvent): string {
  const value = event.type === 'put' ? ` ${showValue(event.item)}` : '';
  return `${event.revision} ${event.type} ${showName(nameOf(event.keyBytes))}${value}`;
}
