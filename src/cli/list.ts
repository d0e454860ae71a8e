import type { Command } from 'commander';
import type { Page } from '../client/index.js';
import { type ClientFlags, checkText, clientOf, parseCount, withClientFlags } from './client-command.js';
import { type ReadFlags, readOptions, withReadFlags } from './get.js';
import { showName, showValue } from './show-item.js';
import { TableWriter, type Terminal, write } from './terminal.js';

/** Columns of a listing become no wider, so that one long key does not push all values out of sight. */
const columnWidthMax = 40;

interface ListFlags extends ClientFlags, ReadFlags {
  readonly prefix?: string;
  readonly limit?: number;
  readonly keysOnly?: boolean;
}

export function addList(program: Command, terminal: Terminal): void {
  const command = program
    .command('list')
    .alias('ls')
    .description('list keys in byte order, all of one revision')
    .option('--prefix <PREFIX>', 'only keys that start with it')
    .option('--limit <N>', 'at most this many (default: all)', parseCount)
    .option('--keys-only', 'leave the values out');
  withClientFlags(
    withReadFlags(command),
    'raftkv list --prefix config/',
    'raftkv list --keys-only --limit 10 --json',
  ).action(async (flags: ListFlags) => {
    const writer = flags.json === true ? jsonWriter() : tableWriter(flags);
    const { prefix, limit, keysOnly } = flags;
    const pages = clientOf(flags, terminal).listAll({
      ...readOptions(flags),
      prefix: prefix === undefined ? undefined : checkText(prefix),
      limit,
      keysOnly,
    });
    for await (const page of pages) await write(terminal, writer.page(page));
    await write(terminal, writer.end());
  });
}

/** What is written of each page, and after the last one. */
interface ListWriter {
  page(page: Page): string;
  end(): string;
}

/** One JSON document for all pages, written as they come. */
function jsonWriter(): ListWriter {
  let begun = false;
  let separator = '\n';
  return {
    page({ revision, items }) {
      let text = begun ? '' : `{"revision":${revision},"items":[`;
      begun = true;
      for (const item of items) {
        text += separator + JSON.stringify(item);
        separator = ',\n';
      }
      return text;
    },
    end: () => '\n]}\n',
  };
}

function tableWriter({ keysOnly }: ListFlags): ListWriter {
  const header = ['KEY', 'REVISION', 'VERSION', ...(keysOnly === true ? [] : ['VALUE'])];
  const rowsWriter = new TableWriter(header, columnWidthMax);
  let written = 0;
  return {
    page({ items }) {
      written += items.length;
      if (items.length === 0) return '';
      const rows = items.map((item) => [
        showName(item.toJSON()),
        String(item.modRevision),
        String(item.version),
        ...(keysOnly === true ? [] : [showValue(item)]),
      ]);
      return `${rowsWriter.lines(rows)}\n`;
    },
    end: () => (written === 0 ? 'no keys\n' : ''),
  };
}
