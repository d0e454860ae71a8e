import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { endWithOutput, printLine, write } from '../../src/cli/terminal.js';

it.each([
  ['EPIPE', 0, ''],
  ['ENOSPC', 2, 'raftkv: The output cannot be written: no more.\n'],
])('output that ends with %s ends the program with %i', async (code, exitCode, line) => {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const ended = new Promise<number>((resolve) => {
    endWithOutput({ stdin: new PassThrough(), stdout, stderr, environment: {}, exit: resolve });
  });
  stdout.destroy(Object.assign(new Error('no more'), { code }));
  expect(await ended).toBe(exitCode);
  expect(String(stderr.read() ?? '')).toBe(line);
});

it('output that fails does not end a program that listens to that itself, nor do errors that cannot be told', async () => {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const exits: number[] = [];
  endWithOutput({
    stdin: new PassThrough(),
    stdout,
    stderr,
    environment: {},
    exit: (code) => exits.push(code),
  });
  stdout.on('error', () => {});
  stderr.destroy(Object.assign(new Error('no more'), { code: 'ENOSPC' }));
  stdout.destroy(Object.assign(new Error('no more'), { code: 'ENOSPC' }));
  await new Promise(setImmediate);
  expect(exits).toEqual([]);
});

it.each([
  [true, 'one\n\ttwo\uFFFD[2J\uFFFD\n'],
  [false, 'one\n\ttwo\u001b[2J\u202e\n'],
])(
  'prints to a terminal (%j) what cannot steer it, and to programs what there is',
  async (isTTY, expected) => {
    const stdout = Object.assign(new PassThrough(), { isTTY });
    const terminal = {
      stdin: new PassThrough(),
      stdout,
      stderr: new PassThrough(),
      environment: {},
      exit() {},
    };
    printLine(terminal, 'one\n\ttwo\u001b[2J\u202e');
    expect(String(stdout.read())).toBe(expected);
    await write(terminal, 'one\n\ttwo\u001b[2J\u202e\n');
    expect(String(stdout.read())).toBe(expected);
  },
);
