import { Buffer, isUtf8 } from 'node:buffer';
import type { Item } from '../client/index.js';
import { showText } from './terminal.js';

const valueCharactersShown = 60;

/** A key as the server writes it in JSON. */
export interface KeyName {
  readonly key?: string;
  readonly keyBase64?: string;
}

export function nameOf(key: Uint8Array): KeyName {
  const bytes = Buffer.from(key);
  return isUtf8(bytes) ? { key: bytes.toString('utf8') } : { keyBase64: bytes.toString('base64') };
}

export function showName({ key, keyBase64 }: KeyName): string {
  return showBytes(key, keyBase64);
}

/** The value, or the beginning of a long one. */
export function showValue(item: Item): string {
  const { value, valueBase64 = '' } = item.toJSON();
  const shown = showBytes(value, valueBase64);
  if (shown.length <= valueCharactersShown) return shown;
  // Of the value, not of what is shown of it.
  const bytes = value === undefined ? Buffer.byteLength(valueBase64, 'base64') : Buffer.byteLength(value);
  return `${shown.slice(0, valueCharactersShown)}… (${bytes} bytes)`;
}

function showBytes(text: string | undefined, base64: string | undefined): string {
  return text === undefined ? `base64:${base64 ?? ''}` : showText(text);
}
