import autocannon from 'autocannon';

/** Requests that one connection repeats: few, because the load generator prepares them all before it starts. */
const REQUESTS_PER_CONNECTION_MIN = 4;

/**
 * Drives one server with a fixed number of connections, one request in flight on each, for a fixed time. The requests are
 * dealt out among the connections.
 *
 * @param {{ url: string, requests: object[], connections: number, seconds: number }} options
 * @returns {Promise<{ perSecond: number, p50Ms: number, p99Ms: number, failures: number }>}
 */
export async function load({ url, requests, connections, seconds }) {
  const latencies = [];
  const result = await new Promise((resolve, reject) => {
    const share = Math.max(REQUESTS_PER_CONNECTION_MIN, Math.floor(requests.length / connections));
    let dealt = 0;
    const setupClient = (client) => {
      client.setRequests(requests.slice(dealt, dealt + share));
      dealt = dealt + 2 * share > requests.length ? 0 : dealt + share;
    };
    const run = autocannon({ url, connections, duration: seconds, setupClient }, (error, done) =>
      error ? reject(error) : resolve(done),
    );
    run.on('response', (_client, _status, _bytes, elapsedMs) => latencies.push(elapsedMs));
  });
  latencies.sort((a, b) => a - b);
  const at = (share) =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? Number.NaN;
  return {
    perSecond: latencies.length / result.duration,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    failures: result.non2xx + result.errors + result.timeouts,
  };
}

/** The median of some figures; throws when there is none, so that a run that measured nothing cannot look like one. */
export function median(values) {
  if (values.length === 0) throw new Error('Nothing was measured.');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
