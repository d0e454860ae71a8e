import { spawn } from 'node:child_process';
import { constants, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';

/**
 * `npm test`, once everything is built. The end-to-end tests wait most of the time; what only computes uses the processors
 * meanwhile, at the lowest priority, and shows its output when it is done.
 */
const root = fileURLToPath(new URL('..', import.meta.url));

const beside = run('verify').then((passed) => passed && run('sim', '--', '--seeds', '1000'));
const tests = run('test:vitest');
process.exitCode = (await Promise.all([tests, beside])).every(Boolean) ? 0 : 1;

/** Runs a script of package.json. Resolves with whether it passed. */
async function run(...parameters) {
  const isTests = parameters[0] === 'test:vitest';
  const child = spawn('npm', ['run', ...parameters], {
    cwd: root,
    stdio: isTests ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  if (!isTests) setPriority(child.pid, constants.priority.PRIORITY_LOW);
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => output.push(chunk));
  const code = await new Promise((resolve) => child.once('close', resolve));
  process.stdout.write(Buffer.concat(output));
  if (code !== 0) console.error(`npm run ${parameters.join(' ')} failed.`);
  return code === 0;
}
