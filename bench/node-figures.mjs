import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const SAMPLE_EVERY_MS = 20;
/** The node has settled when its memory stayed within this for so long; after the longest time it is measured as it is. */
const SETTLED_MIB = 1;
const SETTLED_MS = 5_000;
const SETTLE_TIMEOUT_MS = 120_000;

/** Waits until what came before is written and collected; gives the memory then. */
export async function settle(processId, timeoutMs = SETTLE_TIMEOUT_MS) {
  const deadline = performance.now() + timeoutMs;
  let since = performance.now();
  let reference = anonymousMib(processId);
  while (performance.now() - since < SETTLED_MS && performance.now() < deadline) {
    await sleep(SAMPLE_EVERY_MS);
    const now = anonymousMib(processId);
    if (Math.abs(now - reference) <= SETTLED_MIB) continue;
    reference = now;
    since = performance.now();
  }
  return anonymousMib(processId);
}

/** Memory that the process itself holds, in MiB: its heap, its buffers and LevelDB's. */
export function anonymousMib(processId) {
  const status = readFileSync(`/proc/${processId}/status`, 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)[1]) / 1024;
}

/**
 * The processor time that all present threads of a process have used, in microseconds. Node and LevelDB keep their threads for
 * as long as the process lives, so the difference of two readings is what the process used between them.
 */
export function processorMicroseconds(processId) {
  const tasks = `/proc/${processId}/task`;
  const nanoseconds = readdirSync(tasks).map((task) =>
    Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0]),
  );
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1000;
}

/**
 * What a node says of itself. The delay of its event loop is that since the last time it was asked.
 *
 * @param {string} url
 * @returns {Promise<{ watches: number, term: number, stalls: number, longestStallMs: number, delayP99Ms: number, delayMaxMs: number }>}
 */
export async function nodeFigures(url) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const of = (name) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  return {
    watches: of('raftkv_watches'),
    term: of('raftkv_term'),
    stalls: of('raftkv_process_stalls_total'),
    longestStallMs: of('raftkv_longest_stall_seconds') * 1_000,
    delayP99Ms: of('nodejs_eventloop_lag_p99_seconds') * 1000,
    delayMaxMs: of('nodejs_eventloop_lag_max_seconds') * 1000,
  };
}

export async function sayDelay(url, when) {
  const { delayP99Ms, delayMaxMs, stalls, longestStallMs } = await nodeFigures(url);
  console.log(
    `  ${when}, the delay of the node's event loop: p99 ${delayP99Ms.toFixed(0)} ms, longest ${delayMaxMs.toFixed(0)} ms; ` +
      `${stalls} stalls since the start, longest ${longestStallMs.toFixed(0)} ms`,
  );
}
