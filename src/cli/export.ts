import { once } from 'node:events';
import { createWriteStream, rmSync, type WriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { constants } from 'node:os';
import { finished } from 'node:stream/promises';
import type { Command } from 'commander';
import type { Page } from '../client/index.js';
import { RaftkvError } from '../errors.js';
import { type ClientFlags, checkText, clientOf, withClientFlags } from './client-command.js';
import { type ReadFlags, readOptions, withReadFlags } from './get.js';
import { isReserved } from './import.js';
import { isStandard } from './input.js';
import { Progress } from './progress.js';
import { onStopSignals } from './signals.js';
import { countOf, printResult, type Terminal, write } from './terminal.js';

interface ExportFlags extends ClientFlags, ReadFlags {
  readonly prefix?: string;
}

export function addExport(program: Command, terminal: Terminal): void {
  const command = program
    .command('export')
    .description('write all keys of one revision, one JSON object a line, as import reads them')
    .argument('[FILE]', 'standard output unless given, or for -; a file that is there is whole')
    .option('--prefix <PREFIX>', 'only keys that start with it');
  withClientFlags(
    withReadFlags(command),
    'raftkv export store.ndjson',
    'raftkv export --prefix config/ | gzip > config.ndjson.gz',
  ).action(async (file: string | undefined, flags: ExportFlags) => {
    const { prefix } = flags;
    const pages = clientOf(flags, terminal).listAll({
      ...readOptions(flags),
      prefix: prefix === undefined ? undefined : checkText(prefix),
    });
    if (isStandard(file)) {
      await exportTo((text) => write(terminal, text), pages, terminal);
      return;
    }
    const result = await exportToFile(file, pages, terminal);
    printResult(
      terminal,
      flags,
      result,
      () => `${countOf(result.exported, 'key')} of revision ${result.revision} exported`,
    );
  });
}

interface Exported {
  readonly exported: number;
  readonly revision: number;
}

async function exportTo(
  writeText: (text: string) => Promise<void>,
  pages: AsyncIterable<Page>,
  terminal: Terminal,
): Promise<Exported> {
  const progress = new Progress(terminal, (count) => `${countOf(count, 'key')} exported`);
  let exported = 0;
  let revision = 0;
  try {
    for await (const page of pages) {
      // Locks belong to the leases of those who hold them.
      const items = page.items.filter((item) => !isReserved(item));
      await writeText(items.map((item) => `${JSON.stringify(item)}\n`).join(''));
      exported += items.length;
      revision = page.revision;
      progress.show(exported);
    }
  } finally {
    progress.end();
  }
  return { exported, revision };
}

/** Under another name until it is whole, and gone when it never becomes so. */
async function exportToFile(file: string, pages: AsyncIterable<Page>, terminal: Terminal): Promise<Exported> {
  const partial = `${file}.partial`;
  const end = (signal: NodeJS.Signals): void => {
    rmSync(partial, { force: true });
    terminal.exit(128 + constants.signals[signal]);
  };
  const letGo = onStopSignals(terminal, end, () => {});
  try {
    const stream = createWriteStream(partial);
    await once(stream, 'open');
    const result = await exportTo((text) => writeTo(stream, text), pages, terminal);
    stream.end();
    await finished(stream);
    await rename(partial, file);
    return result;
  } catch (error) {
    await rm(partial, { force: true });
    if (error instanceof Error && 'syscall' in error) {
      throw new RaftkvError('usage', `The file cannot be written: ${error.message}.`);
    }
    throw error;
  } finally {
    letGo();
  }
}

async function writeTo(stream: WriteStream, text: string): Promise<void> {
  if (!stream.write(text)) await once(stream, 'drain');
}
