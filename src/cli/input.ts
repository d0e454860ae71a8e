import { Buffer } from 'node:buffer';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { RaftkvError } from '../errors.js';
import type { Terminal } from './terminal.js';

/** All of a file. Throws `usage` where it cannot be read. */
export function readFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw unreadable(error);
  }
}

export async function readStandardInput(terminal: Terminal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of terminal.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** All of a file, or of standard input where none is named or it is `-`. Throws `usage` where the file cannot be read. */
export async function readInput(file: string | undefined, terminal: Terminal): Promise<Buffer> {
  return isStandard(file) ? readStandardInput(terminal) : readFile(file);
}

/** The lines of what {@link readInput} reads, as bytes: what is not UTF-8 would become other bytes if it were decoded here. */
export async function* readLines(file: string | undefined, terminal: Terminal): AsyncGenerator<Buffer> {
  const input: AsyncIterable<Buffer> = isStandard(file) ? terminal.stdin : createReadStream(file);
  /** The beginning of a line that has not ended yet, in pieces, so that a long one is not copied with every chunk. */
  let pieces: Buffer[] = [];
  try {
    for await (const chunk of input) {
      let start = 0;
      for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
        yield Buffer.concat([...pieces, chunk.subarray(start, end)]);
        pieces = [];
        start = end + 1;
      }
      if (start < chunk.length) pieces.push(chunk.subarray(start));
    }
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) throw unreadable(error);
    throw error;
  }
  if (pieces.length > 0) yield Buffer.concat(pieces);
}

const lineFeed = 0x0a;

/** How many bytes {@link readLines} will read; undefined where nobody knows, as of a pipe. Throws `usage` as it does. */
export function byteCountOf(file: string | undefined): number | undefined {
  if (isStandard(file)) return undefined;
  try {
    const found = statSync(file);
    return found.isFile() ? found.size : undefined;
  } catch (error) {
    throw unreadable(error);
  }
}

/** Whether standard input or output is meant. */
export function isStandard(file: string | undefined): file is undefined | '-' {
  return file === undefined || file === '-';
}

function unreadable(error: unknown): RaftkvError {
  const reason = error instanceof Error ? error.message : String(error);
  return new RaftkvError('usage', `The file cannot be read: ${reason}.`);
}
