import autocannon from 'autocannon';
import { percentiles } from './figures.mjs';
import { fillSlots } from './slots.mjs';

/** Requests that one connection repeats: few, because the load generator prepares them all before it starts. */
const REQUESTS_PER_CONNECTION_MIN = 4;

/** How many of so many requests each connection repeats. */
export const shareOf = (requests, connections) =>
  Math.max(REQUESTS_PER_CONNECTION_MIN, Math.floor(requests / connections));

/** Deals requests out among connections; where there are too few, several connections repeat the same ones. */
export function deal(requests, connections) {
  const share = shareOf(requests.length, connections);
  const hands = Math.floor(requests.length / share);
  return Array.from({ length: connections }, (_, connection) => {
    const from = (connection % hands) * share;
    return requests.slice(from, from + share);
  });
}

/**
 * Drives one server with a fixed number of connections, one request in flight on each, for a fixed time.
 *
 * @param {{ url: string, shares: object[][], seconds: number, isExpected?: (body: string) => boolean }} options the requests
 *   of each connection, which repeats them in order, and what a body must be that counts as no failure
 * @returns {Promise<{ perSecond: number, elapsedSeconds: number, p50Ms: number, p99Ms: number, failures: number }>}
 */
export async function load({ url, shares, seconds, isExpected }) {
  const latencies = [];
  const result = await new Promise((resolve, reject) => {
    const notYetDealt = [...shares];
    const setupClient = (client) => {
      client.setRequests(notYetDealt.shift().map((request) => ({ ...request })));
      fillSlots(client);
    };
    const options = {
      url,
      connections: shares.length,
      duration: seconds,
      setupClient,
      verifyBody: isExpected,
    };
    const run = autocannon(options, (error, done) => (error ? reject(error) : resolve(done)));
    run.on('response', (_client, _status, _bytes, elapsedMs) => latencies.push(elapsedMs));
  });
  return {
    perSecond: latencies.length / result.duration,
    elapsedSeconds: result.duration,
    ...percentiles(latencies),
    failures: result.non2xx + result.errors + result.timeouts + result.mismatches,
  };
}
