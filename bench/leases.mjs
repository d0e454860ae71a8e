import { setTimeout as sleep } from 'node:timers/promises';
import { call, callAgain, concurrently } from './calls.mjs';
import { Expectations } from './expectations.mjs';
import { VALUE } from './keys.mjs';
import { nodeFigures, sayDelay, settle } from './node-figures.mjs';
import { probeFor, probeText, startProbe } from './probe.mjs';
import { until } from './systems.mjs';

const REQUESTS_IN_FLIGHT = 64;
const PROBE_MS = 5_000;
const SETTLE_MS = 20_000;
/** Longer than everything before the leases are to end. */
const TTL_SECONDS = 3_600;
/** One lease of so many has a key, and one of so many is asked for its remaining time. */
const LEASES_PER_KEY = 10;
const LEASES_PER_SAMPLE = 1_000;
const LEASED_PREFIX = 'leased/';
/** The leases are kept alive until so much later than that should take, by how long granting them took. */
const END_AFTER_MS = 20_000;
const END_TIMEOUT_MS = 120_000;
const ATTEMPT_TIMEOUT_MS = 1_000;
const NEXT_LEADER_TIMEOUT_MS = 30_000;
/** Bounds: the longest put beside any of it, what a change of leader may take, and what it may add to a lease. */
const LONGEST_PUT_MS_MAX = 1_000;
const NEXT_PUT_MS_MAX = 5_000;
const LENGTHENED_MS_MAX = 1_000;
/** Remaining time is told when it is asked for, and asking takes its time. */
const ASKING_MS_MAX = 250;

/**
 * So many leases: granted over HTTP, over a kill of the leader and a restart of the node, kept alive, and all ended at about the
 * same time, with puts beside.
 *
 * @param {object} raftkv the started cluster
 * @param {number} count
 * @returns {Promise<boolean>} whether everything is within its bounds
 */
export async function reportLeases(raftkv, count) {
  const leaderUrl = rememberedLeader(raftkv);
  const expectations = new Expectations();
  const { expectThat } = expectations;
  const beside = async (what, task) => {
    const leader = await raftkv.leader();
    leaderUrl.forget();
    await nodeFigures(leader.url);
    const probe = startProbe(leaderUrl);
    const began = performance.now();
    await task();
    const seconds = (performance.now() - began) / 1000;
    const probed = await probe.stop();
    console.log(`${what} in ${seconds.toFixed(1)} s\n  meanwhile, ${probeText(probed)}`);
    await sayDelay(leader.url, 'meanwhile');
    expectThat(probed.failures === 0, 'no put fails');
    expectThat(probed.maxMs <= LONGEST_PUT_MS_MAX, `a put takes at most ${LONGEST_PUT_MS_MAX} ms`);
  };

  await probeFor(leaderUrl, PROBE_MS);
  console.log(`without leases, ${probeText(await probeFor(leaderUrl, PROBE_MS))}`);
  const first = await raftkv.leader();
  const before = await settle(first.processId(), SETTLE_MS);

  const leases = [];
  const granting = performance.now();
  await beside(`${count} leases granted, ${count / LEASES_PER_KEY} keys put with one`, async () => {
    await concurrently(count, REQUESTS_IN_FLIGHT, async (number) => {
      const { lease } = JSON.parse(await callAgain(leaderUrl, grantOf(TTL_SECONDS)));
      leases.push({ lease, grantedAt: performance.now() });
      if (number % LEASES_PER_KEY === 0) await callAgain(leaderUrl, leasedPut(number, lease));
    });
  });
  const grantedInMs = performance.now() - granting;
  const granted = await settle(first.processId(), SETTLE_MS);
  console.log(
    `  the leader's memory: ${before.toFixed(0)} MiB before, ${granted.toFixed(0)} MiB with them, ` +
      `${(((granted - before) * 1024) / count).toFixed(2)} KiB a lease`,
  );
  console.log(`with ${count} leases, ${probeText(await probeFor(leaderUrl, PROBE_MS))}`);
  await beside('all of them listed', async () => {
    expectThat((await listed(await leaderUrl())) === count, 'all leases are listed');
  });

  const sample = leases.filter((_, number) => number % LEASES_PER_SAMPLE === 0);
  await killLeader(raftkv, sample, expectThat);
  leaderUrl.forget();

  const endsAt = { ms: 0 };
  await beside('all of them kept alive, for less', async () => {
    endsAt.ms = performance.now() + grantedInMs + END_AFTER_MS;
    await concurrently(count, REQUESTS_IN_FLIGHT, (number) =>
      callAgain(leaderUrl, keepingAlive(leases[number].lease, endsAt.ms)),
    );
  });
  const early = endsAt.ms - performance.now();
  expectThat(early > 0, 'the keepalives are done before the leases end');
  await sleep(Math.max(0, early - 2_000));
  expectThat((await listed(await leaderUrl())) === count, 'no lease ends before its time');
  await sleep(Math.max(0, endsAt.ms - performance.now()));
  await beside('all of them ended', async () => {
    const url = await leaderUrl();
    await until(async () => (await listed(url, 1)) === 0, 'the end of all leases', END_TIMEOUT_MS);
  });
  const keys = JSON.parse(
    await call(await leaderUrl(), { method: 'GET', path: `/v1/kv?prefix=${LEASED_PREFIX}` }),
  );
  expectThat(keys.items.length === 0, 'their keys are gone');
  const last = await raftkv.leader();
  console.log(`  the leader's memory then: ${(await settle(last.processId(), SETTLE_MS)).toFixed(0)} MiB`);
  return expectations.areMet;
}

/** Asking who leads before every request would be half of the load. */
function rememberedLeader({ leader }) {
  let url;
  const find = async () => {
    url = (await leader()).url;
    return url;
  };
  const leaderUrl = async () => url ?? find();
  return Object.assign(leaderUrl, {
    forget: () => {
      url = undefined;
    },
  });
}

/** Kills the leader, sees when the next put is acknowledged and what became of the remaining times, and starts the node again. */
async function killLeader(raftkv, sample, expectThat) {
  const killed = await raftkv.leader();
  const others = raftkv.nodes.filter(({ name }) => name !== killed.name);
  const began = performance.now();
  await killed.end('SIGKILL');
  await until(
    () => Promise.any(others.map(({ url }) => quickPut(url))),
    'another leader',
    NEXT_LEADER_TIMEOUT_MS,
  );
  const withoutLeaderMs = performance.now() - began;
  console.log(`the leader killed: the next put was acknowledged after ${withoutLeaderMs.toFixed(0)} ms`);
  expectThat(withoutLeaderMs <= NEXT_PUT_MS_MAX, `the next put is acknowledged within ${NEXT_PUT_MS_MAX} ms`);

  const url = await raftkv.leaderUrl();
  const lengthened = [];
  for (const { lease, grantedAt } of sample) {
    const { remainingSeconds } = JSON.parse(await call(url, { method: 'GET', path: `/v1/leases/${lease}` }));
    lengthened.push(remainingSeconds * 1000 - (TTL_SECONDS * 1000 - (performance.now() - grantedAt)));
  }
  const least = Math.min(...lengthened);
  const most = Math.max(...lengthened);
  console.log(
    `  remaining times of ${sample.length} leases: longer by ${least.toFixed(0)} to ${most.toFixed(0)} ms`,
  );
  expectThat(least >= -ASKING_MS_MAX, 'no lease is shortened');
  expectThat(
    most <= withoutLeaderMs + LENGTHENED_MS_MAX + ASKING_MS_MAX,
    'no lease is lengthened by more than that',
  );

  const restarting = performance.now();
  killed.restart();
  await until(async () => (await fetch(`${killed.url}/readyz`)).ok, killed.name, NEXT_LEADER_TIMEOUT_MS);
  console.log(
    `  the killed node started again: ready after ${(performance.now() - restarting).toFixed(0)} ms`,
  );
}

async function quickPut(url) {
  const signal = AbortSignal.timeout(ATTEMPT_TIMEOUT_MS);
  const answer = await fetch(`${url}/v1/kv/after-kill?timeout=${ATTEMPT_TIMEOUT_MS}ms`, {
    method: 'PUT',
    body: VALUE,
    signal,
  });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return true;
}

/** How many leases there are, counted up to a limit. */
async function listed(url, limit = Number.POSITIVE_INFINITY) {
  let count = 0;
  let after = 0;
  for (;;) {
    const path = `/v1/leases?after=${after}&limit=${Math.min(1_000, limit)}`;
    const { leases, more } = JSON.parse(await call(url, { method: 'GET', path }));
    count += leases.length;
    if (!more || count >= limit) return count;
    after = leases.at(-1).lease;
  }
}

const json = { 'content-type': 'application/json' };

const grantOf = (ttlSeconds) => ({
  method: 'POST',
  path: '/v1/leases',
  headers: json,
  body: JSON.stringify({ ttlSeconds }),
});

/** So that it ends at this time. */
const keepingAlive = (lease, endsAtMs) => ({
  method: 'POST',
  path: `/v1/leases/${lease}/keepalive`,
  headers: json,
  body: JSON.stringify({ ttlSeconds: Math.max(1, Math.round(endsAtMs - performance.now()) / 1000) }),
});

const leasedPut = (number, lease) => ({
  method: 'PUT',
  path: `/v1/kv/${LEASED_PREFIX}${number}?lease=${lease}`,
  body: VALUE,
});
