import type { Command } from 'commander';
import { RaftkvError } from '../errors.js';
import { call, keyPath, queryText } from './client.js';
import {
  type ClientFlags,
  type ConditionFlags,
  clientOptions,
  conditionHeaders,
  parseCount,
  withClientFlags,
} from './client-command.js';
import { printLine, type Terminal } from './terminal.js';

interface DeleteFlags extends ClientFlags, ConditionFlags {
  readonly prefix?: string;
}

export function addDelete(program: Command, terminal: Terminal): void {
  const command = program
    .command('delete')
    .description('delete a key, or every key with a prefix')
    .argument('[KEY]')
    .option('--prefix <PREFIX>', 'delete every key that starts with it')
    .option('--if-revision <N>', 'only if the key has this revision', parseCount);
  withClientFlags(command).action(async (key: string | undefined, flags: DeleteFlags) => {
    const answer = await call(clientOptions(flags, terminal), {
      method: 'DELETE',
      ...whatToDelete(key, flags),
    });
    const text = answer.body.toString('utf8');
    if (flags.json === true) {
      printLine(terminal, text);
      return;
    }
    const { revision, deleted }: { revision: number; deleted: number } = JSON.parse(text);
    printLine(
      terminal,
      `${deleted} ${deleted === 1 ? 'key' : 'keys'} deleted; the store is at revision ${revision}`,
    );
  });
}

function whatToDelete(key: string | undefined, flags: DeleteFlags) {
  if ((key === undefined) === (flags.prefix === undefined)) {
    throw new RaftkvError('usage', 'Give a key or --prefix, one of them.');
  }
  if (key !== undefined) return { path: keyPath(key), headers: conditionHeaders(flags) };
  if (flags.ifRevision !== undefined) {
    throw new RaftkvError('usage', '--if-revision goes with a single key, not with --prefix.');
  }
  return { path: '/v1/kv', query: { prefix: queryText(flags.prefix ?? '') } };
}
