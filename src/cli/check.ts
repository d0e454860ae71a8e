import { join } from 'node:path';
import type { Command } from 'commander';
import type { DirectoryCheck, DirectoryFinding } from '../check-directory.js';
import { RaftkvError } from '../errors.js';
import { Progress } from './progress.js';
import { countOf, printLine, type Terminal } from './terminal.js';

interface CheckFlags {
  readonly json?: boolean;
}

const MEBIBYTE = 1024 ** 2;

export function addCheck(program: Command, terminal: Terminal): void {
  program
    .command('check')
    .description(
      'look for damage in the data directory of a node that does not run; nothing in it is changed',
    )
    .argument('<dir>', 'the data directory')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Reads all files of the log and the state, and all records in them. It exits with 0 where everything is whole, 1 where something is damaged, and 2
where it could not look, because a node runs there or the directory cannot be read.

Example:
  raftkv check /var/lib/raftkv`,
    )
    .action(async (directory: string, flags: CheckFlags) => {
      const findings: DirectoryFinding[] = [];
      const progress = new Progress(terminal, (bytes) => `${mebibytes(bytes)} MiB are read`);
      const note = (finding: DirectoryFinding): void => {
        progress.end();
        findings.push(finding);
        if (flags.json !== true) printLine(terminal, inWords(directory, finding));
      };
      const result = await look(directory, note, (bytes) => progress.show(bytes));
      progress.end();
      if (flags.json === true) printLine(terminal, JSON.stringify({ ...result, findings }));
      else if (result.whole) printLine(terminal, summaryOf(result));
      if (result.whole) return;
      const count = findings.filter(({ kind }) => kind === 'damage').length;
      throw new RaftkvError(
        'storage_damaged',
        `${directory} is damaged in ${countOf(count, 'place')}. If the other members of the cluster run, remove this member, wipe its ` +
          'data directory and start it with --join. Otherwise keep a copy of the directory as it is.',
      );
    });
}

/** LevelDB and what reads it are loaded only when they are asked for. */
async function look(
  directory: string,
  onFinding: (finding: DirectoryFinding) => void,
  onProgress: (bytes: number) => void,
): Promise<DirectoryCheck> {
  const { checkDirectory } = await import('../check-directory.js');
  try {
    return await checkDirectory(directory, onFinding, onProgress);
  } catch (error) {
    const isExpected = error instanceof RaftkvError || (error instanceof Error && 'syscall' in error);
    if (!isExpected) throw error;
    throw new RaftkvError('not_checked', `${directory} was not checked. ${(error as Error).message}`);
  }
}

function inWords(directory: string, { kind, store, file, offset, what }: DirectoryFinding): string {
  if (file === null) return `${kind}: ${store}: ${what}`;
  const path = join(directory, store, file);
  return `${kind}: ${path}, at byte ${offset}: ${what}.`;
}

function summaryOf({ stores, bytes, records }: DirectoryCheck): string {
  return `whole: ${stores.join(' and ')}, ${mebibytes(bytes)} MiB, ${countOf(records, 'record')} of the state`;
}

function mebibytes(bytes: number): string {
  return (bytes / MEBIBYTE).toFixed(1);
}
