import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

/** What a command talks to; the process's own streams outside of tests. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly environment: NodeJS.ProcessEnv;
  /** Ends the process at once; for commands that ran a server, which may leave something behind that holds it. */
  exit(code: number): void;
}

/** Ends the process when nothing more can be written to standard output. */
export function endWithOutput({ stdout, stderr, exit }: Terminal): void {
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') {
      // `raftkv list | head`: the reader has seen enough, which is no error.
      exit(0);
      return;
    }
    stderr.write(`raftkv: The output cannot be written: ${error.message}.\n`);
    exit(2);
  });
}

export function printLine(terminal: Terminal, line: string): void {
  terminal.stdout.write(`${line}\n`);
}

/** Prints a result: as JSON for programs, through `show` for people. */
export function printResult(
  terminal: Terminal,
  flags: { readonly json?: boolean },
  result: unknown,
  show: () => string,
): void {
  printLine(terminal, flags.json === true ? JSON.stringify(result) : show());
}

/** Writes to standard output and waits while its reader is slow, so that what is written piece by piece is not kept in memory. */
export async function write(terminal: Terminal, text: string): Promise<void> {
  if (!terminal.stdout.write(text)) await once(terminal.stdout, 'drain');
}

/** `1 key`, `2 keys`. */
export function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Columns padded to their widest cell, two spaces apart. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Text from the store as it may be shown: quoted where it holds control characters, which could steer a terminal. */
export function showText(text: string): string {
  return /^[^\p{Cc}\p{Cf}]*$/u.test(text)
    ? text
    : JSON.stringify(text).replace(/[\p{Cc}\p{Cf}]/gu, escapeCharacter);
}

function escapeCharacter(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
}
