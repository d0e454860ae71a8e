import type { Buffer } from 'node:buffer';
import { RaftkvError } from '../errors.js';
import { keyBytesMax, percentDecode } from './bytes.js';

/** A request target cut at its question mark; both parts exactly as they came over the wire. */
export interface Target {
  readonly path: string;
  /** Without the question mark; '' when there is none. */
  readonly query: string;
}

/** Where all requests for a single key are routed to: the key itself is taken from the raw target. */
export const keyRoutePath = '/v1/kv/key';

/** The same for locks. */
export const lockRoutePath = '/v1/locks/name';

const keyPathPrefix = '/v1/kv/';
const lockPathPrefix = '/v1/locks/';
const lockNameBytesMax = 1_024;
const absoluteForm = /^https?:\/\/[^/?#]*/i;

/** The target in origin form: a client may send the whole URL, as it would to a proxy (RFC 9112 §3.2.2). */
export function originForm(url: string): string {
  if (url.startsWith('/')) return url;
  const rest = url.replace(absoluteForm, '');
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/**
 * What the router is asked for. It would decode the path as UTF-8 and refuse %FF, so every key goes to one route and
 * its handler decodes the raw target by itself.
 */
export function routedUrl(url: string): string {
  const target = originForm(url);
  if (target.startsWith(keyPathPrefix)) return keyRoutePath;
  return target.startsWith(lockPathPrefix) ? lockRoutePath : target;
}

export function splitTarget(url: string): Target {
  const target = originForm(url);
  const mark = target.indexOf('?');
  if (mark < 0) return { path: target, query: '' };
  return { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

/** The key of a path below `/v1/kv/`. Throws `not_found` for any other path, `bad_request` for what is no key. */
export function keyOfPath(path: string): Buffer {
  if (!path.startsWith(keyPathPrefix)) {
    // The router decodes by itself, so that another spelling of the one path that all keys are routed to arrives here too.
    throw new RaftkvError(
      'not_found',
      'Keys are at /v1/kv/<key>; write these letters without percent-encoding.',
    );
  }
  const key = percentDecode(path.slice(keyPathPrefix.length), 'key');
  if (key.length === 0) {
    throw new RaftkvError(
      'bad_request',
      'The key is missing. Write it after /v1/kv/; to list keys, ask for /v1/kv?prefix=.',
    );
  }
  if (key.length > keyBytesMax) {
    throw new RaftkvError(
      'bad_request',
      `The key has ${key.length} bytes; ${keyBytesMax} are allowed. Shorten it.`,
    );
  }
  return key;
}

/** The name of a path below `/v1/locks/`. Throws `not_found` for any other path, `bad_request` for what is no name. */
export function lockOfPath(path: string): Buffer {
  if (!path.startsWith(lockPathPrefix)) {
    throw new RaftkvError(
      'not_found',
      'Locks are at /v1/locks/<name>; write these letters without percent-encoding.',
    );
  }
  const name = percentDecode(path.slice(lockPathPrefix.length), 'name of the lock');
  // A zero byte ends a name where locks are kept.
  if (name.length >= 1 && name.length <= lockNameBytesMax && !name.includes(0)) return name;
  throw new RaftkvError(
    'bad_request',
    `A lock's name has 1 to ${lockNameBytesMax} bytes, none of them 0. Write it after /v1/locks/.`,
  );
}
