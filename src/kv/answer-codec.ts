import { crc32 } from 'node:zlib';
import { CRC_BYTES, REVISION_BYTES, unseal } from './record-codec.js';
import { FINGERPRINT_BYTES, type LogTime } from './types.js';

/**
 * What was answered under idempotency keys, as bytes. An entry of the journal of answers has two parts: what is listed of the
 * answer when it is filed, and the record that it is filed in, with the length of that between them.
 *
 * | bytes | part |
 * | --- | --- |
 * | 6 | number |
 * | 6 | log time in milliseconds |
 * | 2 | length of the key |
 * | n | key |
 * | 4 | length of the record |
 * | n | record: CRC-32 of the rest, number, log time, fingerprint, result as the result codec writes it |
 */
const TAG_ANSWER = 0x69;
const LISTING_HEAD_BYTES = 2 * REVISION_BYTES + 2;
const LENGTH_BYTES = 4;
const FINGERPRINT_AT = CRC_BYTES + 2 * REVISION_BYTES;
const RESULT_AT = FINGERPRINT_AT + FINGERPRINT_BYTES;

/** What was answered under an idempotency key. */
export interface Answer {
  /** 1, 2, 3 … in the order of all answers. */
  readonly number: number;
  readonly logTimeMs: LogTime;
  readonly fingerprint: Uint8Array;
  /** As the result codec writes it. */
  readonly result: Uint8Array;
}

/** An answer and its key, as the list of filed answers and the journal of answers have them. */
export interface Listing {
  readonly number: number;
  readonly logTimeMs: LogTime;
  readonly key: string;
}

/** An entry of the journal of answers, and what it is made of. */
export interface AnswerEntry extends Listing {
  /** Its entry in the list of filed answers. */
  readonly listing: Uint8Array;
  readonly record: Uint8Array;
}

/** The key of the record in which an answer is filed. */
export function answerKey(key: string): Uint8Array {
  const record = Buffer.allocUnsafe(1 + Buffer.byteLength(key));
  record[0] = TAG_ANSWER;
  record.write(key, 1);
  return record;
}

/** The length of an answer's entry in the journal of answers. */
export function entryBytes(key: string, { result }: Answer): number {
  return LISTING_HEAD_BYTES + Buffer.byteLength(key) + LENGTH_BYTES + RESULT_AT + result.length;
}

/**
 * Writes an answer's entry in the journal of answers and returns the digest that was given, brought forward: by all of the
 * entry, the checksum of the record standing for the record.
 */
export function writeEntry(
  into: Buffer,
  offset: number,
  key: string,
  { number, logTimeMs, fingerprint, result }: Answer,
  digest: number,
): number {
  const keyAt = offset + LISTING_HEAD_BYTES;
  const keyBytes = into.write(key, keyAt);
  into.writeUIntBE(number, offset, REVISION_BYTES);
  into.writeUIntBE(logTimeMs, offset + REVISION_BYTES, REVISION_BYTES);
  into.writeUInt16BE(keyBytes, keyAt - 2);
  const listingEnd = keyAt + keyBytes;
  const recordAt = listingEnd + LENGTH_BYTES;
  into.writeUInt32BE(RESULT_AT + result.length, listingEnd);
  into.copy(into, recordAt + CRC_BYTES, offset, offset + 2 * REVISION_BYTES);
  into.set(fingerprint, recordAt + FINGERPRINT_AT);
  into.set(result, recordAt + RESULT_AT);
  const checksum = crc32(into.subarray(recordAt + CRC_BYTES, recordAt + RESULT_AT + result.length));
  into.writeUInt32BE(checksum, recordAt);
  return crc32(into.subarray(offset, listingEnd), (digest ^ checksum) >>> 0);
}

/** Reads the record in which an answer is kept. */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const record = unseal(bytes, 'The record of an answer');
  return {
    number: record.readUIntBE(CRC_BYTES, REVISION_BYTES),
    logTimeMs: record.readUIntBE(CRC_BYTES + REVISION_BYTES, REVISION_BYTES),
    fingerprint: record.subarray(FINGERPRINT_AT, RESULT_AT),
    result: record.subarray(RESULT_AT),
  };
}

/** The entries of a record of the journal of answers. */
export function decodeEntries(content: Buffer): readonly AnswerEntry[] {
  return partsOf(content).map(({ listingAt: at, listingEnd, recordAt, end }) => ({
    ...decodeListing(content, at, listingEnd),
    listing: content.subarray(at, listingEnd),
    record: content.subarray(recordAt, end),
  }));
}

/** The keys of the entries of a record of the journal of answers. */
export function keysOf(content: Buffer): readonly string[] {
  return partsOf(content).map(({ listingAt: at, listingEnd }) => keyOf(content, at, listingEnd));
}

/** The record of the newest answer under a key in a record of the journal of answers. */
export function findRecord(content: Buffer, key: string): Uint8Array | undefined {
  const keyBytes = Buffer.from(key);
  const found = partsOf(content).findLast(
    ({ listingAt: at, listingEnd }) =>
      content.compare(keyBytes, 0, keyBytes.length, at + LISTING_HEAD_BYTES, listingEnd) === 0,
  );
  return found && content.subarray(found.recordAt, found.end);
}

/** The entries of a record of the list of filed answers. */
export function decodeListings(content: Buffer): readonly Listing[] {
  const listings: Listing[] = [];
  for (let offset = 0; offset < content.length; ) {
    const end = endOfListing(content, offset);
    listings.push(decodeListing(content, offset, end));
    offset = end;
  }
  return listings;
}

/** Where the parts of each entry of the journal of answers are. */
function partsOf(content: Buffer) {
  const parts: { listingAt: number; listingEnd: number; recordAt: number; end: number }[] = [];
  for (let offset = 0; offset < content.length; ) {
    const listingEnd = endOfListing(content, offset);
    const recordAt = listingEnd + LENGTH_BYTES;
    const end = recordAt + content.readUInt32BE(listingEnd);
    parts.push({ listingAt: offset, listingEnd, recordAt, end });
    offset = end;
  }
  return parts;
}

function decodeListing(content: Buffer, offset: number, end: number): Listing {
  return {
    number: content.readUIntBE(offset, REVISION_BYTES),
    logTimeMs: content.readUIntBE(offset + REVISION_BYTES, REVISION_BYTES),
    key: keyOf(content, offset, end),
  };
}

function keyOf(content: Buffer, offset: number, end: number): string {
  return content.toString('utf8', offset + LISTING_HEAD_BYTES, end);
}

function endOfListing(content: Buffer, offset: number): number {
  return offset + LISTING_HEAD_BYTES + content.readUInt16BE(offset + 2 * REVISION_BYTES);
}
