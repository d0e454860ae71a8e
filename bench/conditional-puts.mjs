import { call, concurrently } from './calls.mjs';
import { KEYS } from './keys.mjs';
import { shareOf } from './load.mjs';

const CALLS_IN_FLIGHT = 16;

/**
 * Puts on a condition that holds: each connection has keys of its own, and names the revision that its last put of the key
 * made. What they begin with is put here, without a condition.
 *
 * @param {string} url
 * @param {number} connections
 * @param {object} system how its requests look, as `conditionalPut` of etcd-requests.mjs
 * @returns {Promise<object[][]>} the requests of each connection
 */
export async function conditionalPuts(url, connections, system) {
  const { plain, conditional, slotLength, slotText, revisionOf } = system;
  const shares = Array.from({ length: connections }, () => []);
  await concurrently(connections * shareOf(KEYS.length, connections), CALLS_IN_FLIGHT, async (number) => {
    const key = `conditional-${number}`;
    let revision = revisionOf(await call(url, plain(key)));
    shares[number % connections].push({
      ...conditional(key),
      slot: { length: slotLength, text: () => slotText(revision) },
      onResponse: (status, body) => {
        if (status < 300) revision = revisionOf(body);
      },
    });
  });
  return shares;
}
