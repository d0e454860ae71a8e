import { assert } from '../assert.js';
import { type Entry, EntryKind, INDEX_MAX, TERM_MAX } from './types.js';

/**
 * The bytes of entries, the same on disk and on the wire. Integers are big-endian:
 *
 * | bytes | field |
 * | --- | --- |
 * | 4 | length of the payload |
 * | 1 | the term's bits above the 48th in the high half, the kind in the low half |
 * | 6 | the term's lower 48 bits |
 * | 6 | index |
 * | n | payload |
 *
 * Programs of cluster version 1 know terms of 48 bits and take the higher bits for an unknown kind, which they refuse. No
 * cluster gets there by elections; see `TERM_MAX`.
 */
export const ENTRY_HEADER_BYTES = 17;

const KIND_MAX = Math.max(...Object.values(EntryKind));
const TWO_TO_32 = 2 ** 32;
const TWO_TO_48 = 2 ** 48;

/** Bytes that {@link encodeEntries} makes of this entry. */
export function encodedBytes(entry: Entry): number {
  return ENTRY_HEADER_BYTES + entry.payload.length;
}

/**
 * The core hands the very same array to every follower's message and to the disk, so its bytes are made once. Arrays
 * of entries are immutable, and an array that came from the wire remembers the bytes that it was made from.
 */
const encodings = new WeakMap<readonly Entry[], Uint8Array>();

/** The entries' bytes, one after the other. The result is shared: the caller must not change it. */
export function encodeEntries(entries: readonly Entry[]): Uint8Array {
  const known = encodings.get(entries);
  if (known !== undefined) return known;
  let length = 0;
  for (const entry of entries) length += encodedBytes(entry);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const entry of entries) {
    view.setUint32(offset, entry.payload.length);
    const { kind, term, index } = entry;
    assert(isWithin(term, TERM_MAX), () => `${term} is beyond the last term.`);
    assert(isWithin(index, INDEX_MAX), () => `${index} is beyond the last index.`);
    view.setUint8(offset + 4, term < TWO_TO_48 ? kind : kind + 16 * Math.floor(term / TWO_TO_48));
    setUint48(view, offset + 5, term < TWO_TO_48 ? term : term % TWO_TO_48);
    setUint48(view, offset + 11, index);
    bytes.set(entry.payload, offset + ENTRY_HEADER_BYTES);
    offset += ENTRY_HEADER_BYTES + entry.payload.length;
  }
  if (entries.length > 0) encodings.set(entries, bytes);
  return bytes;
}

/**
 * Reads what {@link encodeEntries} wrote; payloads are views into `bytes`. Throws an Error with a sentence that says
 * what is wrong when the bytes are not whole entries of a known kind. Contiguity is for the caller to check.
 */
export function decodeEntries(bytes: Uint8Array): readonly Entry[] {
  const entries: Entry[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = 0;
  while (offset < bytes.length) {
    if (offset + ENTRY_HEADER_BYTES > bytes.length) throw new Error('An entry ends within its header.');
    const payloadLength = view.getUint32(offset);
    const kindAndTerm = view.getUint8(offset + 4);
    const kind = kindAndTerm & 0x0f;
    const start = offset + ENTRY_HEADER_BYTES;
    if (start + payloadLength > bytes.length) throw new Error('An entry ends within its payload.');
    if (kind > KIND_MAX) throw new Error(`An entry has kind ${kind}, which this version does not know.`);
    entries.push({
      term: (kindAndTerm >>> 4) * TWO_TO_48 + getUint48(view, offset + 5),
      index: getUint48(view, offset + 11),
      kind: kind as EntryKind,
      payload: bytes.subarray(start, start + payloadLength),
    });
    offset = start + payloadLength;
  }
  if (entries.length > 0) encodings.set(entries, bytes);
  return entries;
}

function isWithin(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

function setUint48(view: DataView, offset: number, value: number): void {
  view.setUint16(offset, Math.floor(value / TWO_TO_32));
  view.setUint32(offset + 2, value % TWO_TO_32);
}

function getUint48(view: DataView, offset: number): number {
  return view.getUint16(offset) * TWO_TO_32 + view.getUint32(offset + 2);
}
