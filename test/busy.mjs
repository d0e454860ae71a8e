import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/**
 * Runs test files over and over on a machine that the other test files keep busy: a test that depends on the speed of the
 * machine fails here. As many run at a time as it takes for the load average to stay at `--load`. Every result is written down
 * at once, with its commit, so that a run that was interrupted goes on where it stopped.
 *
 *   npm run test:busy                              20 runs of every test that runs processes, sockets or real timers
 *   npm run test:busy -- --runs 5 test/e2e/dev.test.ts
 *   npm run test:busy -- --again                   forget the results, and begin again
 *   npm run test:busy -- --again test/e2e/dev.test.ts      forget those of one file, and run that
 */
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '20' },
    /** The load average to keep. */
    load: { type: 'string', default: '15' },
    minutes: { type: 'string', default: '240' },
    again: { type: 'boolean', default: false },
  },
});

const root = fileURLToPath(new URL('..', import.meta.url));
const directory = join(root, 'build/busy');
const resultsFile = join(directory, 'results.json');
/** Folders whose tests run processes, sockets or real timers. All others compute, and a busy machine only makes them slower. */
const TIMED = ['e2e', 'http', 'client', 'transport', 'node', 'cli', 'bench', 'faults', '.'];
/** Module tests are short, so several go into one process. Tests in e2e have a process each. */
const MODULES_PER_JOB = 6;
/** A job that has not ended by then hangs. */
const JOB_MS_MAX = 1_800_000;
/** How often Linux counts what is running; each look at the load average finds one more count in it. */
const LOOK_MS = 5_000;
/** At least some tests run, however busy other programs keep the machine; at most as many as there is memory for. */
const JOBS_MIN = 3;
const JOBS_MAX = 14;
/** What one job adds to the load, roughly: many wait more than they compute. */
const LOAD_PER_JOB = 1.5;

const target = Number(flags.load);
const deadline = performance.now() + Number(flags.minutes) * 60_000;
const commit = commitNow();
const files = positionals.length > 0 ? positionals : testsOf(TIMED);
mkdirSync(directory, { recursive: true });
if (flags.again && positionals.length === 0) rmSync(resultsFile, { force: true });
/** By file: of each run its number, whether it passed, the seconds it took, the load average, and the commit. */
const results = existsSync(resultsFile) ? JSON.parse(readFileSync(resultsFile, 'utf8')) : {};
if (flags.again) for (const file of files) delete results[file];

const burners = [];
process.once('exit', () => {
  for (const burner of burners) burner.kill();
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const queue = jobs();
const running = new Set();
let before = loadavg()[0] ?? 0;
fill(Math.max(JOBS_MIN, Math.floor((target - before) / LOAD_PER_JOB / 2)));
const looking = setInterval(look, LOOK_MS);
while (running.size > 0) await Promise.race(running);
clearInterval(looking);
report();

/** What is still to be done: of the first run everything, then of the second. */
function jobs() {
  const all = [];
  for (let run = 1; run <= Number(flags.runs); run += 1) {
    const missing = files.filter((file) => !(results[file] ?? []).some((result) => result.run === run));
    const alone = missing.filter((file) => file.includes('/e2e/'));
    const modules = missing.filter((file) => !alone.includes(file));
    for (const file of alone) all.push({ run, files: [file] });
    while (modules.length > 0) all.push({ run, files: modules.splice(0, MODULES_PER_JOB) });
  }
  return all;
}

/** Starts jobs where there is room, and has idle processes compute where no more jobs can run. */
function look() {
  const now = loadavg()[0] ?? 0;
  // The average of a minute, less what it was: how much ran in the last seconds.
  const decay = Math.exp(-LOOK_MS / 60_000);
  const recent = (now - before * decay) / (1 - decay);
  before = now;
  const missing = target - Math.max(now, recent);
  fill(missing >= 1 ? running.size + Math.ceil(missing / LOAD_PER_JOB / 2) : JOBS_MIN);
  if (missing >= 1 && (running.size >= JOBS_MAX || queue.length === 0)) burners.push(burn());
  if (missing < -1) burners.pop()?.kill();
}

function fill(size) {
  while (running.size < Math.min(size, JOBS_MAX) && queue.length > 0 && performance.now() < deadline) {
    const work = runJob(queue.shift()).finally(() => {
      running.delete(work);
      fill(JOBS_MIN);
    });
    running.add(work);
  }
}

/** A process that computes until this one is gone. */
function burn() {
  const busy =
    'process.on("disconnect", () => process.exit()); (function turn() { for (let i = 0; i < 1e7; i += 1); setImmediate(turn); })()';
  return spawn(process.execPath, ['-e', busy], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
}

async function runJob({ run, files: ofJob }) {
  const startedAt = performance.now();
  const name = `${ofJob[0].replaceAll('/', '-')}-${run}`;
  const reportFile = join(directory, `${name}.json`);
  const output = [];
  const child = spawn(
    process.execPath,
    [
      ...['node_modules/vitest/vitest.mjs', 'run', '--reporter=default', '--reporter=json'],
      ...[`--outputFile.json=${reportFile}`, ...ofJob],
    ],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], timeout: JOB_MS_MAX },
  );
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output.push(chunk));
  const code = await new Promise((resolve) => child.once('close', resolve));
  const tests = existsSync(reportFile) ? JSON.parse(readFileSync(reportFile, 'utf8')).testResults : [];
  rmSync(reportFile, { force: true });
  const load = Number((loadavg()[0] ?? 0).toFixed(1));
  // What went wrong outside of every file may be of any of them.
  const isUnexplained = code !== 0 && tests.every(({ status }) => status === 'passed');
  for (const file of ofJob) {
    const found = tests.find((result) => relative(root, result.name) === file);
    const passed = found?.status === 'passed' && !isUnexplained;
    const ms = found === undefined ? performance.now() - startedAt : found.endTime - found.startTime;
    const seconds = Math.round(ms / 1000);
    results[file] ??= [];
    results[file].push({ run, passed, seconds, load, commit });
    if (!passed) console.log(`run ${run} ${file}: FAILED in ${seconds} s (load ${load}), see ${name}.log`);
  }
  if (code !== 0) writeFileSync(join(directory, `${name}.log`), Buffer.concat(output));
  writeFileSync(resultsFile, JSON.stringify(results, null, 2));
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  const what = ofJob.length === 1 ? ofJob[0] : `${ofJob.length} files from ${ofJob[0]} on`;
  console.log(
    `run ${run} ${what}: ${code === 0 ? 'passed' : 'FAILED'} in ${seconds} s (load ${load}, ${running.size} jobs)`,
  );
}

function report() {
  const failed = files.filter((file) => (results[file] ?? []).some(({ passed }) => !passed));
  for (const file of failed) {
    const runs = results[file].filter(({ passed }) => !passed);
    const which = runs.map((result) => `${result.run} (${result.commit})`).join(', ');
    console.log(`${file} failed in ${runs.length} of ${results[file].length} runs: ${which}`);
  }
  const done = files.reduce((sum, file) => sum + (results[file]?.length ?? 0), 0);
  console.log(
    `${done} of ${files.length * Number(flags.runs)} runs are done, of ${files.length} files on ${availableParallelism()} cores; ` +
      `what failed said why in build/busy/.${queue.length === 0 ? '' : ' The time is up; the same command goes on from here.'}`,
  );
  process.exit(failed.length === 0 && queue.length === 0 ? 0 : 1);
}

function testsOf(folders) {
  return folders.flatMap((folder) =>
    readdirSync(join(root, 'test', folder), { recursive: folder !== '.' })
      .filter((name) => name.endsWith('.test.ts'))
      .sort()
      .map((name) => join('test', folder, dirname(name), basename(name))),
  );
}

/** Where there is no history, nothing is said of it. */
function commitNow() {
  const git = (...words) => execFileSync('git', words, { cwd: root, encoding: 'utf8' }).trim();
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+changes');
  } catch {
    return 'unknown';
  }
}
