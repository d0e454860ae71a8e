import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const attacker = fileURLToPath(new URL('../../build/test/hostile/peers/main.js', import.meta.url));
/** Some of each kind; `npm run test:hostile-peers` sends 100,000. */
const MESSAGES = 2000;

it('forged messages to the peer port have no effect without the cluster secret, and end no process with it', async () => {
  if (!existsSync(attacker)) throw new Error('This test runs what is built: npm run build:faults.');
  const child = spawn(process.execPath, [attacker, '--messages', String(MESSAGES)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  const code = await new Promise((resolve) => child.on('close', resolve));
  console.info(output);
  expect(code, output).toBe(0);
});
