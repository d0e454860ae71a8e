import { Buffer } from 'node:buffer';
import { RaftkvError } from '../errors.js';
import { RESERVED_PREFIX } from '../kv/types.js';

const reserved = Buffer.from(RESERVED_PREFIX);

/**
 * Below the reserved prefix stands what this server keeps for its clients, such as who holds a lock. All may read and watch
 * it; whoever could write it could hold a lock that somebody else holds. Throws `bad_request`.
 */
export function refuseReserved(key: Uint8Array): void {
  if (Buffer.compare(reserved, key.subarray(0, reserved.length)) === 0) throw refusal('Keys');
}

/** The same for a deletion by prefix, which may also begin above the reserved one. */
export function refuseReservedPrefix(prefix: Uint8Array): void {
  const length = Math.min(reserved.length, prefix.length);
  if (Buffer.compare(reserved.subarray(0, length), prefix.subarray(0, length)) === 0)
    throw refusal('Prefixes of keys');
}

function refusal(what: string): RaftkvError {
  return new RaftkvError(
    'bad_request',
    `${what} that begin with ${RESERVED_PREFIX} belong to the server (locks are kept there). Choose others; locks are taken ` +
      'and released at /v1/locks/<name>.',
  );
}
