import { RaftkvClientError } from './errors.js';

/** A key, a prefix or a value: text stands for its UTF-8 bytes. */
export type Bytes = string | Uint8Array;

const textDecoder = new TextDecoder('utf-8', { ignoreBOM: true });
const textEncoder = new TextEncoder();

export function bytesOf(value: Bytes): Uint8Array {
  return typeof value === 'string' ? textEncoder.encode(value) : value;
}

/** U+FFFD stands where the bytes are not UTF-8. */
export function textOf(bytes: Uint8Array): string {
  return textDecoder.decode(bytes);
}

/** Percent-encodes what has a meaning in a URL. Slashes stay readable. */
export function percentEncode(value: Bytes): string {
  if (typeof value === 'string') {
    try {
      return encodeURIComponent(value).replaceAll('%2F', '/');
    } catch {
      throw new RaftkvClientError(
        'bad_request',
        `${JSON.stringify(value)} holds half of a surrogate pair, which stands for no bytes. Give the bytes instead.`,
      );
    }
  }
  let text = '';
  for (const byte of value) {
    const character = String.fromCharCode(byte);
    text += /[A-Za-z0-9\-._~/]/.test(character)
      ? character
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}

const dotSegment = /(^|\/)\.{1,2}(\/|$)/;

/**
 * The path of a key or a lock, whose slashes stay readable. URLs fold segments such as `..` away, as text and percent-encoded,
 * so that the slashes of such a name are encoded: one long segment is never folded. A name that is nothing but such a
 * segment stays foldable, see {@link isFoldable}.
 */
export function pathBelow(parent: string, name: Bytes): string {
  const encoded = percentEncode(name);
  return `${parent}/${dotSegment.test(encoded) ? encoded.replaceAll('/', '%2F') : encoded}`;
}

/** The path of something whose name is one segment. */
export function namePath(parent: string, name: string): string {
  return `${parent}/${percentEncode(name).replaceAll('/', '%2F')}`;
}

/** Whether a URL parser would make another path of this one. */
export function isFoldable(path: string): boolean {
  return dotSegment.test(path);
}

export type QueryValues = Readonly<Record<string, Bytes | number | boolean | undefined>>;

/** `?name=value&…`, without what is undefined. */
export function queryOf(values: QueryValues): string {
  const parts = Object.entries(values).flatMap(([name, value]) => {
    if (value === undefined) return [];
    return [`${name}=${percentEncode(value instanceof Uint8Array ? value : String(value))}`];
  });
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

/** How many bytes become characters at a time: arguments of a call are limited. */
const chunkBytes = 8_192;

export function toBase64(bytes: Uint8Array): string {
  let characters = '';
  for (let start = 0; start < bytes.length; start += chunkBytes) {
    characters += String.fromCharCode(...bytes.subarray(start, start + chunkBytes));
  }
  return btoa(characters);
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** A member that the server writes as text, or under its name with `Base64` where the bytes are not UTF-8. */
export function jsonBytes(text: string | undefined, base64: string | undefined): Uint8Array {
  return base64 === undefined ? bytesOf(text ?? '') : fromBase64(base64);
}

/** A structure with bytes in it as the server reads it: bytes stand as base64 under their name with `Base64`. */
export function toWire(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toWire);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) =>
      member instanceof Uint8Array ? [`${name}Base64`, toBase64(member)] : [name, toWire(member)],
    ),
  );
}
