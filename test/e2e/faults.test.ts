import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const tester = fileURLToPath(new URL('../../build/test/faults/main.js', import.meta.url));
/** Some of each kind of fault; `npm run test:faults` goes on for as long as it is told. */
const MINUTES = 0.6;
/** A bound for a machine that is busy with other things: the tester takes less than a minute on one that is not. */
const TEST_TIMEOUT_MS = 600_000;

it(
  'faults on three real nodes never let a client be told something wrong',
  async () => {
    if (!existsSync(tester)) throw new Error('This test runs what is built: npm run build:faults.');
    // Over the channel the tester notices that this process is gone, and clears up.
    const child = spawn(process.execPath, [tester, '--minutes', String(MINUTES), '--survival-only'], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        output += chunk;
      });
    }
    const code = await new Promise((resolve) => child.on('close', resolve));
    console.info(output);
    expect(code, output).toBe(0);
  },
  TEST_TIMEOUT_MS,
);
