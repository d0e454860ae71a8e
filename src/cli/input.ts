import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
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

/** A file piece by piece, or standard input where none is named. Throws `usage` where the file cannot be read. */
export async function openInput(
  file: string | undefined,
  terminal: Terminal,
): Promise<AsyncIterable<Buffer | string>> {
  if (file === undefined) return terminal.stdin;
  try {
    return (await open(file)).createReadStream();
  } catch (error) {
    throw unreadable(error);
  }
}

function unreadable(error: unknown): RaftkvError {
  const reason = error instanceof Error ? error.message : String(error);
  return new RaftkvError('usage', `The file cannot be read: ${reason}.`);
}
