import { call, callAgain, concurrently } from './calls.mjs';
import { percentiles } from './figures.mjs';
import { listedKey, TRANSACTION_PUTS } from './keys.mjs';

const TRANSACTIONS_IN_FLIGHT = 4;

/**
 * Puts so many keys, as many in a transaction as it takes; `onProgress` gets how many there are. A transaction that failed is
 * sent again, which changes nothing: a busy machine may bring a change of leader, and filling is not what is measured.
 */
export async function fill({ leaderUrl, listing: { putAll } }, keys, onProgress = () => {}) {
  let filled = 0;
  await concurrently(Math.ceil(keys / TRANSACTION_PUTS), TRANSACTIONS_IN_FLIGHT, async (number) => {
    const from = number * TRANSACTION_PUTS;
    const length = Math.min(TRANSACTION_PUTS, keys - from);
    await callAgain(leaderUrl, putAll(Array.from({ length }, (_, offset) => listedKey(from + offset))));
    filled += length;
    onProgress(filled);
  });
}

/**
 * Lists page by page to the end, or until so many keys came.
 *
 * @param {string} url
 * @param {object} system how its requests look, as `listing` of etcd-requests.mjs
 * @param {{ keysMax?: number, send?: (url: string, request: object) => Promise<string> }} [options]
 * @returns {AsyncGenerator<{ keys: number, tookMs: number }>} each page, from the request to the last byte
 */
export async function* pages(url, { page, read }, options = {}) {
  const { keysMax = Number.POSITIVE_INFINITY, send = call } = options;
  let position = null;
  let listed = 0;
  do {
    const began = performance.now();
    const body = await send(url, page(position));
    const tookMs = performance.now() - began;
    const { keys, next } = read(body, position);
    yield { keys, tookMs };
    listed += keys;
    position = next;
  } while (position !== null && listed < keysMax);
}

/** How fast all keys are listed over one connection; what the client does between two pages is not counted. */
export async function measureListing(url, system, keys) {
  const times = [];
  let listed = 0;
  for await (const page of pages(url, system)) {
    listed += page.keys;
    times.push(page.tookMs);
  }
  if (listed !== keys) throw new Error(`${listed} of ${keys} keys were listed.`);
  const tookMs = times.reduce((sum, time) => sum + time, 0);
  return { perSecond: (listed * 1000) / tookMs, ...percentiles(times), failures: 0 };
}
