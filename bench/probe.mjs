import { setTimeout as sleep } from 'node:timers/promises';
import { call } from './calls.mjs';
import { percentiles } from './figures.mjs';
import { VALUE } from './keys.mjs';

const PUT_EVERY_MS = 20;
const PROBE_KEY = 'probe';

/**
 * Puts at a steady pace, whether the ones before are answered or not, so that a stall shows in every put that was due in it.
 *
 * @param {() => Promise<string>} urlOf
 * @param {{ key?: string }} [options]
 * @returns {{ stop: () => Promise<{ puts: number, p50Ms: number, p99Ms: number, maxMs: number, failures: number }> }}
 */
export function startProbe(urlOf, { key = PROBE_KEY } = {}) {
  const latencies = [];
  const answers = [];
  let failures = 0;
  let isStopped = false;
  const put = async (url) => {
    const began = performance.now();
    try {
      await call(url, { method: 'PUT', path: `/v1/kv/${key}`, body: VALUE });
      latencies.push(performance.now() - began);
    } catch {
      failures += 1;
    }
  };
  const run = async () => {
    const url = await urlOf();
    const start = performance.now();
    for (let number = 0; !isStopped; number += 1) {
      await sleep(Math.max(0, start + number * PUT_EVERY_MS - performance.now()));
      answers.push(put(url));
    }
    await Promise.all(answers);
  };
  const done = run();
  const stop = async () => {
    isStopped = true;
    await done;
    return { puts: latencies.length, ...percentiles(latencies), maxMs: Math.max(...latencies), failures };
  };
  return { stop };
}

/** Puts for so long while nothing else happens that is of interest. */
export async function probeFor(urlOf, ms, options) {
  const probe = startProbe(urlOf, options);
  await sleep(ms);
  return probe.stop();
}

export const probeText = ({ puts, p50Ms, p99Ms, maxMs, failures }) =>
  `${puts} puts: p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, longest ${maxMs.toFixed(1)} ms` +
  (failures > 0 ? `, ${failures} failed` : '');
