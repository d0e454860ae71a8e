import { mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FileOutput, type LogOutput, LogSink } from '../src/log-sink.js';

/** Takes lines and writes them when a test says so. */
class FakeOutput implements LogOutput {
  isOpen = true;
  waitingBytes = 0;
  readonly written: string[] = [];
  onEmpty = (): void => {};

  write(text: string): void {
    this.waitingBytes += text.length;
    this.written.push(text);
  }

  catchUp(): void {
    this.waitingBytes = 0;
    this.onEmpty();
  }
}

describe('the sink of the log', () => {
  it('drops what exceeds its bound, counts it, and says once that it works again and what was lost', () => {
    const output = new FakeOutput();
    const sink = new LogSink(output, 10);
    const recovered: number[] = [];
    sink.onRecovery = (lines) => recovered.push(lines);
    for (const line of ['12345\n', '678\n', 'x\n', 'y\n']) sink.write(line);
    expect(output.written).toEqual(['12345\n', '678\n']);
    expect([sink.dropped, recovered]).toEqual([2, []]);
    output.catchUp();
    output.catchUp();
    sink.write('z\n');
    expect(output.written.at(-1)).toBe('z\n');
    expect([sink.dropped, recovered]).toEqual([2, [2]]);
  });

  it('counts every line as lost when nobody can ever read the output again', () => {
    const output = new FakeOutput();
    const sink = new LogSink(output);
    output.isOpen = false;
    sink.write('a\n');
    expect([sink.dropped, output.written]).toEqual([1, []]);
  });

  it('waits for the last lines, but not for ever', async () => {
    const output = new FakeOutput();
    const sink = new LogSink(output);
    await sink.flush(60_000);
    sink.write('a\n');
    const flushed = sink.flush(60_000);
    output.catchUp();
    await flushed;
    sink.write('b\n');
    await sink.flush(1);
    expect(output.waitingBytes).toBe(2);
  });
});

describe('a log file', () => {
  let directory: string | undefined;
  afterEach(() => {
    vi.restoreAllMocks();
    if (directory !== undefined) rmSync(directory, { recursive: true });
    directory = undefined;
  });

  it('gets all lines in their order', async () => {
    directory = mkdtempSync(join(tmpdir(), 'raftkv-log-'));
    const path = join(directory, 'log');
    const sink = new LogSink(new FileOutput(openSync(path, 'w')));
    const lines = Array.from({ length: 1000 }, (_, index) => `${index}\n`);
    for (const line of lines) sink.write(line);
    await sink.flush(10_000);
    expect(readFileSync(path, 'utf8')).toBe(lines.join(''));
  });

  it.skipIf(!existsFull())('on a full disk keeps lines up to its bound, and is no error', async () => {
    const sink = new LogSink(new FileOutput(openSync('/dev/full', 'w')), 1000);
    for (let count = 0; count < 100; count += 1) sink.write('0123456789 0123456789\n');
    await sink.flush(1);
    expect(sink.dropped).toBeGreaterThan(0);
  });
});

/** A device on which every write fails as on a full disk; Linux has it. */
function existsFull(): boolean {
  return statSync('/dev/full', { throwIfNoEntry: false })?.isCharacterDevice() === true;
}
