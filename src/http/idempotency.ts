import { Buffer } from 'node:buffer';
import { hash } from 'node:crypto';
import { RaftkvError } from '../errors.js';
import { FINGERPRINT_BYTES, IDEMPOTENCY_KEY_LENGTH_MAX, type Idempotency } from '../kv/types.js';
import type { Exchange } from './exchange.js';

const header = 'idempotency-key';
/** How a request travels says nothing of what it asks for, and a repeat may travel differently. */
const travelNames = new Set(['timeout', 'redirect', 'cluster']);
const printable = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/** What makes a repeat harmless, checked; undefined where the client did not ask for it. Throws `bad_request`. */
export function idempotencyKey({ request }: Exchange): string | undefined {
  const given = request.headers[header];
  if (given === undefined) return undefined;
  const key = Array.isArray(given) ? given.join(', ') : given;
  if (key.length <= IDEMPOTENCY_KEY_LENGTH_MAX && printable.test(key)) return key;
  throw new RaftkvError(
    'bad_request',
    `Idempotency-Key must have 1 to ${IDEMPOTENCY_KEY_LENGTH_MAX} printable characters of ASCII, such as a UUID. Nothing was changed.`,
  );
}

/** Where no record of the answer is kept: a client that sends the header relies on one. Throws `bad_request`. */
export function refuseIdempotencyKey({ request }: Exchange): void {
  if (request.headers[header] === undefined) return;
  throw new RaftkvError(
    'bad_request',
    'Changes of the cluster take no Idempotency-Key: leave it out. To repeat one, look at GET /v1/members first.',
  );
}

/** The member of a command that makes a repeat of it harmless (correctness rule 27); none where there is no key. */
export function withIdempotency(
  exchange: Exchange,
  key: string | undefined,
  body: Uint8Array | undefined,
): { readonly idempotency?: Idempotency } {
  return key === undefined ? {} : { idempotency: idempotencyOf(exchange, key, body) };
}

export function idempotencyOf(exchange: Exchange, key: string, body: Uint8Array | undefined): Idempotency {
  return { key, fingerprint: fingerprint(exchange, body) };
}

/** For a command that belongs to one request with others: under a key of its own, which no client can use. */
export function idempotencyOfStep({ key, fingerprint }: Idempotency, step: number): Idempotency {
  return { key: `\x01${step} ${hash('sha256', key, 'hex')}`, fingerprint };
}

/**
 * What comes before the body is one JSON document, so that no two requests run together to the same bytes. The bytes stay as they
 * are: a repeat may come to a node of another version, and the answer to it may have been kept by an earlier one.
 */
function fingerprint({ request, target }: Exchange, body: Uint8Array | undefined): Uint8Array {
  const { method, headers } = request;
  // Of the headers, what changes the meaning of a request.
  const { 'if-match': match = '', 'if-none-match': noneMatch = '', 'content-type': type = '' } = headers;
  const head = JSON.stringify([method ?? '', target.path, meaningOf(target.query), match, noneMatch, type]);
  const headBytes = Buffer.byteLength(head);
  const whole = Buffer.allocUnsafe(headBytes + (body?.length ?? 0));
  whole.write(head);
  if (body !== undefined) whole.set(body, headBytes);
  // As text in one call: an object for the hash or a buffer for its result takes as long as hashing a small request.
  const digest = hash('sha256', whole, 'binary');
  const print = Buffer.allocUnsafe(FINGERPRINT_BYTES);
  for (let at = 0; at < FINGERPRINT_BYTES; at += 1) print[at] = digest.charCodeAt(at);
  return print;
}

function meaningOf(query: string): string {
  if (query === '') return '';
  return query
    .split('&')
    .filter((pair) => pair !== '' && !travelNames.has(pair.split('=', 1)[0] ?? ''))
    .sort()
    .join('&');
}
