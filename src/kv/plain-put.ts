import { Buffer } from 'node:buffer';
import {
  CONTENT_TYPE_LENGTH_MAX,
  KEY_BYTES_MAX,
  LOG_TIME_MS_MAX,
  type LogTime,
  mediaTypeText,
  type PutCommand,
  VALUE_BYTES_LIMIT,
} from './types.js';

/** The bytes before each part, by the numbers of proto/command.proto. */
const VERSION = 0x08;
const PUT = 0x12;
const KEY = 0x0a;
const VALUE = 0x12;
const CONTENT_TYPE = 0x1a;
const LOG_TIME = 0x79;
const FORMAT = 2;
const LOG_TIME_BYTES = 9;

/** Where {@link readLength} stopped. */
let position = 0;

/**
 * Reads what most entries carry: a put of format 2 without lease, condition or idempotency key, laid out as the leader writes it. Every
 * member decodes every entry, and this takes a third of the time of reading any command. Undefined for all else, be it another
 * command or none: whoever calls reads that the long way.
 */
export function readPlainPut(
  bytes: Uint8Array,
): { readonly command: PutCommand; readonly logTimeMs: LogTime } | undefined {
  if (!Buffer.isBuffer(bytes) || bytes[0] !== VERSION || bytes[1] !== FORMAT || bytes[2] !== PUT) {
    return undefined;
  }
  const stampAt = readLength(bytes, 3) + position;
  if (bytes[stampAt] !== LOG_TIME || stampAt + LOG_TIME_BYTES !== bytes.length) return undefined;
  if (bytes[position] !== KEY) return undefined;
  const keyEnd = readLength(bytes, position + 1) + position;
  const keyAt = position;
  if (bytes[keyEnd] !== VALUE || keyEnd === keyAt || keyEnd - keyAt > KEY_BYTES_MAX) return undefined;
  const valueEnd = readLength(bytes, keyEnd + 1) + position;
  const valueAt = position;
  if (bytes[valueEnd] !== CONTENT_TYPE || valueEnd - valueAt > VALUE_BYTES_LIMIT) return undefined;
  const contentTypeEnd = readLength(bytes, valueEnd + 1) + position;
  // That the parts end where the put does shows that none of the lengths before goes beyond it.
  if (contentTypeEnd !== stampAt || contentTypeEnd - position > CONTENT_TYPE_LENGTH_MAX) return undefined;
  const contentType = position === stampAt ? '' : bytes.toString('latin1', position, stampAt);
  if (contentType !== '' && !mediaTypeText.test(contentType)) return undefined;
  const logTimeMs = bytes.readDoubleLE(stampAt + 1);
  if (!Number.isInteger(logTimeMs) || Object.is(logTimeMs, -0)) return undefined;
  if (logTimeMs < 0 || logTimeMs > LOG_TIME_MS_MAX) return undefined;
  const key = bytes.subarray(keyAt, keyEnd);
  const value = bytes.subarray(valueAt, valueEnd);
  return { command: { kind: 'put', key, value, contentType }, logTimeMs };
}

/** A length of at most four bytes; NaN for a longer one, and beyond the end, so that nothing that follows from it is found. */
function readLength(bytes: Buffer, at: number): number {
  let length = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = bytes[at + shift / 7] ?? Number.NaN;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      position = at + shift / 7 + 1;
      return length;
    }
  }
  return Number.NaN;
}
