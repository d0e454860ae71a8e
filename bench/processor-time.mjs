import { median, ratioInterval } from './figures.mjs';
import { deal, load } from './load.mjs';
import { processorMicroseconds } from './node-figures.mjs';
import { warmUp } from './systems.mjs';

/** Requests of each kind before it is measured, so that both programs run compiled code. */
const WARM_UP_SECONDS = 1;
/** The processor time of one request may be this many times what it was. */
const RATIO_MAX = 1.03;

/**
 * Compares the processor time that a put and a get cost all nodes together, between two builds of raftkv. Each pair starts two
 * clusters of its own, because one process costs up to a fifth more than another of the same program, for as long as it lives:
 * pairs of the same processes agree with each other and not with the next run. The load goes to one cluster at a time, twice to each, in the order
 * A B B A, and A changes from pair to pair. Each pair gives one ratio. A machine whose speed changes from minute to minute changes both sides of a pair.
 *
 * @param {(side: 'before' | 'now', pair: number) => Promise<object>} start starts a cluster of one of the builds
 * @param {() => Promise<void>} stop ends both, and removes what they wrote
 * @param {{ requests: string[], pairs: number, seconds: number, warmUpSeconds: number, connectionCounts: number[] }} options `put` and `get`, or one;
 *   `seconds` of load for each side of a pair
 * @returns {Promise<boolean>} whether every mean ratio is within the bound
 */
export async function compareProcessorTime(start, stop, options) {
  const { requests, pairs, seconds, warmUpSeconds, connectionCounts } = options;
  const rows = requests.flatMap((request) =>
    connectionCounts.map((connections) => ({ request, connections, before: [], now: [], failures: 0 })),
  );
  for (let pair = 0; pair < pairs; pair += 1) {
    const systems = { before: await start('before', pair), now: await start('now', pair) };
    for (const system of Object.values(systems)) await warmUp(system, warmUpSeconds);
    const [one, other] = pair % 2 === 0 ? ['before', 'now'] : ['now', 'before'];
    for (const row of rows) {
      const used = { before: 0, now: 0 };
      for (const side of [one, other]) await costOf(systems[side], row, WARM_UP_SECONDS);
      for (const side of [one, other, other, one]) {
        const cost = await costOf(systems[side], row, seconds / 2);
        used[side] += cost.microseconds / 2;
        row.failures += cost.failures;
      }
      for (const side of [one, other]) row[side].push(used[side]);
    }
    await stop();
  }
  console.log(
    `Microseconds of processor time a request, all nodes; ${pairs} pairs of clusters, ${seconds} s each.\n`,
  );
  console.log('| request | connections | before | now | now / before | 95 % interval | failed |');
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  let isWithin = true;
  for (const { request, connections, before, now, failures } of rows) {
    const { mean, low, high } = ratioInterval(now.map((cost, pair) => cost / before[pair]));
    if (mean > RATIO_MAX) isWithin = false;
    console.log(
      `| ${request} | ${connections} | ${median(before).toFixed(1)} | ${median(now).toFixed(1)} | ` +
        `${mean.toFixed(3)} | ${low.toFixed(3)} to ${high.toFixed(3)} | ${failures} |`,
    );
  }
  if (!isWithin) console.log(`\nA request may cost at most ${RATIO_MAX} times what it cost before.`);
  return isWithin;
}

async function costOf(system, { request, connections }, seconds) {
  const url = await system.leaderUrl();
  const usedBefore = usedBy(system);
  const shares = deal(system[request], connections);
  const { perSecond, elapsedSeconds, failures } = await load({ url, shares, seconds });
  return { microseconds: (usedBy(system) - usedBefore) / (perSecond * elapsedSeconds), failures };
}

const usedBy = (system) =>
  system.nodes.reduce((sum, node) => sum + processorMicroseconds(node.processId()), 0);
