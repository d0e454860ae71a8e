import { Buffer } from 'node:buffer';
import type { Command } from 'commander';
import { call, queryText } from './client.js';
import { type ClientFlags, clientOptions, parseCount, withClientFlags } from './client-command.js';
import { type ReadFlags, readQuery, withReadFlags } from './get.js';
import { printLine, showText, type Terminal, table } from './terminal.js';

interface ListFlags extends ClientFlags, ReadFlags {
  readonly prefix?: string;
  readonly limit?: number;
  readonly keysOnly?: boolean;
}

/** Items that are asked for at a time. */
const pageItemsMax = 100;
const valueCharactersShown = 60;

interface ListedItem {
  readonly key?: string;
  readonly keyBase64?: string;
  readonly value?: string;
  readonly valueBase64?: string;
  readonly modRevision: number;
  readonly version: number;
}

interface Page {
  readonly revision: number;
  readonly items: readonly ListedItem[];
  readonly nextCursor?: string;
}

export function addList(program: Command, terminal: Terminal): void {
  const command = program
    .command('list')
    .description('list keys in byte order, all of one revision')
    .option('--prefix <PREFIX>', 'only keys that start with it')
    .option('--limit <N>', 'at most so many; all unless given', parseCount)
    .option('--keys-only', 'leave the values out');
  withClientFlags(withReadFlags(command)).action(async (flags: ListFlags) => {
    const write = flags.json === true ? jsonWriter(terminal) : tableWriter(terminal, flags);
    for await (const page of pages(flags, terminal)) write.page(page);
    write.end();
  });
}

async function* pages(flags: ListFlags, terminal: Terminal): AsyncGenerator<Page> {
  const options = clientOptions(flags, terminal);
  let left = flags.limit ?? Number.POSITIVE_INFINITY;
  let cursor: string | undefined;
  do {
    const answer = await call(options, {
      method: 'GET',
      path: '/v1/kv',
      query: {
        ...readQuery(flags),
        prefix: flags.prefix === undefined ? undefined : queryText(flags.prefix),
        limit: String(Math.min(left, pageItemsMax)),
        cursor,
        keysOnly: flags.keysOnly === true ? 'true' : undefined,
      },
    });
    const page: Page = JSON.parse(answer.body.toString('utf8'));
    yield page;
    left -= page.items.length;
    cursor = page.nextCursor;
  } while (cursor !== undefined && left > 0);
}

interface ListWriter {
  page(page: Page): void;
  end(): void;
}

/** One JSON document for all pages, written as they come. */
function jsonWriter(terminal: Terminal): ListWriter {
  let opened = false;
  let separator = '\n';
  return {
    page({ revision, items }) {
      if (!opened) terminal.stdout.write(`{"revision":${revision},"items":[`);
      opened = true;
      for (const item of items) {
        terminal.stdout.write(separator + JSON.stringify(item));
        separator = ',\n';
      }
    },
    end() {
      terminal.stdout.write('\n]}\n');
    },
  };
}

function tableWriter(terminal: Terminal, flags: ListFlags): ListWriter {
  const header = ['KEY', 'REVISION', 'VERSION', ...(flags.keysOnly === true ? [] : ['VALUE'])];
  let written = 0;
  return {
    page({ items }) {
      const rows = items.map((item) => [
        showBytes(item.key, item.keyBase64),
        String(item.modRevision),
        String(item.version),
        ...(flags.keysOnly === true ? [] : [showValue(item)]),
      ]);
      if (rows.length > 0) printLine(terminal, table(header, rows));
      written += rows.length;
    },
    end() {
      if (written === 0) printLine(terminal, 'no keys');
    },
  };
}

function showBytes(text: string | undefined, base64: string | undefined): string {
  return text === undefined ? `base64:${base64 ?? ''}` : showText(text);
}

function showValue({ value, valueBase64 = '' }: ListedItem): string {
  const shown = showBytes(value, valueBase64);
  if (shown.length <= valueCharactersShown) return shown;
  // Of the value, not of what is shown of it.
  const bytes = value === undefined ? Buffer.byteLength(valueBase64, 'base64') : Buffer.byteLength(value);
  return `${shown.slice(0, valueCharactersShown)}… (${bytes} bytes)`;
}
