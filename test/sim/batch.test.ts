import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { runProgram } from '../../src/cli/program.js';
import { summarize } from '../../src/sim/batch.js';
import { type Report, simulate } from '../../src/sim/simulation.js';

const passed: Report = {
  seed: 2,
  hash: '0123456789abcdef',
  failure: null,
  property: null,
  simulatedMs: 11_000,
  healedMs: 700,
  faultCount: 9,
  counts: {
    events: 1,
    messages: 2,
    elections: 3,
    crashes: 4,
    snapshots: 5,
    operations: 6,
    done: 7,
    read: 8,
    refused: 9,
    unknown: 10,
    undecided: 0,
  },
};

describe('a batch', () => {
  test('adds up what its runs came to, and names the failures by seed', () => {
    const failed = { ...passed, failure: 'Election Safety: broken', healedMs: 900 };
    const batch = summarize([{ ...failed, seed: 9 }, passed, { ...failed, seed: 4 }]);
    expect(batch).toMatchObject({ seedCount: 3, simulatedMs: 33_000, healedMsMax: 900 });
    expect(batch.counts).toMatchObject({ events: 3, unknown: 30 });
    expect(batch.failures.map(({ seed }) => seed)).toEqual([4, 9]);
  });
});

describe('raftkv sim --trace', () => {
  async function run(...parameters: string[]) {
    const output = { stdout: new PassThrough(), stderr: new PassThrough() };
    const text = { stdout: '', stderr: '' };
    output.stdout.on('data', (chunk) => {
      text.stdout += chunk;
    });
    output.stderr.on('data', (chunk) => {
      text.stderr += chunk;
    });
    const terminal = { ...output, stdin: new PassThrough(), environment: {}, exit: () => {} };
    const exitCode = await runProgram(['sim', ...parameters], terminal);
    return { exitCode, ...text };
  }

  // In two parts, so that each has its own time on a busy machine.
  let hash = '';
  test('prints what happens, a hash, and how it ended', async () => {
    const { exitCode, stdout } = await run('--seed', '3', '--nodes', '1', '--trace');
    const lines = stdout.trimEnd().split('\n');
    expect(exitCode).toBe(0);
    expect(lines[0]).toContain('n1  * starts');
    expect(stdout).toContain('Leads term 2');
    expect(lines.slice(-2)).toEqual([
      expect.stringMatching(/^seed 3: trace [0-9a-f]{16}$/),
      '1 passed, 0 failed',
    ]);
    hash = lines.at(-2)?.slice('seed 3: trace '.length) ?? '';
  });

  test('the hash is the one that a batch shows for the seed', async () => {
    expect((await simulate({ seed: 3, nodeCount: 1 })).hash).toBe(hash);
  });

  test.each([[['--seed', 'x']], [['--seed', '-1']], [['--nodes', '0']], [['--nodes', '12']]])(
    'refuses %j',
    async (flags) => {
      const { exitCode, stderr } = await run(...flags);
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(/must be/);
    },
  );
});
