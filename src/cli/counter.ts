import { type Command, InvalidArgumentError } from 'commander';
import { type ClientFlags, checkText, clientOf, parseCount, withClientFlags } from './client-command.js';
import { printResult, type Terminal } from './terminal.js';

interface AddFlags extends ClientFlags {
  readonly initial?: number;
}

interface CompactFlags extends ClientFlags {
  readonly revision?: number;
}

export function addAdd(program: Command, terminal: Terminal): void {
  const command = program
    .command('add')
    .description('add to a counter: a whole number in decimal text, which is created where there is none')
    .argument('<KEY>')
    .argument('[DELTA]', 'how much; after "--" where it is negative', parseSigned, 1)
    .option('--initial <N>', 'what a key that does not exist counts as', parseSigned, 0);
  withClientFlags(command, 'raftkv add visits', 'raftkv add --initial 100 stock/7 -- -1').action(
    async (key: string, delta: number, flags: AddFlags) => {
      const result = await clientOf(flags, terminal).add(checkText(key), delta, { initial: flags.initial });
      printResult(terminal, flags, result, () => `${result.value}`);
    },
  );
}

export function addCompact(program: Command, terminal: Terminal): void {
  const command = program
    .command('compact')
    .description(
      'drop the history of all keys, so that its room returns to the disk; values stay as they are',
    )
    .option('--revision <N>', 'the oldest revision that can still be read (default: the newest)', parseCount);
  withClientFlags(command, 'raftkv compact', 'raftkv compact --revision 1200').action(
    async ({ revision, ...flags }: CompactFlags) => {
      const result = await clientOf(flags, terminal).compact({ revision });
      printResult(
        terminal,
        flags,
        result,
        () =>
          `history begins at revision ${result.compactedRevision}; the store is at revision ${result.revision}`,
      );
    },
  );
}

function parseSigned(text: string): number {
  const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError('Give a whole number, such as 5 or -1.');
}
