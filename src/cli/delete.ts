import type { Command } from 'commander';
import type { DeleteResult, RaftkvClient } from '../client/index.js';
import { RaftkvError } from '../errors.js';
import { type ClientFlags, checkText, clientOf, parseCount, withClientFlags } from './client-command.js';
import { Progress } from './progress.js';
import { countOf, printResult, type Terminal } from './terminal.js';

interface DeleteFlags extends ClientFlags {
  readonly prefix?: string;
  readonly ifRevision?: number;
}

export function addDelete(program: Command, terminal: Terminal): void {
  const command = program
    .command('delete')
    .summary('delete a key, or every key with a prefix')
    .aliases(['del', 'rm'])
    .description(
      'delete a key, or every key with a prefix: at one revision, or in parts where they are too many for one change',
    )
    .argument('[KEY]')
    .option('--prefix <PREFIX>', 'delete every key that starts with it')
    .option('--if-revision <N>', 'only if the key has this revision', parseCount);
  withClientFlags(command, 'raftkv delete greeting', 'raftkv delete --prefix session/').action(
    async (key: string | undefined, flags: DeleteFlags) => {
      const result = await remove(clientOf(flags, terminal), key, flags, terminal);
      printResult(terminal, flags, result, () => {
        const parts = result.parts === undefined ? '' : ` in ${result.parts} parts`;
        return `${countOf(result.deleted, 'key')} deleted${parts}; the store is at revision ${result.revision}`;
      });
    },
  );
}

function remove(
  client: RaftkvClient,
  key: string | undefined,
  { prefix, ifRevision }: DeleteFlags,
  terminal: Terminal,
): Promise<DeleteResult> {
  if (key !== undefined && prefix === undefined) {
    return client.delete(checkText(key), { ifRevision, mustExist: true });
  }
  if (key !== undefined || prefix === undefined) {
    throw new RaftkvError('usage', 'Give a key or --prefix, one of them.');
  }
  if (ifRevision !== undefined) {
    throw new RaftkvError('usage', '--if-revision goes with a single key, not with --prefix.');
  }
  const progress = new Progress(terminal, (count) => `${countOf(count, 'key')} deleted`);
  return client
    .deletePrefix(checkText(prefix), { inParts: true, onProgress: (deleted) => progress.show(deleted) })
    .finally(() => progress.end());
}
