import { type Command, InvalidArgumentError } from 'commander';
import { RaftkvError } from '../errors.js';
import type { BatchReport } from '../sim/batch.js';
import type { Report } from '../sim/simulation.js';
import { printLine, type Terminal } from './terminal.js';

interface SimFlags {
  readonly seed: number;
  readonly seeds: number;
  readonly nodes?: number;
  readonly workers?: number;
  readonly faults?: readonly number[];
  readonly shrink?: boolean;
  readonly trace?: boolean;
}

/** How often a batch says how far it is, in seeds. */
const PROGRESS_SEEDS = 1000;

/** The simulator is loaded only when it is asked for: every other command starts without it. */
export function addSim(program: Command, terminal: Terminal): void {
  program
    .command('sim')
    .description(
      'run whole clusters in virtual time, each with the faults that its seed decides, and check them',
    )
    .option('--seed <N>', 'the first seed', parseWhole, 1)
    .option('--seeds <M>', 'how many seeds, from the first on', parseWhole, 1)
    .option('--nodes <K>', 'founding members; each seed decides unless given', parseNodes)
    .option('--workers <W>', 'threads that run seeds; one for each core unless given', parseNodes)
    .option('--faults <LIST>', 'only these of its faults, by their numbers: 3,7', parseNumbers)
    .option('--shrink', 'find out which faults a failure needs')
    .option('--trace', 'print everything that happens, one line each')
    .action(async (flags: SimFlags) => {
      const failed = await perform(flags, terminal);
      if (failed > 0) throw new RaftkvError('internal', `${failed} of ${flags.seeds} seeds failed.`);
    });
}

function perform(flags: SimFlags, terminal: Terminal): Promise<number> {
  if (flags.shrink === true) return shrinkSeeds(flags, terminal);
  // A batch has no list of faults: that belongs to one seed.
  if (flags.trace === true || flags.faults !== undefined) return traceSeeds(flags, terminal);
  return runSeeds(flags, terminal);
}

/** Looks for the faults that each failure needs. Returns how many seeds failed. */
async function shrinkSeeds(flags: SimFlags, terminal: Terminal): Promise<number> {
  const [{ simulate }, { shrink }] = await Promise.all([
    import('../sim/simulation.js'),
    import('../sim/shrink.js'),
  ]);
  let failed = 0;
  for (let seed = flags.seed; seed < flags.seed + flags.seeds; seed += 1) {
    const shrunk = await shrink((faults) => simulate({ seed, nodeCount: flags.nodes, faults }));
    if (shrunk === null) {
      printLine(terminal, `seed ${seed} passes`);
      continue;
    }
    failed += 1;
    const { report, faults, runCount } = shrunk;
    printLine(terminal, `seed ${seed}: ${faults.length} faults are left after ${runCount} runs`);
    printLine(terminal, describeFailure(report, { ...flags, faults }));
  }
  printLine(terminal, `${flags.seeds - failed} passed, ${failed} failed`);
  return failed;
}

/** Runs the seeds one after the other with every line of their traces. Returns how many failed. */
async function traceSeeds(flags: SimFlags, terminal: Terminal): Promise<number> {
  const { simulate } = await import('../sim/simulation.js');
  let failed = 0;
  for (let seed = flags.seed; seed < flags.seed + flags.seeds; seed += 1) {
    const report = await simulate({
      seed,
      nodeCount: flags.nodes,
      faults: flags.faults,
      writeLine: flags.trace === true ? (line) => printLine(terminal, line) : undefined,
    });
    printLine(terminal, `seed ${seed}: trace ${report.hash}`);
    if (report.failure !== null) {
      failed += 1;
      printLine(terminal, describeFailure(report, flags));
    }
  }
  printLine(terminal, `${flags.seeds - failed} passed, ${failed} failed`);
  return failed;
}

/** Runs the seeds on all cores. Returns how many failed. */
async function runSeeds(flags: SimFlags, terminal: Terminal): Promise<number> {
  const { runBatch } = await import('../sim/batch.js');
  const startedAt = performance.now();
  let count = 0;
  const batch = await runBatch({
    firstSeed: flags.seed,
    seedCount: flags.seeds,
    nodeCount: flags.nodes,
    workerCount: flags.workers,
    onReport: (report) => {
      count += 1;
      if (flags.seeds <= HASHES_SHOWN_MAX && report.failure === null)
        printLine(terminal, `seed ${report.seed}: trace ${report.hash}`);
      if (report.failure !== null) printLine(terminal, describeFailure(report, flags));
      if (count % PROGRESS_SEEDS === 0 && count < flags.seeds)
        printLine(terminal, `${count} of ${flags.seeds} seeds, ${seconds(performance.now() - startedAt)}`);
    },
  });
  printLine(terminal, describeBatch(batch, performance.now() - startedAt));
  const failed = batch.failures.length;
  printLine(terminal, `${batch.seedCount - failed} passed, ${failed} failed`);
  return failed;
}

/** Up to so many seeds, the hash of each trace is shown. */
const HASHES_SHOWN_MAX = 20;

/** The command that replays the seed, and what was violated where, on one line. */
function describeFailure({ seed, failure }: Report, { nodes, faults }: SimFlags): string {
  const some = faults === undefined ? '' : ` --faults ${faults.length === 0 ? 'none' : faults.join(',')}`;
  const replay = `raftkv sim --seed ${seed}${nodes === undefined ? '' : ` --nodes ${nodes}`}${some} --trace`;
  return `${replay}  # ${failure?.replaceAll(/\s*\n\s*/g, ' ')}`;
}

function describeBatch({ seedCount, simulatedMs, healedMsMax, counts }: BatchReport, realMs: number): string {
  const { done, read, refused, unknown, undecided } = counts;
  return [
    `${seedCount} seeds, ${seconds(simulatedMs)} simulated in ${seconds(realMs)}: ${Math.round(simulatedMs / realMs)} s a second`,
    `${counts.events} events, ${counts.messages} messages, ${counts.elections} elections, ${counts.crashes} crashes, ` +
      `${counts.snapshots} snapshots`,
    `${counts.operations} operations: ${done} done, ${read} read, ${refused} refused, ${unknown} unknown` +
      `${undecided === 0 ? '' : `; the histories of ${undecided} keys took too long to judge`}`,
    `in order again ${seconds(healedMsMax)} after the last fault at the latest`,
  ].join('\n');
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function parseWhole(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0 || text.trim() === '')
    throw new InvalidArgumentError('It must be a whole number.');
  return number;
}

/** Numbers that are separated by commas, or `none`. */
function parseNumbers(text: string): number[] {
  return text === 'none' ? [] : text.split(',').map(parseWhole);
}

function parseNodes(text: string): number {
  const number = parseWhole(text);
  if (number < 1 || number > 9) throw new InvalidArgumentError('It must be from 1 to 9.');
  return number;
}
