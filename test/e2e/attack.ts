import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

/**
 * Runs one of the tools of test/hostile to its end; it must exit with 0.
 *
 * @param name Its directory.
 */
export async function attack(name: 'peers' | 'http', flags: readonly string[]): Promise<void> {
  const tool = fileURLToPath(new URL(`../../build/test/hostile/${name}/main.js`, import.meta.url));
  if (!existsSync(tool)) throw new Error('This test runs what is built: npm run build:faults.');
  const child = spawn(process.execPath, [tool, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  const code = await new Promise((resolve) => child.on('close', resolve));
  console.info(output);
  expect(code, output).toBe(0);
}
