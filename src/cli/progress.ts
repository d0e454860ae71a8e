import type { Terminal } from './terminal.js';

/** How often a line of progress is written anew. */
const intervalMs = 200;

/** A line on standard error that counts, for people who watch a terminal; nothing elsewhere. */
export class Progress {
  private readonly terminal: Terminal;
  private readonly describe: (count: number) => string;
  private shownAtMs = Number.NEGATIVE_INFINITY;
  private isShown = false;

  constructor(terminal: Terminal, describe: (count: number) => string) {
    this.terminal = terminal;
    this.describe = describe;
  }

  show(count: number): void {
    if (this.terminal.stderr.isTTY !== true || performance.now() - this.shownAtMs < intervalMs) return;
    this.shownAtMs = performance.now();
    this.isShown = true;
    this.terminal.stderr.write(`\r${this.describe(count)}`);
  }

  /** Takes the line away; what came of it is told in a line of its own. */
  end(): void {
    if (this.isShown) this.terminal.stderr.write('\r\u001b[K');
  }
}

/** The characters between the brackets of a bar. */
const barWidth = 20;

/** A share from 0 to 1 as a bar: `[#####               ]  25%`. */
export function bar(share: number): string {
  const bounded = Math.min(Math.max(share, 0), 1);
  const filled = '#'.repeat(Math.floor(bounded * barWidth)).padEnd(barWidth);
  return `[${filled}] ${String(Math.floor(bounded * 100)).padStart(3)}%`;
}
