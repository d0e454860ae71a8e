import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { catalogue } from './catalogue.js';
import type { Sighting } from './hunt.js';
import { editsOf, type Mutant, plant } from './mutant.js';
import { UnitTests } from './unit-tests.js';

/**
 * Whether the simulator can find what it is for: plants one known bug after the other in a copy of the build, never in the
 * product, and runs seeds until one of them fails. A bug that no seed finds is a hole in the simulator or in its checkers. Where the
 * simulator has nobody who would do what it takes, a bug names the unit test that finds it.
 *
 *     npm run test:mutants                  all of them
 *     npm run test:mutants -- vote round    those whose names have one of the words
 */

const SEEDS_MAX = 500;
const HUNTERS_MAX = 2;
/** A seed takes a tenth of a second, and more on a busy machine; a process that says nothing for so long hangs. */
const SILENCE_MS_MAX = 180_000;

const root = process.cwd();

interface Catch {
  readonly mutant: Mutant;
  /** The checker, or how the process ended; null if it got away. */
  readonly by: string | null;
  /** How many seeds that took. */
  readonly seed: number;
  readonly seconds: number;
}

async function main(words: readonly string[]): Promise<number> {
  const startedAt = performance.now();
  const mutants = catalogue.filter(
    ({ name }) => words.length === 0 || words.some((word) => name.includes(word)),
  );
  const workshop = await mkdtemp(join(tmpdir(), 'raftkv-mutants-'));
  try {
    // What a build finds above itself.
    for (const name of ['node_modules', 'package.json', 'proto'])
      await symlink(join(root, name), join(workshop, name));
    const original = join(workshop, 'original');
    await cp(join(root, 'dist'), original, { recursive: true });
    // Where the original fails, a failure says nothing about a bug.
    if ((await failing(original, [1])).length > 0)
      throw new Error('The simulator does not run, or fails with seed 1.');
    const catches = await huntAll(mutants, workshop);
    console.log(tableOf(catches));
    const escaped = catches.filter(({ by }) => by === null);
    const seeds = catches.flatMap(({ mutant, seed }) => (mutant.test === undefined ? [seed] : []));
    const falseAlarms = await failing(original, new Set(seeds));
    for (const seed of falseAlarms) console.log(`The original fails with seed ${seed} as well.`);
    console.log(
      `${catches.length - escaped.length} of ${catches.length} planted bugs were caught, in ` +
        `${((performance.now() - startedAt) / 1000).toFixed(0)} s.`,
    );
    return escaped.length + falseAlarms.length === 0 ? 0 : 1;
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
}

/** Hunts for all of them, a few at a time. */
async function huntAll(mutants: readonly Mutant[], workshop: string): Promise<readonly Catch[]> {
  const catches: Catch[] = [];
  const left = [...mutants.entries()];
  const hunter = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [number, mutant] = next;
      const build = join(workshop, `mutant-${number + 1}`);
      const caught =
        mutant.test === undefined ? await huntInBuild(mutant, build) : await testFor(mutant, build);
      catches[number] = caught;
      console.log(
        `${caught.by === null ? 'ESCAPED' : 'caught'}: ${mutant.name} (${rowOf(caught).slice(2).join(', ')})`,
      );
      await rm(build, { recursive: true, force: true });
    }
  };
  await Promise.all(Array.from({ length: HUNTERS_MAX }, hunter));
  return catches;
}

async function huntInBuild(mutant: Mutant, build: string): Promise<Catch> {
  await makeBuild(mutant, build);
  return huntFor(mutant, build);
}

/** Runs the unit test that is to find the bug, in a copy of the source. */
async function testFor(mutant: Mutant, tree: string): Promise<Catch> {
  const startedAt = performance.now();
  const { test = '' } = mutant;
  const failed = await new UnitTests(root, tree).failsWith(mutant);
  const seconds = (performance.now() - startedAt) / 1000;
  return { mutant, by: failed === null ? null : `${test}: ${failed}`, seed: 0, seconds };
}

/** A copy of the build in which some files are compiled from the edited source. */
async function makeBuild(mutant: Mutant, build: string): Promise<void> {
  await cp(join(root, 'dist'), build, { recursive: true });
  for (const edit of editsOf(mutant)) {
    const source = plant(edit, await readFile(join(root, edit.file), 'utf8'));
    const target = join(build, edit.file.replace(/^src\//, '').replace(/\.ts$/, '.js'));
    const { outputText, diagnostics } = ts.transpileModule(source, {
      fileName: edit.file,
      reportDiagnostics: true,
      compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext },
    });
    if (diagnostics !== undefined && diagnostics.length > 0)
      throw new Error(`"${mutant.name}" does not compile: ${diagnostics[0]?.messageText}`);
    await writeFile(target, outputText);
  }
}

/** Runs seeds on the build until one fails. */
function huntFor(mutant: Mutant, build: string): Promise<Catch> {
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const hunter = runSeeds(build, 1, SEEDS_MAX);
    let seed = 0;
    let by: string | null = null;
    const watchdog = setTimeout(() => {
      by = 'no progress (the process hung)';
      hunter.kill('SIGKILL');
    }, SILENCE_MS_MAX);
    hunter.on('message', (sighting: Sighting) => {
      watchdog.refresh();
      seed = sighting.seed;
      if (sighting.failure !== null) by = sighting.property ?? `crash (${sighting.failure})`;
    });
    void ended(hunter).then(({ code, signal }) => {
      clearTimeout(watchdog);
      const isEarly = by === null && seed < SEEDS_MAX;
      if (isEarly) by = `crash (the process ended with ${code ?? signal})`;
      const hung = by?.startsWith('no progress') === true;
      resolve({
        mutant,
        by,
        seed: isEarly || hung ? seed + 1 : seed,
        seconds: (performance.now() - startedAt) / 1000,
      });
    });
  });
}

/** Which of these seeds fail in the given build. */
async function failing(build: string, seeds: Iterable<number>): Promise<readonly number[]> {
  const found: number[] = [];
  for (const seed of seeds) {
    const hunter = runSeeds(build, seed, seed);
    let hasPassed = false;
    hunter.on('message', (sighting: Sighting) => {
      hasPassed = sighting.failure === null;
    });
    await ended(hunter);
    if (!hasPassed) found.push(seed);
  }
  return found;
}

/** How a hunter ended, once all that it said has come: its end may be told before its last words. */
async function ended(
  hunter: ChildProcess,
): Promise<{ readonly code: number | null; readonly signal: string | null }> {
  const silence = once(hunter, 'disconnect');
  const [code, signal] = await once(hunter, 'exit');
  await silence;
  return { code, signal };
}

function runSeeds(build: string, firstSeed: number, lastSeed: number) {
  const script = fileURLToPath(new URL('./hunt.js', import.meta.url));
  return fork(script, [build, String(firstSeed), String(lastSeed)], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
}

function rowOf({ mutant, by, seed, seconds }: Catch): readonly string[] {
  const seeds = mutant.test === undefined ? String(seed) : '-';
  return [mutant.name, mutant.rule, by ?? 'NOBODY', seeds, seconds.toFixed(1)];
}

/** A table in Markdown. */
function tableOf(catches: readonly Catch[]): string {
  const rows = [['planted bug', 'rule', 'caught by', 'seeds', 'seconds'], ...catches.map(rowOf)];
  rows.splice(1, 0, ['---', '---', '---', '---:', '---:']);
  return rows.map((row) => `| ${row.join(' | ')} |`).join('\n');
}

process.exitCode = await main(process.argv.slice(2));
