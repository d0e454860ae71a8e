import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { call } from './calls.mjs';
import { percentiles } from './figures.mjs';

export const WATCHES = 1000;
const PUTS = 100;
const PUT_EVERY_MS = 50;
/** Connections and code are used for the first time by these puts, which do not count. */
const PUTS_BEFORE = 5;
const PUT_KEYS = 10;
const START_TIMEOUT_MS = 30_000;
const LAST_EVENT_TIMEOUT_MS = 10_000;

/** Counts how often some words come in a stream of bytes, wherever it is cut. */
export function occurrences(words) {
  const marker = Buffer.from(words);
  let rest = Buffer.alloc(0);
  return (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let count = 0;
    let from = 0;
    for (let at = bytes.indexOf(marker); at !== -1; at = bytes.indexOf(marker, from)) {
      count += 1;
      from = at + marker.length;
    }
    rest = bytes.subarray(Math.max(from, bytes.length - marker.length + 1));
    return count;
  };
}

/**
 * From the sending of a put until the last of many watches has its event, with puts at a steady pace.
 *
 * @param {string} url
 * @param {object} system how its requests and its streams look, as `watch` of etcd-requests.mjs
 * @returns {Promise<{ perSecond: number, p50Ms: number, p99Ms: number, failures: number }>} of puts; those that did not reach
 *   all watches in time have failed
 */
export async function watchFanOut(url, system) {
  const count = PUTS_BEFORE + PUTS;
  const missing = Array.from({ length: count }, () => WATCHES);
  const arrivedAt = [];
  let arrived = 0;
  let allArrived = () => {};
  const onEvent = (number) => {
    missing[number] -= 1;
    if (missing[number] > 0) return;
    arrivedAt[number] = performance.now();
    arrived += 1;
    if (arrived === count) allArrived();
  };
  const watches = Array.from({ length: WATCHES }, () => startWatch(url, system, onEvent));
  try {
    await inTime(Promise.all(watches.map(({ began }) => began)), START_TIMEOUT_MS);
    const all = new Promise((resolve) => {
      allArrived = resolve;
    });
    const sentAt = [];
    const answers = [];
    const start = performance.now();
    for (let number = 0; number < count; number += 1) {
      await sleep(Math.max(0, start + number * PUT_EVERY_MS - performance.now()));
      sentAt.push(performance.now());
      answers.push(call(url, system.put(number % PUT_KEYS)));
    }
    await Promise.all(answers);
    await inTime(all, LAST_EVENT_TIMEOUT_MS).catch(() => {});
    const times = [];
    for (let number = PUTS_BEFORE; number < count; number += 1) {
      if (arrivedAt[number] !== undefined) times.push(arrivedAt[number] - sentAt[number]);
    }
    const tookMs = Math.max(...arrivedAt.slice(PUTS_BEFORE)) - sentAt[PUTS_BEFORE];
    return {
      perSecond: (times.length * 1000) / tookMs,
      ...percentiles(times),
      failures: PUTS - times.length,
    };
  } finally {
    for (const { stop } of watches) stop();
  }
}

/** A raw connection that counts: a thousand parsers of streams would measure themselves. */
export function startWatch(url, { request, began: beginning, event }, onEvent) {
  const { hostname, port } = new URL(url);
  const { method, path, body = '' } = request;
  const socket = connect(Number(port), hostname);
  socket.write(
    `${method} ${path} HTTP/1.1\r\nHost: ${hostname}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  const beginnings = occurrences(beginning);
  const events = occurrences(event);
  let seen = 0;
  const began = new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      if (seen === 0 && beginnings(chunk) > 0) resolve();
      for (let more = events(chunk); more > 0; more -= 1) {
        onEvent(seen);
        seen += 1;
      }
    });
  });
  return {
    began,
    /** Reads nothing from now on. */
    pause: () => socket.pause(),
    bytes: () => socket.bytesRead,
    stop: () => socket.destroy(),
  };
}

async function inTime(promise, timeoutMs) {
  const controller = new AbortController();
  const late = sleep(timeoutMs, undefined, { signal: controller.signal }).then(() => {
    throw new Error(`Not within ${timeoutMs} ms.`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    controller.abort();
    late.catch(() => {});
  }
}
