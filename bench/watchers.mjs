import { setTimeout as sleep } from 'node:timers/promises';
import { call, concurrently } from './calls.mjs';
import { Expectations } from './expectations.mjs';
import { percentiles } from './figures.mjs';
import { anonymousMib, nodeFigures, sayDelay, settle } from './node-figures.mjs';
import { probeFor, probeText, startProbe } from './probe.mjs';
import { startWatch } from './watch-fan-out.mjs';

const OPENING_AT_ONCE = 100;
const QUIET_MS = 20_000;
const PROBE_MS = 5_000;
const FAN_OUT_PUTS = 50;
const FAN_OUT_TIMEOUT_MS = 30_000;
const SETTLE_MS = 20_000;
const SLOW_READERS = 500;
/** What is put for the slow readers: far more than the kernel takes for connections that nobody reads. */
const SLOW_VALUE = 'v'.repeat(64 * 1024);
const SLOW_PUTS = 400;
const SLOW_PUTS_IN_FLIGHT = 4;
const CLOSE_TIMEOUT_MS = 10_000;
const CLOSED_POLL_MS = 200;
const SLOW_PREFIX = 'slow/';
/**
 * Bounds: what one watch may take of the node's memory, and one that is not read, with garbage that is not collected yet; a queue
 * for it would hold 25 MiB.
 */
const KIB_PER_WATCH_MAX = 64;
const KIB_PER_SLOW_READER_MAX = 1024;

/**
 * So many watches on one node, the one that leads, which has the most to do: first all on one prefix, with readers among them
 * that never read; then each on a key of its own.
 *
 * @param {object} raftkv the started cluster
 * @param {number} count
 * @returns {Promise<boolean>} whether everything is within its bounds
 */
export async function reportWatchers(raftkv, count) {
  const leader = await raftkv.leader();
  const { url } = leader;
  const urlOf = async () => url;
  const processId = leader.processId();
  const expectations = new Expectations();
  const { expectThat } = expectations;
  const { term } = await nodeFigures(url);
  await probeFor(urlOf, PROBE_MS);
  const alone = await probeFor(urlOf, PROBE_MS);
  console.log(`without watches, ${probeText(alone)}`);

  const before = await settle(processId, SETTLE_MS);
  await sayDelay(url, 'before');
  const arrivals = new Arrivals(count);
  const opening = startProbe(urlOf);
  const began = performance.now();
  const watches = await openWatches(url, raftkv.watch, count, arrivals);
  console.log(
    `${count} watches on one prefix opened in ${((performance.now() - began) / 1000).toFixed(1)} s`,
  );
  console.log(`  meanwhile, ${probeText(await opening.stop())}`);
  await sayDelay(url, 'meanwhile');
  const opened = await settle(processId, SETTLE_MS);
  const kibPerWatch = ((opened - before) * 1024) / count;
  console.log(
    `  the node's memory: ${mib(before)} before, ${mib(opened)} with them, ${kibPerWatch.toFixed(1)} KiB a watch`,
  );
  expectThat(kibPerWatch <= KIB_PER_WATCH_MAX, `a watch takes at most ${KIB_PER_WATCH_MAX} KiB`);
  expectThat((await nodeFigures(url)).watches === count, 'all watches are counted');

  await nodeFigures(url);
  const bytesBefore = watches.map((watch) => watch.bytes());
  console.log(`idle for ${QUIET_MS / 1000} s, ${probeText(await probeFor(urlOf, QUIET_MS))}`);
  await sayDelay(url, 'meanwhile');
  const silent = watches.filter((watch, number) => watch.bytes() === bytesBefore[number]).length;
  expectThat(silent === 0, `every watch hears of progress; ${silent} did not`);
  console.log(`  to the last of ${count} watches: ${await fanOut(url, raftkv.watch, arrivals)}`);
  const beside = startProbe(urlOf);
  await fanOut(url, raftkv.watch, arrivals);
  console.log(`  beside that, ${probeText(await beside.stop())}`);
  await sayDelay(url, 'meanwhile');

  const quiet = await settle(processId, SETTLE_MS);
  const slow = await openSlowReaders(url, raftkv.watch);
  const fill = concurrently(SLOW_PUTS, SLOW_PUTS_IN_FLIGHT, (number) =>
    call(url, { method: 'PUT', path: `/v1/kv/${SLOW_PREFIX}${number}`, body: SLOW_VALUE }),
  );
  let peak = 0;
  const sampling = setInterval(() => {
    peak = Math.max(peak, anonymousMib(processId));
  }, 100);
  const filling = performance.now();
  await fill;
  console.log(
    `${SLOW_READERS} readers that never read, ${SLOW_PUTS} puts of ${SLOW_VALUE.length / 1024} KiB for them in ` +
      `${((performance.now() - filling) / 1000).toFixed(1)} s`,
  );
  await sayDelay(url, 'meanwhile');
  const held = await settle(processId, SETTLE_MS);
  clearInterval(sampling);
  const kibPerReader = ((held - quiet) * 1024) / SLOW_READERS;
  console.log(
    `  the node's memory: ${mib(quiet)} before, at most ${mib(peak)} meanwhile, ${mib(held)} after; ${kibPerReader.toFixed(0)} KiB a reader`,
  );
  expectThat(
    kibPerReader <= KIB_PER_SLOW_READER_MAX,
    `a reader that never reads takes at most ${KIB_PER_SLOW_READER_MAX} KiB`,
  );
  console.log(`  to the last of the other ${count} watches: ${await fanOut(url, raftkv.watch, arrivals)}`);
  await sayDelay(url, 'meanwhile');
  expectThat((await nodeFigures(url)).term === term, 'nobody else led meanwhile');
  await closeAll(leader, [...watches, ...slow], expectThat);
  await watchOwnKeys(raftkv, count, expectThat);
  return expectations.areMet;
}

async function watchOwnKeys(raftkv, count, expectThat) {
  // Closing all watches in one moment holds a node up, so it may be another one than before.
  const leader = await raftkv.leader();
  const { url } = leader;
  const urlOf = async () => url;
  const pathOf = (number) => `/v1/watch?key=own/${number}`;
  const watches = await openWatches(url, raftkv.watch, count, new Arrivals(1), pathOf);
  await settle(leader.processId(), SETTLE_MS);
  await nodeFigures(url);
  console.log(
    `${count} watches on ${count} keys; of another key, ${probeText(await probeFor(urlOf, PROBE_MS))}`,
  );
  console.log(`  of a watched key, ${probeText(await probeFor(urlOf, PROBE_MS, { key: 'own/7' }))}`);
  await sayDelay(url, 'meanwhile');
  await closeAll(leader, watches, expectThat);
}

/** When the last of many watches had an event. */
class Arrivals {
  #missing = 0;
  #resolve = () => {};

  constructor(watches) {
    this.watches = watches;
  }

  /** Resolves when every watch had one more event. */
  next() {
    this.#missing = this.watches;
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  arrived() {
    this.#missing -= 1;
    if (this.#missing === 0) this.#resolve();
  }
}

async function openWatches(url, system, count, arrivals, pathOf = () => system.request.path) {
  const watches = [];
  await concurrently(count, OPENING_AT_ONCE, async (number) => {
    const request = { ...system.request, path: pathOf(number) };
    const watch = startWatch(url, { ...system, request }, () => arrivals.arrived());
    watches.push(watch);
    await watch.began;
  });
  return watches;
}

/** Puts one after the other, each once the one before has reached all watches. */
async function fanOut(url, system, arrivals) {
  const times = [];
  for (let number = 0; number < FAN_OUT_PUTS; number += 1) {
    const all = arrivals.next();
    const began = performance.now();
    await call(url, system.put(number % 10));
    const late = sleep(FAN_OUT_TIMEOUT_MS, undefined, { ref: false }).then(() => {
      throw new Error(`A put did not reach all watches within ${FAN_OUT_TIMEOUT_MS} ms.`);
    });
    await Promise.race([all, late]);
    times.push(performance.now() - began);
  }
  const { p50Ms, p99Ms } = percentiles(times);
  return `${FAN_OUT_PUTS} puts, p50 ${p50Ms.toFixed(0)} ms, p99 ${p99Ms.toFixed(0)} ms`;
}

async function openSlowReaders(url, system) {
  const readers = [];
  await concurrently(SLOW_READERS, OPENING_AT_ONCE, async () => {
    const request = { ...system.request, path: `/v1/watch?prefix=${SLOW_PREFIX}` };
    const reader = startWatch(url, { ...system, request }, () => {});
    readers.push(reader);
    await reader.began;
    reader.pause();
  });
  return readers;
}

/** Closes all of them in one moment, as a proxy does that restarts. */
async function closeAll({ url, processId }, watches, expectThat) {
  await nodeFigures(url);
  for (const { stop } of watches) stop();
  const deadline = performance.now() + CLOSE_TIMEOUT_MS;
  let left = watches.length;
  while (left > 0 && performance.now() < deadline) {
    await sleep(CLOSED_POLL_MS);
    left = (await nodeFigures(url)).watches;
  }
  expectThat(left === 0, `no watch is left; ${left} are`);
  console.log(`all closed at once, the node's memory: ${mib(await settle(processId(), SETTLE_MS))}`);
  await sayDelay(url, 'then');
}

const mib = (value) => `${value.toFixed(0)} MiB`;
