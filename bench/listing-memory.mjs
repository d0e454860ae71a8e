import { callAgain } from './calls.mjs';
import { fill, pages } from './listing.mjs';
import { anonymousMib, settle } from './node-figures.mjs';

const KEYS = 1_000_000;
const WARM_UP_KEYS = 20_000;
const GROWTH_MIB_MAX = 64;
const SAMPLE_EVERY_MS = 20;

const send = (url, request) => callAgain(async () => url, request);

/**
 * How much memory of one node it takes to list a million keys. Measured is anonymous memory: the resident set also counts
 * the pages of LevelDB's memory-mapped files, which the kernel takes back when it needs them. A part is listed before, so
 * that code which is compiled for the first listing of a process does not count as what a listing takes.
 *
 * @param {object} raftkv the started cluster
 * @returns {Promise<boolean>} whether the growth is within its bound
 */
export async function reportListingMemory(raftkv) {
  const began = performance.now();
  console.log(`filling ${KEYS} keys of 256 bytes`);
  await fill(raftkv, KEYS, sayEvery(KEYS / 10));
  console.log(`filled in ${secondsSince(began)} s`);
  const leader = await raftkv.leader();
  const { url } = leader;
  const processId = leader.processId();
  for await (const _page of pages(url, raftkv.listing, { keysMax: WARM_UP_KEYS, send }));
  await settle(processId);

  const baseline = anonymousMib(processId);
  let peak = baseline;
  const sample = () => {
    peak = Math.max(peak, anonymousMib(processId));
  };
  const timer = setInterval(sample, SAMPLE_EVERY_MS);
  const listingBegan = performance.now();
  let listed = 0;
  try {
    for await (const { keys } of pages(url, raftkv.listing, { send })) {
      listed += keys;
      sample();
    }
  } finally {
    clearInterval(timer);
  }
  if (listed !== KEYS) throw new Error(`${listed} of ${KEYS} keys were listed.`);
  const growth = peak - baseline;
  console.log(
    `listed ${listed} keys through one node in ${secondsSince(listingBegan)} s, after ${WARM_UP_KEYS} to warm up\n` +
      `its anonymous memory: ${baseline.toFixed(1)} MiB before, at most ${peak.toFixed(1)} MiB meanwhile; ` +
      `growth ${growth.toFixed(1)} MiB of less than ${GROWTH_MIB_MAX} MiB`,
  );
  return growth < GROWTH_MIB_MAX;
}

function sayEvery(step) {
  let next = step;
  return (filled) => {
    if (filled < next) return;
    console.log(`  ${filled}`);
    next += step;
  };
}

const secondsSince = (began) => ((performance.now() - began) / 1000).toFixed(0);
