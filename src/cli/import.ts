import { isUtf8 } from 'node:buffer';
import type { Command } from 'commander';
import { Item, type ItemJson, type RaftkvClient, RaftkvClientError } from '../client/index.js';
import { RaftkvError } from '../errors.js';
import { type ClientFlags, clientOf, withClientFlags } from './client-command.js';
import { byteCountOf, readLines } from './input.js';
import { bar, Progress } from './progress.js';
import { countOf, printResult, type Terminal } from './terminal.js';

/** Puts that are under way at a time. */
const putsMax = 32;
/** Keys of the server itself begin with it. */
const reservedPrefix = '.raftkv/';

export function isReserved(item: Item): boolean {
  return item.key.startsWith(reservedPrefix);
}

export function addImport(program: Command, terminal: Terminal): void {
  const command = program
    .command('import')
    .description('put every key that export wrote. Repeating it is harmless; other keys stay as they are')
    .argument('[FILE]', 'standard input unless given, or for -');
  withClientFlags(command, 'raftkv import store.ndjson', 'zcat config.ndjson.gz | raftkv import').action(
    async (file: string | undefined, flags: ClientFlags) => {
      const client = clientOf(flags, terminal);
      const result = await new Import(client, terminal, byteCountOf(file)).run(readLines(file, terminal));
      printResult(terminal, flags, result, () => {
        const left =
          result.leftOut === 0
            ? ''
            : `; ${countOf(result.leftOut, 'key')} with a lease or of the server itself left out`;
        return `${countOf(result.imported, 'key')} imported${left}`;
      });
    },
  );
}

class Import {
  private imported = 0;
  private leftOut = 0;
  private bytesTaken = 0;
  /** By their keys: of two lines with the same key, the later one is put when the earlier one is done. */
  private readonly underWay = new Map<string, Promise<void>>();
  private failure: unknown;
  private readonly progress: Progress;

  /** @param byteCount Of all lines, where it is known. */
  constructor(
    private readonly client: RaftkvClient,
    terminal: Terminal,
    byteCount: number | undefined,
  ) {
    this.progress = new Progress(terminal, (count) => {
      const imported = `${countOf(count, 'key')} imported`;
      return byteCount === undefined ? imported : `${bar(this.bytesTaken / byteCount)} ${imported}`;
    });
  }

  async run(lines: AsyncIterable<Buffer>): Promise<{ readonly imported: number; readonly leftOut: number }> {
    let number = 0;
    try {
      for await (const line of lines) {
        number += 1;
        await this.take(line, number);
        this.bytesTaken += line.length + 1;
        if (this.failure !== undefined) break;
      }
    } finally {
      await Promise.all(this.underWay.values());
      this.progress.end();
    }
    if (this.failure !== undefined) throw this.failure;
    return { imported: this.imported, leftOut: this.leftOut };
  }

  /** Resolves when the next line can be taken. */
  private async take(line: Buffer, number: number): Promise<void> {
    const text = textOf(line, number);
    if (text.trim() === '') return;
    const item = parseItem(text, number);
    // The lease is not there where this is read, and without it the key would stay forever.
    if (item.lease !== undefined || isReserved(item)) {
      this.leftOut += 1;
      return;
    }
    const key = Buffer.from(item.keyBytes).toString('latin1');
    await this.underWay.get(key);
    if (this.underWay.size >= putsMax) await Promise.race(this.underWay.values());
    const putting = this.put(item, number).finally(() => this.underWay.delete(key));
    this.underWay.set(key, putting);
  }

  private async put(item: Item, number: number): Promise<void> {
    try {
      await this.client.put(item.keyBytes, item.value, { contentType: item.contentType });
      this.imported += 1;
      this.progress.show(this.imported);
    } catch (error) {
      this.failure ??= error instanceof RaftkvClientError ? atLine(error, number) : error;
    }
  }
}

function textOf(line: Buffer, number: number): string {
  if (isUtf8(line)) return line.toString('utf8');
  throw new RaftkvError(
    'usage',
    `Line ${number} is not UTF-8, and other bytes would be stored. Give such bytes in base64, as keyBase64 or valueBase64, and ` +
      'import again, which is harmless.',
  );
}

/** Half of a pair of surrogates, which JSON can escape and which stands for no bytes. */
const half = /\p{Surrogate}/u;

function parseItem(line: string, number: number): Item {
  try {
    const json: ItemJson = JSON.parse(line);
    const item = new Item(json);
    // Both throw where the base64 is none.
    const isWhole = item.keyBytes.length > 0 && item.value.length >= 0;
    if (isWhole && isOneText(json.key, json.keyBase64) && isOneText(json.value, json.valueBase64))
      return item;
  } catch {
    // Told below.
  }
  throw new RaftkvError(
    'usage',
    `Line ${number} is no item with a key and a value, as export writes it. Correct it and import again, which is harmless.`,
  );
}

/** Which of two would count is not for this program to guess. */
function isOneText(text: unknown, base64: unknown): boolean {
  if (text === undefined) return typeof base64 === 'string';
  return typeof text === 'string' && !half.test(text) && base64 === undefined;
}

function atLine(error: RaftkvClientError, number: number): RaftkvClientError {
  const detail = `Line ${number}: ${error.detail} What is before it may be imported; repeating the import is harmless.`;
  return new RaftkvClientError(error.code, detail, error.status, { ...error.problem, detail, line: number });
}
