import { Buffer } from 'node:buffer';
import { RaftkvError } from '../errors.js';
import type { Revision } from '../kv/types.js';
import { keyBytesMax } from './bytes.js';

/**
 * Where a listing goes on. It travels in the URL and clients treat it as opaque. The prefix is not repeated: it is the
 * start of the last key, so its length is enough to check that the client did not change it between two pages.
 *
 * Layout: format (1 byte), revision (8 bytes), length of the prefix (2 bytes), last key.
 */
export interface Cursor {
  /** The revision of the first page, which all pages show. */
  readonly revision: Revision;
  readonly lastKey: Buffer;
}

const format = 1;
const headerBytes = 11;

export function encodeCursor(revision: Revision, prefix: Uint8Array, lastKey: Uint8Array): string {
  const bytes = Buffer.allocUnsafe(headerBytes + lastKey.length);
  bytes[0] = format;
  bytes.writeBigUInt64BE(BigInt(revision), 1);
  bytes.writeUInt16BE(prefix.length, 9);
  bytes.set(lastKey, headerBytes);
  return bytes.toString('base64url');
}

/** @param prefix The prefix that this page asks for; it must be the one the listing began with. */
export function decodeCursor(text: string, prefix: Uint8Array): Cursor {
  const bytes = Buffer.from(text, 'base64url');
  const keyLength = bytes.length - headerBytes;
  if (
    bytes.toString('base64url') !== text ||
    keyLength < 1 ||
    keyLength > keyBytesMax ||
    bytes[0] !== format ||
    bytes.readUInt16BE(9) > keyLength
  ) {
    throw new RaftkvError(
      'bad_request',
      '"cursor" is not one that this server gave. Take it from "nextCursor" of the page before, or leave it out.',
    );
  }
  const revision = Number(bytes.readBigUInt64BE(1));
  if (!Number.isSafeInteger(revision)) {
    throw new RaftkvError(
      'bad_request',
      '"cursor" names a revision that cannot be. Start the listing again.',
    );
  }
  const lastKey = bytes.subarray(headerBytes);
  if (!lastKey.subarray(0, bytes.readUInt16BE(9)).equals(prefix)) {
    throw new RaftkvError(
      'bad_request',
      '"cursor" belongs to a listing with another prefix. Repeat the prefix of the first page.',
    );
  }
  return { revision, lastKey };
}
