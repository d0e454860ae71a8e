import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { printableLines } from '../text.js';

/** What a command talks to; the process's own streams outside of tests. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly environment: NodeJS.ProcessEnv;
  /** Signals that arrived before the command listened to them; a process starts to keep them for `serve` alone. */
  readonly earlySignals?: readonly NodeJS.Signals[];
  /** Ends the process at once; for commands that ran a server, which may leave something behind that holds it. */
  exit(code: number): void;
}

/**
 * Ends the process when nothing more can be written to standard output, unless a command listens to that itself: a node
 * outlives its log.
 */
export function endWithOutput({ stdout, stderr, exit }: Terminal): void {
  // Nobody can be told that nobody can be told; without a listener it would end the process.
  stderr.on('error', () => {});
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (stdout.listenerCount('error') > 1) return;
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
  terminal.stdout.write(`${shown(terminal, line)}\n`);
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
  if (!terminal.stdout.write(shown(terminal, text))) await once(terminal.stdout, 'drain');
}

/** Programs get what there is; a terminal gets no control characters, whoever they came from. */
function shown({ stdout }: Terminal, text: string): string {
  return stdout.isTTY === true ? printableLines(text) : text;
}

/** `1 key`, `2 keys`. */
export function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Columns padded to their widest cell, two spaces apart. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  return new TableWriter(header).lines(rows);
}

/** A table whose rows come in several parts: under one header, in columns that become wider where a part needs it. */
export class TableWriter {
  private widths: readonly number[] = [];
  private isBegun = false;

  /** @param widthMax Longer cells stand as they are, and the rest of their row stands to the right of its columns. */
  constructor(
    private readonly header: readonly string[],
    private readonly widthMax = Number.POSITIVE_INFINITY,
  ) {}

  /** The rows, without a line feed after the last; before the first ones the header. */
  lines(rows: readonly (readonly string[])[]): string {
    const lines = this.isBegun ? rows : [this.header, ...rows];
    this.isBegun = true;
    this.widths = this.header.map((_, column) => this.widthOf(column, lines));
    return lines.map((line) => this.padded(line)).join('\n');
  }

  private widthOf(column: number, lines: readonly (readonly string[])[]): number {
    const widest = lines.reduce((width, line) => Math.max(width, line[column]?.length ?? 0), 0);
    return Math.max(this.widths[column] ?? 0, Math.min(widest, this.widthMax));
  }

  private padded(line: readonly string[]): string {
    return line
      .map((cell, column) => cell.padEnd(this.widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  }
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
