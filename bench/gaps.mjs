import { setTimeout as sleep } from 'node:timers/promises';
import { median } from './figures.mjs';
import { until } from './systems.mjs';

const ROUNDS = 7;
const TRY_EVERY_MS = 10;
/** A client tries for this long before the leader ends, and after. */
const BEFORE_MS = 300;
const AFTER_MS = 700;
const GIVE_UP_MS = 20_000;

/**
 * How long clients wait for the next acknowledged write when the leader is killed, and when it is told to stop. Prints both,
 * the median of several rounds each.
 *
 * @param {Awaited<ReturnType<typeof import('./systems.mjs').startRaftkv>>} raftkv
 * @returns {Promise<boolean>} whether everything was measured
 */
export async function reportGaps(raftkv) {
  for (const [what, signal] of [
    ['kill -9', 'SIGKILL'],
    ['SIGTERM', 'SIGTERM'],
  ]) {
    const gaps = [];
    for (let round = 0; round < ROUNDS; round += 1)
      gaps.push(await gapAt(raftkv, signal, `${signal}/${round}`));
    const listed = gaps.map((gap) => Math.round(gap)).join(', ');
    console.log(`${what} of the leader: median ${Math.round(median(gaps))} ms to the next write (${listed})`);
  }
  return true;
}

/** The longest time in milliseconds between two acknowledged writes, from the last one before the leader is ended. */
async function gapAt(raftkv, signal, prefix) {
  const leader = await raftkv.leader();
  const acknowledgedAt = [];
  const tries = [];
  let count = 0;
  const tryUntil = async (isEnough) => {
    const giveUpAt = performance.now() + GIVE_UP_MS;
    for (; !isEnough(); count += 1) {
      if (performance.now() > giveUpAt) throw new Error('No write was acknowledged any more.');
      const { url } = raftkv.nodes[count % raftkv.nodes.length];
      tries.push(
        isPut(`${url}/v1/kv/gaps/${prefix}/${count}`).then((isDone) => {
          if (isDone) acknowledgedAt.push(performance.now());
        }),
      );
      await sleep(TRY_EVERY_MS);
    }
  };
  const isAcknowledgedAfter = (at) => (acknowledgedAt.at(-1) ?? 0) > at;
  const startedAt = performance.now();
  await tryUntil(() => isAcknowledgedAfter(startedAt + BEFORE_MS));
  const endedAt = performance.now();
  const ended = leader.end(signal);
  await tryUntil(() => isAcknowledgedAfter(endedAt + AFTER_MS));
  await Promise.all([ended, ...tries]);
  leader.restart();
  await until(async () => (await fetch(`${leader.url}/readyz`)).ok, leader.name);
  const before = acknowledgedAt.findLastIndex((at) => at <= endedAt);
  const counted = acknowledgedAt.slice(Math.max(0, before));
  return Math.max(...counted.slice(1).map((at, place) => at - counted[place]));
}

async function isPut(url) {
  try {
    return (await fetch(url, { method: 'PUT', body: 'x', signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}
