/** Keys and values are bytes; a text stands for its UTF-8. */
export type Bytes = string | Uint8Array;

export function toBytes(bytes: Bytes): Uint8Array {
  return typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
}

const PLAIN = /[A-Za-z0-9_~-]/;

/**
 * Percent-encodes what is not a letter or a digit, slashes too: between slashes a URL would fold `..` away.
 * @throws TypeError for the keys `.` and `..`, which no URL can carry; a transaction can.
 */
export function encodeSegment(bytes: Bytes): string {
  const raw = toBytes(bytes);
  let text = '';
  for (const byte of raw) {
    const character = String.fromCharCode(byte);
    text += PLAIN.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  if (text === '%2E' || text === '%2E%2E') {
    throw new TypeError(
      'A URL cannot carry the keys "." and "..". Use them in a transaction, or choose others.',
    );
  }
  return text;
}

/** The members by which JSON carries bytes: `name` where they are text, `nameBase64` elsewhere. */
export function toMember(name: string, bytes: Bytes): Readonly<Record<string, string>> {
  if (typeof bytes === 'string') return { [name]: bytes };
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return { [`${name}Base64`]: btoa(binary) };
}

/** Reads what such members carry; no bytes where there are none. */
export function fromMember(object: Readonly<Record<string, unknown>>, name: string): Uint8Array {
  const text = object[name];
  if (typeof text === 'string') return new TextEncoder().encode(text);
  const base64 = object[`${name}Base64`];
  return typeof base64 === 'string'
    ? Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
    : new Uint8Array(0);
}

export function toText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
