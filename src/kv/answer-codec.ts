import { stateDamaged } from './damage.js';
import { CRC_BYTES, REVISION_BYTES, seal, TAG_ANSWER, unseal } from './record-codec.js';
import { decodeResult, encodeResult } from './result-codec.js';
import { type CommandResult, FINGERPRINT_BYTES, type Idempotency, type LogTime } from './types.js';

/**
 * What was answered under idempotency keys, as bytes.
 *
 * A record of the journal of answers holds answers whose numbers follow one another. It begins with the number of the first
 * (6 bytes) and a byte that says how the answers are laid out. Each is
 *
 * | bytes | part |
 * | --- | --- |
 * | 2 | length of the key |
 * | n | key |
 * | 16 | fingerprint |
 * | 6 | log time in milliseconds |
 * | 1 | what the result is, and so what follows: {@link ResultForm} |
 * | 6 | of a put: its revision |
 * | 4, n | of any other: the length of what the result codec writes, and that |
 *
 * An answer that is filed has a record of its own: CRC-32 of the rest, number, log time, fingerprint, and what the result codec
 * writes. It is listed with its number, its log time, the length of its key in 2 bytes, and the key.
 */

/** Nearly all are puts that took no lease, whose answer is two facts: the codec would cost more than all the rest. */
const ResultForm = { encoded: 0, put: 1, putThatCreated: 2 } as const;

const LAYOUT = 1;
/** In the place of that byte format 3 of the state had the highest one of a time. */
const LAYOUT_OF_FORMAT_3 = 0;
/** The first number and the layout; the checksum of the record comes before them. */
export const JOURNAL_HEAD_BYTES = REVISION_BYTES + 1;
const KEY_LENGTH_BYTES = 2;
const RESULT_LENGTH_BYTES = 4;
/** Of an answer in the journal: from the end of its key to the form of its result. */
const FORM_AT = FINGERPRINT_BYTES + REVISION_BYTES;

const LISTING_HEAD_BYTES = 2 * REVISION_BYTES + KEY_LENGTH_BYTES;
/** Of a filed answer. */
const FINGERPRINT_AT = CRC_BYTES + 2 * REVISION_BYTES;
const RESULT_AT = FINGERPRINT_AT + FINGERPRINT_BYTES;

/** What was answered under an idempotency key. */
export interface Answer {
  /** 1, 2, 3 … in the order of all answers. */
  readonly number: number;
  readonly logTimeMs: LogTime;
  readonly fingerprint: Uint8Array;
  readonly result: CommandResult;
}

/** An answer and its key, as the list of filed answers has them. */
export interface Listing {
  readonly number: number;
  readonly logTimeMs: LogTime;
  readonly key: string;
}

/** An answer of the journal. */
export type AnswerEntry = Answer & Listing;

/** A result as the journal has it. */
export interface WrittenResult {
  readonly form: number;
  readonly revision: number;
  /** What the result codec wrote; undefined for a put. */
  readonly encoded: Uint8Array | undefined;
}

/** How a result is written into the journal. */
export function writtenResult(result: CommandResult): WrittenResult {
  const { kind, revision } = result;
  if (kind === 'put' && result.lease === undefined) {
    return {
      form: result.created ? ResultForm.putThatCreated : ResultForm.put,
      revision,
      encoded: undefined,
    };
  }
  return { form: ResultForm.encoded, revision, encoded: encodeResult(result) };
}

/** The most that an answer takes in the journal: a character of its key may take three bytes. */
export function entryBytesMax(key: string, { encoded }: WrittenResult): number {
  const resultBytes = encoded === undefined ? REVISION_BYTES : RESULT_LENGTH_BYTES + encoded.length;
  return KEY_LENGTH_BYTES + 3 * key.length + FORM_AT + 1 + resultBytes;
}

/** Begins a record of the journal. Returns where its answers begin. */
export function writeJournalHead(into: Buffer, offset: number, firstNumber: number): number {
  into.writeUIntBE(firstNumber, offset, REVISION_BYTES);
  return into.writeUInt8(LAYOUT, offset + REVISION_BYTES);
}

/** Writes an answer into a record of the journal. Returns where it ends. */
export function writeEntry(
  into: Buffer,
  offset: number,
  { key, fingerprint }: Idempotency,
  logTimeMs: LogTime,
  { form, revision, encoded }: WrittenResult,
): number {
  const keyAt = offset + KEY_LENGTH_BYTES;
  const keyBytes = into.write(key, keyAt);
  into.writeUInt16BE(keyBytes, offset);
  const keyEnd = keyAt + keyBytes;
  into.set(fingerprint, keyEnd);
  into.writeUIntBE(logTimeMs, keyEnd + FINGERPRINT_BYTES, REVISION_BYTES);
  const formAt = keyEnd + FORM_AT;
  into[formAt] = form;
  if (encoded === undefined) return into.writeUIntBE(revision, formAt + 1, REVISION_BYTES);
  into.writeUInt32BE(encoded.length, formAt + 1);
  const encodedAt = formAt + 1 + RESULT_LENGTH_BYTES;
  into.set(encoded, encodedAt);
  return encodedAt + encoded.length;
}

/** The answers of a record of the journal. */
export function decodeEntries(record: Buffer): readonly AnswerEntry[] {
  const content = inPresentLayout(record);
  return placesOf(content).map((place) => decodeEntry(content, place));
}

/** The same without what was answered. */
export function listingsOf(record: Buffer): readonly Listing[] {
  const content = inPresentLayout(record);
  return placesOf(content).map(({ number, keyAt, keyEnd }) => ({
    number,
    logTimeMs: content.readUIntBE(keyEnd + FINGERPRINT_BYTES, REVISION_BYTES),
    key: content.toString('utf8', keyAt, keyEnd),
  }));
}

/** The newest answer under a key in a record of the journal. */
export function findEntry(record: Buffer, key: string): Answer | undefined {
  const content = inPresentLayout(record);
  const keyBytes = Buffer.from(key);
  const place = placesOf(content).findLast(
    ({ keyAt, keyEnd }) => content.compare(keyBytes, 0, keyBytes.length, keyAt, keyEnd) === 0,
  );
  return place && decodeEntry(content, place);
}

/** Where an answer is in a record of the journal. */
interface Place {
  readonly number: number;
  readonly keyAt: number;
  readonly keyEnd: number;
}

function placesOf(content: Buffer): readonly Place[] {
  const places: Place[] = [];
  const firstNumber = content.readUIntBE(0, REVISION_BYTES);
  for (let offset = JOURNAL_HEAD_BYTES; offset < content.length; ) {
    const keyAt = offset + KEY_LENGTH_BYTES;
    const keyEnd = keyAt + content.readUInt16BE(offset);
    places.push({ number: firstNumber + places.length, keyAt, keyEnd });
    const resultAt = keyEnd + FORM_AT + 1;
    const isEncoded = content[resultAt - 1] === ResultForm.encoded;
    offset = resultAt + (isEncoded ? RESULT_LENGTH_BYTES + content.readUInt32BE(resultAt) : REVISION_BYTES);
  }
  return places;
}

function decodeEntry(content: Buffer, { number, keyAt, keyEnd }: Place): AnswerEntry {
  const timeAt = keyEnd + FINGERPRINT_BYTES;
  return {
    number,
    key: content.toString('utf8', keyAt, keyEnd),
    fingerprint: content.subarray(keyEnd, timeAt),
    logTimeMs: content.readUIntBE(timeAt, REVISION_BYTES),
    result: readResult(content, keyEnd + FORM_AT),
  };
}

function readResult(content: Buffer, formAt: number): CommandResult {
  const form = content[formAt];
  const at = formAt + 1;
  if (form === ResultForm.encoded) {
    const encodedAt = at + RESULT_LENGTH_BYTES;
    return decodeResult(content.subarray(encodedAt, encodedAt + content.readUInt32BE(at)));
  }
  const created = form === ResultForm.putThatCreated;
  if (!created && form !== ResultForm.put) throw stateDamaged(`An answer has form ${form}.`);
  return { kind: 'put', revision: content.readUIntBE(at, REVISION_BYTES), created };
}

/**
 * A record of the journal as it is written now. In format 3 it had no head, and its answers were what is listed of them when they
 * are filed, the length of the record that they are filed in, in 4 bytes, and that.
 */
function inPresentLayout(record: Buffer): Buffer {
  const layout = record[REVISION_BYTES];
  if (layout === LAYOUT) return record;
  if (layout !== LAYOUT_OF_FORMAT_3) throw stateDamaged(`A journal of answers has layout ${layout}.`);
  // Every answer takes less room than it took then.
  const content = Buffer.allocUnsafe(JOURNAL_HEAD_BYTES + record.length);
  let end = writeJournalHead(content, 0, record.readUIntBE(0, REVISION_BYTES));
  for (let offset = 0; offset < record.length; ) {
    const { key, keyEnd } = decodeListing(record, offset);
    const answerAt = keyEnd + RESULT_LENGTH_BYTES;
    offset = answerAt + record.readUInt32BE(keyEnd);
    const { fingerprint, logTimeMs, result } = decodeAnswer(record.subarray(answerAt, offset));
    end = writeEntry(content, end, { key, fingerprint }, logTimeMs, writtenResult(result));
  }
  return content.subarray(0, end);
}

/** The key of the record in which an answer is filed. */
export function answerKey(key: string): Uint8Array {
  const record = Buffer.allocUnsafe(1 + Buffer.byteLength(key));
  record[0] = TAG_ANSWER;
  record.write(key, 1);
  return record;
}

/** The record in which an answer is filed. */
export function encodeAnswer({ number, logTimeMs, fingerprint, result }: Answer): Uint8Array {
  const encoded = encodeResult(result);
  const record = Buffer.allocUnsafe(RESULT_AT + encoded.length);
  record.writeUIntBE(number, CRC_BYTES, REVISION_BYTES);
  record.writeUIntBE(logTimeMs, CRC_BYTES + REVISION_BYTES, REVISION_BYTES);
  record.set(fingerprint, FINGERPRINT_AT);
  record.set(encoded, RESULT_AT);
  return seal(record);
}

/** Reads what {@link encodeAnswer} wrote. */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const record = unseal(bytes, 'The record of an answer');
  return {
    number: record.readUIntBE(CRC_BYTES, REVISION_BYTES),
    logTimeMs: record.readUIntBE(CRC_BYTES + REVISION_BYTES, REVISION_BYTES),
    fingerprint: record.subarray(FINGERPRINT_AT, RESULT_AT),
    result: decodeResult(record.subarray(RESULT_AT)),
  };
}

/** An answer's entry in the list of filed answers. */
export function encodeListing({ number, logTimeMs, key }: Listing): Uint8Array {
  const keyBytes = Buffer.byteLength(key);
  const listing = Buffer.allocUnsafe(LISTING_HEAD_BYTES + keyBytes);
  listing.writeUIntBE(number, 0, REVISION_BYTES);
  listing.writeUIntBE(logTimeMs, REVISION_BYTES, REVISION_BYTES);
  listing.writeUInt16BE(keyBytes, 2 * REVISION_BYTES);
  listing.write(key, LISTING_HEAD_BYTES);
  return listing;
}

/** The entries of a record of the list of filed answers. */
export function decodeListings(content: Buffer): readonly Listing[] {
  const listings: Listing[] = [];
  for (let offset = 0; offset < content.length; ) {
    const { keyEnd, ...listing } = decodeListing(content, offset);
    listings.push(listing);
    offset = keyEnd;
  }
  return listings;
}

function decodeListing(content: Buffer, offset: number): Listing & { readonly keyEnd: number } {
  const keyAt = offset + LISTING_HEAD_BYTES;
  const keyEnd = keyAt + content.readUInt16BE(keyAt - KEY_LENGTH_BYTES);
  return {
    number: content.readUIntBE(offset, REVISION_BYTES),
    logTimeMs: content.readUIntBE(offset + REVISION_BYTES, REVISION_BYTES),
    key: content.toString('utf8', keyAt, keyEnd),
    keyEnd,
  };
}
