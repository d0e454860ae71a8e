import { Buffer } from 'node:buffer';
import type { Item } from '../client/index.js';
import { showText } from './terminal.js';

const valueCharactersShown = 60;

/** Bytes as the server writes them in JSON, for people. */
export function showBytes(text: string | undefined, base64: string | undefined): string {
  return text === undefined ? `base64:${base64 ?? ''}` : showText(text);
}

export function showKey(item: Item): string {
  const { key, keyBase64 } = item.toJSON();
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
