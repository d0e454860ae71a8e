import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const tester = fileURLToPath(new URL('../../build/test/faults/main.js', import.meta.url));
/** Some of each kind of fault; `npm run test:faults` goes on for as long as it is told. */
const MINUTES = 0.6;
it('faults on three real nodes never let a client be told something wrong', async () => {
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
});
