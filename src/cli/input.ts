import { Buffer } from 'node:buffer';
import { createReadStream, readFileSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
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

/** The lines of a file, or of standard input where none is named. Throws `usage` where the file cannot be read. */
export async function* readLines(file: string | undefined, terminal: Terminal): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  const input: AsyncIterable<Buffer> = file === undefined ? terminal.stdin : createReadStream(file);
  let rest = '';
  try {
    for await (const chunk of input) {
      const lines = (rest + decoder.write(chunk)).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) throw unreadable(error);
    throw error;
  }
  rest += decoder.end();
  if (rest !== '') yield rest;
}

function unreadable(error: unknown): RaftkvError {
  const reason = error instanceof Error ? error.message : String(error);
  return new RaftkvError('usage', `The file cannot be read: ${reason}.`);
}
