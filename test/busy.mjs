import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/**
 * Runs test files over and over while other processes keep the machine busy: a test that depends on the speed of the machine
 * fails here. Every result is written down at once, so that a run that was interrupted goes on where it stopped.
 *
 *   npm run test:busy                              20 runs of every file in test/e2e
 *   npm run test:busy -- --runs 5 test/e2e/dev.test.ts
 *   npm run test:busy -- --again                   forget the results, and begin again
 */
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '20' },
    /** Processes that do nothing but compute, beside the tests. */
    load: { type: 'string', default: '13' },
    minutes: { type: 'string', default: '240' },
    again: { type: 'boolean', default: false },
  },
});

const root = fileURLToPath(new URL('..', import.meta.url));
const directory = join(root, 'build/busy');
const resultsFile = join(directory, 'results.json');
/** A file whose tests have not ended by then hangs. */
const FILE_MS_MAX = 600_000;

const deadline = performance.now() + Number(flags.minutes) * 60_000;
if (flags.again) rmSync(directory, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });
/** By file: whether each run passed, and the seconds that it took. */
const results = existsSync(resultsFile) ? JSON.parse(readFileSync(resultsFile, 'utf8')) : {};
const files = positionals.length > 0 ? positionals : endToEndTests();

const burners = Array.from({ length: Number(flags.load) }, burn);
process.once('exit', () => {
  for (const burner of burners) burner.kill();
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

let isComplete = true;
for (let run = 1; run <= Number(flags.runs); run += 1) {
  for (const file of files) {
    results[file] ??= [];
    if (results[file].length >= run) continue;
    if (performance.now() > deadline) {
      isComplete = false;
      continue;
    }
    const result = await runOnce(file, run);
    results[file].push(result);
    writeFileSync(resultsFile, JSON.stringify(results, null, 2));
    const load = loadavg()[0]?.toFixed(1);
    console.log(
      `run ${run} ${file}: ${result.passed ? 'passed' : 'FAILED'} in ${result.seconds} s (load ${load})`,
    );
  }
}

const failed = Object.entries(results).filter(([, runs]) => runs.some(({ passed }) => !passed));
for (const [file, runs] of failed) {
  const numbers = runs.flatMap(({ passed }, place) => (passed ? [] : [place + 1]));
  console.log(`${file} failed in ${numbers.length} of ${runs.length} runs: ${numbers.join(', ')}`);
}
console.log(
  `${Number(flags.load)} busy processes on ${availableParallelism()} cores; what failed said why in build/busy/. ` +
    (isComplete ? 'All runs are done.' : 'The time is up; the same command goes on from here.'),
);
process.exit(failed.length === 0 && isComplete ? 0 : 1);

function endToEndTests() {
  return readdirSync(join(root, 'test/e2e'))
    .filter((name) => name.endsWith('.test.ts'))
    .sort()
    .map((name) => `test/e2e/${name}`);
}

/** A process that computes until this one is gone. */
function burn() {
  const busy =
    'process.on("disconnect", () => process.exit()); (function turn() { for (let i = 0; i < 1e7; i += 1); setImmediate(turn); })()';
  return spawn(process.execPath, ['-e', busy], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
}

async function runOnce(file, run) {
  const startedAt = performance.now();
  const child = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', file], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: FILE_MS_MAX,
  });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output.push(chunk));
  const code = await new Promise((resolve) => child.once('close', resolve));
  const passed = code === 0;
  if (!passed) {
    const name = `${file.replaceAll('/', '-')}-${run}.log`;
    writeFileSync(join(directory, name), Buffer.concat(output));
  }
  return { passed, seconds: Math.round((performance.now() - startedAt) / 1000) };
}
