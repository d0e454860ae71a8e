import { conditionalPuts } from './conditional-puts.mjs';
import { fill, measureListing } from './listing.mjs';
import { deal, load } from './load.mjs';
import { WATCHES, watchFanOut } from './watch-fan-out.mjs';

const LISTED_KEYS = 100_000;
const WARM_UP_CONNECTIONS = 64;
const WARM_UP_SECONDS = 1;

/** Requests from many connections. They are made for a while before they are measured, so that their code is compiled. */
const loading = (systemName, name, sharesOf, isExpected) => ({
  systemName,
  name,
  prepare: async (system, url) => {
    const shares = await sharesOf(system, url, WARM_UP_CONNECTIONS);
    await load({ url, shares, seconds: WARM_UP_SECONDS, isExpected });
  },
  run: async (system, { url, connections, seconds }) =>
    load({ url, shares: await sharesOf(system, url, connections), seconds, isExpected }),
});

const dealing = (requests) => (system, _url, connections) => deal(system[requests], connections);
const comparing = (system, url, connections) => conditionalPuts(url, connections, system.conditionalPut);
const hasSucceeded = (body) => body.includes('"succeeded":true');

const watching = (systemName, name) => ({
  systemName,
  name,
  prepare: async () => {},
  run: (system, { url }) => watchFanOut(url, system.watch),
});

const listing = (systemName, name) => ({
  systemName,
  name,
  prepare: (system) => fill(system, LISTED_KEYS),
  run: (system, { url }) => measureListing(url, system.listing, LISTED_KEYS),
});

/**
 * What can be measured, in this order. Each operation names who does it, in turn: `prepare` comes once before the rounds, and
 * `run` is one of them. raftkv is compared with the `reference`. `connections` is given where it is not for the user to
 * choose.
 */
export const operations = {
  put: {
    title: 'put',
    reference: 'etcd v2',
    contenders: [
      loading('bare', 'bare Fastify', dealing('put')),
      loading('raftkv', 'raftkv', dealing('put')),
      loading('etcd', 'etcd v2', dealing('put')),
    ],
  },
  get: {
    title: 'linearizable get',
    reference: 'etcd v2',
    contenders: [
      loading('bare', 'bare Fastify', dealing('get')),
      loading('raftkv', 'raftkv', dealing('get')),
      loading('etcd', 'etcd v2', dealing('get')),
      loading('etcd', 'etcd v3', dealing('rangeV3')),
    ],
  },
  'conditional-put': {
    title: 'conditional put',
    reference: 'etcd v2',
    contenders: [loading('raftkv', 'raftkv', comparing), loading('etcd', 'etcd v2', comparing)],
  },
  txn: {
    title: 'txn',
    reference: 'etcd v3',
    contenders: [
      loading('raftkv', 'raftkv', dealing('txn'), hasSucceeded),
      loading('etcd', 'etcd v3', dealing('txn'), hasSucceeded),
    ],
  },
  'idempotent-put': {
    title: 'idempotent put',
    reference: 'without key',
    contenders: [
      loading('raftkv', 'raftkv', dealing('putWithIdempotencyKey')),
      loading('raftkv', 'without key', dealing('putWithOtherHeader')),
    ],
  },
  'watch-fan-out': {
    title: 'watch fan-out',
    connections: WATCHES,
    contenders: [watching('raftkv', 'raftkv'), watching('etcd', 'etcd v3')],
  },
  listing: {
    title: 'listing',
    reference: 'etcd v3',
    connections: 1,
    contenders: [listing('raftkv', 'raftkv'), listing('etcd', 'etcd v3')],
  },
};
