import { Buffer, isUtf8 } from 'node:buffer';
import { RaftkvError } from '../errors.js';

/** Keys are bytes; this many at most. A prefix of a listing is bounded by the same number. */
export const keyBytesMax = 4096;

/**
 * Percent-decodes a part of a request target to bytes. Nothing else is interpreted: `+` is a plus sign, slashes stay,
 * and no Unicode normalisation takes place, because a key is bytes. What is
 * not encoded is ASCII: Node's parser refuses other bytes in a target.
 */
export function percentDecode(text: string, what: string): Buffer {
  if (!text.includes('%')) return Buffer.from(text, 'latin1');
  const bytes = Buffer.allocUnsafe(text.length);
  let length = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code !== percentSign) {
      bytes[length++] = code;
      continue;
    }
    const high = hexDigit(text.charCodeAt(index + 1));
    const low = hexDigit(text.charCodeAt(index + 2));
    if (high < 0 || low < 0) {
      throw new RaftkvError(
        'bad_request',
        `The ${what} holds a "%" that two hexadecimal digits do not follow; write a percent sign as %25.`,
      );
    }
    bytes[length++] = high * 16 + low;
    index += 2;
  }
  return bytes.subarray(0, length);
}

const percentSign = 0x25;

/** The value of a hexadecimal digit; -1 for any other code unit, and for NaN at the end of the text. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  if (code >= 0x41 && code <= 0x46) return code - 0x41 + 10;
  if (code >= 0x61 && code <= 0x66) return code - 0x61 + 10;
  return -1;
}

/** A view of the same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * One member of a JSON object that holds bytes: `"key":"text"`, or `"keyBase64":"…"` where they are not UTF-8, so that
 * no key or value is ever altered by being shown.
 */
export function bytesMember(name: string, bytes: Uint8Array): string {
  const buffer = asBuffer(bytes);
  if (isUtf8(buffer)) return `"${name}":${JSON.stringify(buffer.toString('utf8'))}`;
  return `"${name}Base64":"${buffer.toString('base64')}"`;
}
