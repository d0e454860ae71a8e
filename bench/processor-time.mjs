import { median, ratioInterval } from './figures.mjs';
import { deal, load } from './load.mjs';
import { processorMicroseconds } from './node-figures.mjs';
import { warmUp } from './systems.mjs';

/** Requests of each kind before the first pair, so that both programs run compiled code. */
const WARM_UP_SECONDS = 2;
/** The processor time of one request may be this many times what it was. */
const RATIO_MAX = 1.03;

/**
 * Compares the processor time that a put and a get cost all nodes together, between two builds of raftkv. Both clusters run
 * side by side; the load goes to one at a time, in pairs whose order alternates. Each pair gives one ratio. A machine whose speed changes from
 * minute to minute changes both sides of a pair.
 *
 * @param {object} before the cluster of the other build
 * @param {object} now the cluster of this build
 * @param {{ requests: string[], pairs: number, seconds: number, warmUpSeconds: number, connectionCounts: number[] }} options `put` and `get`, or one
 * @returns {Promise<boolean>} whether every mean ratio is within the bound
 */
export async function compareProcessorTime(before, now, options) {
  const { requests, pairs, seconds, warmUpSeconds, connectionCounts } = options;
  for (const system of [before, now]) await warmUp(system, warmUpSeconds);
  console.log(
    `Microseconds of processor time a request, all nodes, ${pairs} pairs of ${seconds} s in turn.\n`,
  );
  console.log('| request | connections | before | now | now / before | 95 % interval | failed |');
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  let isWithin = true;
  for (const operation of requests) {
    for (const connections of connectionCounts) {
      for (const system of [before, now]) await costOf(system, operation, connections, WARM_UP_SECONDS);
      const costs = { before: [], now: [] };
      let failures = 0;
      for (let pair = 0; pair < pairs; pair += 1) {
        const order = pair % 2 === 0 ? ['before', 'now'] : ['now', 'before'];
        for (const side of order) {
          const system = side === 'now' ? now : before;
          const cost = await costOf(system, operation, connections, seconds);
          costs[side].push(cost.microseconds);
          failures += cost.failures;
        }
      }
      const { mean, low, high } = ratioInterval(costs.now.map((cost, pair) => cost / costs.before[pair]));
      if (mean > RATIO_MAX) isWithin = false;
      console.log(
        `| ${operation} | ${connections} | ${median(costs.before).toFixed(1)} | ${median(costs.now).toFixed(1)} | ` +
          `${mean.toFixed(3)} | ${low.toFixed(3)} to ${high.toFixed(3)} | ${failures} |`,
      );
    }
  }
  if (!isWithin) console.log(`\nA request may cost at most ${RATIO_MAX} times what it cost before.`);
  return isWithin;
}

async function costOf(system, operation, connections, seconds) {
  const url = await system.leaderUrl();
  const usedBefore = usedBy(system);
  const { perSecond, elapsedSeconds, failures } = await load({
    url,
    shares: deal(system[operation], connections),
    seconds,
  });
  return { microseconds: (usedBy(system) - usedBefore) / (perSecond * elapsedSeconds), failures };
}

const usedBy = (system) =>
  system.nodes.reduce((sum, node) => sum + processorMicroseconds(node.processId()), 0);
