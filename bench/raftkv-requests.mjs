import { randomUUID } from 'node:crypto';
import { KEYS, LISTED_PREFIX, PAGE_KEYS, VALUE, WATCHED_PREFIX } from './keys.mjs';
import { slotOf } from './slots.mjs';

const putOf = (key) => ({ method: 'PUT', path: `/v1/kv/${key}`, body: VALUE });

/** What the bare handler understands, too. */
export const plainRequests = {
  put: KEYS.map(putOf),
  get: KEYS.map((key) => ({ method: 'GET', path: `/v1/kv/${key}` })),
};

/** A put with another text of 36 characters each time in a header of 15. */
const putWithHeader = (name) =>
  KEYS.map((key) => ({
    ...putOf(key),
    headers: { [name]: slotOf(36) },
    slot: { length: 36, text: randomUUID },
  }));

const transactionOf = (document) => ({
  method: 'POST',
  path: '/v1/txn',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(document),
});

export const raftkvRequests = {
  ...plainRequests,
  putWithIdempotencyKey: putWithHeader('Idempotency-Key'),
  putWithOtherHeader: putWithHeader('X-Benchmark-Key'),
  conditionalPut: {
    plain: putOf,
    conditional: (key) => ({ ...putOf(key), headers: { 'If-Match': slotOf(22) } }),
    slotLength: 22,
    // What stands behind a header's value is white space that does not belong to it.
    slotText: (revision) => `"${revision}"`.padEnd(22),
    revisionOf: (body) => /"revision":(\d+)/.exec(body)[1],
  },
  txn: KEYS.map((key) =>
    transactionOf({
      compare: [{ key, target: 'version', op: '>', value: 0 }],
      success: [{ put: { key, value: VALUE } }, { put: { key: `${key}-second`, value: VALUE } }],
    }),
  ),
  watch: {
    request: { method: 'GET', path: `/v1/watch?prefix=${WATCHED_PREFIX}` },
    began: 'event: progress',
    event: 'event: put',
    put: (number) => putOf(`${WATCHED_PREFIX}${number}`),
  },
  // One node does all the work, also where it leads no more.
  listing: {
    putAll: (keys) => transactionOf({ success: keys.map((key) => ({ put: { key, value: VALUE } })) }),
    page: (cursor) => ({
      method: 'GET',
      path: `/v1/kv?prefix=${LISTED_PREFIX}&redirect=never&limit=${PAGE_KEYS}${cursor === null ? '' : `&cursor=${cursor}`}`,
    }),
    read: (body) => {
      const { items, nextCursor } = JSON.parse(body);
      return { keys: items.length, next: nextCursor ?? null };
    },
  },
};
