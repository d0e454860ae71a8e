/** `npm run test:hostile-http`: hostile clients of the HTTP API of real nodes, beside a steady one. */
import process from 'node:process';
import { Command } from 'commander';
import type { Attacked } from '../attacked.js';
import { parseCount } from '../count.js';
import { type AttackReport, attack } from './campaign.js';
import { percentile, STEADY_RATE, type SteadyReport } from './steady.js';

interface Flags {
  readonly requests: number;
  readonly rate: number;
  readonly seed: number;
  readonly survivalOnly?: boolean;
}

/** What 99 of 100 requests of the steady client must take at most. */
const P99_MS_MAX = 100;
const ALONE_MS = 10_000;

const flags = new Command('test:hostile-http')
  .description('hostile clients of the HTTP API of real nodes')
  .option('--requests <N>', 'how many, besides those of the steady client', parseCount, 100_000)
  .option('--rate <N>', 'how many a second', parseCount, 500)
  .option('--seed <S>', 'decides what is sent', Number, Date.now() % 1_000_000)
  .option('--survival-only', 'looks at what survives, and not at how long it takes')
  .parse()
  .opts<Flags>();

console.info(`seed ${flags.seed}`);
const aloneMs = flags.survivalOnly === true ? 0 : ALONE_MS;
const report = await attack({ ...flags, aloneMs });
show(report);
if (flags.survivalOnly !== true) judge(report);

function show({ tally, seconds, residentMib }: Attacked<AttackReport>): void {
  const counts = (map: ReadonlyMap<number | string, number>) =>
    [...map].map(([name, count]) => `${count} ${name}`).join(', ');
  console.info(
    `${tally.requests} hostile requests in ${seconds.toFixed(0)} s (${Math.round(tally.requests / seconds)} a second), ` +
      `a node took at most ${residentMib.toFixed(0)} MiB`,
  );
  console.info(`  clients: ${counts(tally.clients)}`);
  console.info(`  answers: ${counts(new Map([...tally.statuses].sort(([one], [two]) => one - two)))}`);
  console.info(`  connections refused: ${tally.refusedConnections}`);
}

function judge({ steady }: AttackReport): void {
  for (const [when, { timesMs, putsMs, getsMs, ownDelayMs, failures }] of Object.entries(steady)) {
    console.info(`steady client ${when}: ${figures(timesMs)}, ${failures.length} failed`);
    const [puts, gets] = [putsMs, getsMs].map((ofKind) => percentile(ofKind, 0.99).toFixed(1));
    console.info(
      `  p99 of puts ${puts} ms, of gets ${gets} ms; its own event loop was ${ownDelayMs.toFixed(1)} ms late`,
    );
    for (const failure of failures.slice(0, 5)) console.info(`  ${failure}`);
  }
  const p99 = percentile(steady.during.timesMs, 0.99);
  if (p99 < P99_MS_MAX) return;
  console.error(
    `The steady client's p99 was ${p99.toFixed(0)} ms, and must be below ${P99_MS_MAX} ms. Alone it was ` +
      `${percentile(steady.before.timesMs, 0.99).toFixed(0)} ms before and ${percentile(steady.after.timesMs, 0.99).toFixed(0)} ms after; ` +
      'where that is slow as well, the machine is busy.',
  );
  process.exitCode = 1;
}

function figures(timesMs: SteadyReport['timesMs']): string {
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((share) => percentile(timesMs, share).toFixed(1));
  const longest = timesMs.at(-1) ?? 0;
  return `${timesMs.length} requests at ${STEADY_RATE} a second, p50 ${p50} ms, p99 ${p99} ms, p99.9 ${p999} ms, longest ${longest.toFixed(0)} ms`;
}
