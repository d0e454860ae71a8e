import { KEYS, LISTED_PREFIX, PAGE_KEYS, VALUE, WATCHED_PREFIX } from './keys.mjs';
import { slotOf } from './slots.mjs';

const v2Put = (key, query = '') => ({
  method: 'PUT',
  path: `/v2/keys/${key}${query}`,
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
  body: `value=${VALUE}`,
});

/** Version 3 takes JSON, with keys and values in base64, at a gateway to its gRPC interface. */
const v3 = (path, document) => ({ method: 'POST', path: `/v3/${path}`, body: JSON.stringify(document) });
const base64 = (text) => Buffer.from(text).toString('base64');
const v3PutOf = (key) => ({ key: base64(key), value: base64(VALUE) });
const rangeOf = (prefix) => ({
  key: base64(prefix),
  range_end: base64(prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)),
});

/** The v2 quorum GET goes through etcd's log; v3's range is linearizable by ReadIndex. */
export const etcdRequests = {
  put: KEYS.map((key) => v2Put(key)),
  putV3: KEYS.map((key) => v3('kv/put', v3PutOf(key))),
  get: KEYS.map((key) => ({ method: 'GET', path: `/v2/keys/${key}?quorum=true` })),
  rangeV3: KEYS.map((key) => v3('kv/range', { key: base64(key) })),
  conditionalPut: {
    plain: (key) => v2Put(key),
    conditional: (key) => v2Put(key, `?prevIndex=${slotOf(20)}`),
    slotLength: 20,
    slotText: (index) => index.padStart(20, '0'),
    revisionOf: (body) => /"modifiedIndex":(\d+)/.exec(body)[1],
  },
  txn: KEYS.map((key) =>
    v3('kv/txn', {
      compare: [{ key: base64(key), target: 'VERSION', result: 'GREATER', version: '0' }],
      success: [{ request_put: v3PutOf(key) }, { request_put: v3PutOf(`${key}-second`) }],
    }),
  ),
  watch: {
    request: v3('watch', { create_request: rangeOf(WATCHED_PREFIX) }),
    began: '"created":true',
    event: '"events":[',
    put: (number) => v3('kv/put', v3PutOf(`${WATCHED_PREFIX}${number}`)),
  },
  listing: {
    putAll: (keys) => v3('kv/txn', { success: keys.map((key) => ({ request_put: v3PutOf(key) })) }),
    page: (position) =>
      v3('kv/range', { ...rangeOf(LISTED_PREFIX), ...(position ?? {}), limit: String(PAGE_KEYS) }),
    // All pages are of the first one's revision, as raftkv's are.
    read: (body, position) => {
      const { header, kvs, more } = JSON.parse(body);
      const last = Buffer.from(kvs.at(-1).key, 'base64');
      const key = Buffer.concat([last, Buffer.alloc(1)]).toString('base64');
      return {
        keys: kvs.length,
        next: more ? { key, revision: position?.revision ?? header.revision } : null,
      };
    },
  },
};
