import { crc32 } from 'node:zlib';
import { present } from '../assert.js';
import type { Operation } from '../storage/ordered-store.js';
import {
  type Answer,
  entryBytesMax,
  findEntry,
  JOURNAL_HEAD_BYTES,
  type WrittenResult,
  writeEntry,
  writeJournalHead,
  writtenResult,
} from './answer-codec.js';
import { CRC_BYTES, journalKey, seal, TAG_ANSWERS } from './record-codec.js';
import type { CommandResult, Idempotency, LogTime } from './types.js';

/** A record of the journal of answers has about this size at most, unless one answer is larger: all of it is read for one of them. */
const RECORD_BYTES = 8 * 1024;

/** The answers of a record that is not on disk, as they will be there. */
class Content {
  readonly #record: Buffer;
  #end: number;
  /** What comes before is in the digest. */
  #digested: number;

  constructor(firstNumber: number, entriesBytes: number) {
    this.#record = Buffer.allocUnsafeSlow(CRC_BYTES + JOURNAL_HEAD_BYTES + entriesBytes);
    this.#end = writeJournalHead(this.#record, CRC_BYTES, firstNumber);
    this.#digested = this.#end;
  }

  /** Room for answers. */
  get free(): number {
    return this.#record.length - this.#end;
  }

  add(idempotency: Idempotency, logTimeMs: LogTime, result: WrittenResult): void {
    this.#end = writeEntry(this.#record, this.#end, idempotency, logTimeMs, result);
  }

  find(key: string): Answer | undefined {
    return findEntry(this.#record.subarray(CRC_BYTES, this.#end), key);
  }

  /** Returns the digest that was given, brought forward by what was added since the last time. */
  digestFrom(digest: number): number {
    if (this.#digested === this.#end) return digest;
    const added = this.#record.subarray(this.#digested, this.#end);
    this.#digested = this.#end;
    return crc32(added, digest);
  }

  sealed(): Uint8Array {
    return seal(this.#record.subarray(0, this.#end));
  }
}

/** A record of the journal of answers: on disk, or to be written. */
export class AnswerRecord {
  /** Of its last answer. */
  lastNumber: number;
  /** Undefined when it is on disk. */
  content: Content | undefined;

  constructor(lastNumber: number, content?: Content) {
    this.lastNumber = lastNumber;
    this.content = content;
  }

  get key(): Uint8Array {
    return journalKey(TAG_ANSWERS, this.lastNumber, 0);
  }
}

/** The answers that one flush brings. */
export class AnswerBatch {
  readonly #records: AnswerRecord[] = [];
  #newest: Content | undefined;
  #digest: number;
  #count = 0;
  #bytes = 0;

  /** @param digest Of all answers before these. */
  constructor(digest: number) {
    this.#digest = digest;
  }

  /** The rolling CRC-32 of all answers up to here. Checksums are not taken answer by answer: they cost little in one go. */
  get digest(): number {
    if (this.#newest !== undefined) this.#digest = this.#newest.digestFrom(this.#digest);
    return this.#digest;
  }

  /** The checksum begins anew: it is of the answers from here on. */
  restartDigest(): void {
    this.#digest = this.digest;
    this.#digest = 0;
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of memory, roughly. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds the next answer; returns in which record it is. */
  add(number: number, idempotency: Idempotency, logTimeMs: LogTime, result: CommandResult): AnswerRecord {
    const written = writtenResult(result);
    const bytes = entryBytesMax(idempotency.key, written);
    if (this.#newest === undefined || this.#newest.free < bytes) this.#begin(number, bytes);
    present(this.#newest, 'There is a record now.').add(idempotency, logTimeMs, written);
    this.#count += 1;
    const record = present(this.#records.at(-1), 'There is a record now.');
    record.lastNumber = number;
    return record;
  }

  #begin(firstNumber: number, bytesMin: number): void {
    this.#digest = this.digest;
    const bytes = Math.max(RECORD_BYTES, bytesMin);
    this.#newest = new Content(firstNumber, bytes);
    this.#records.push(new AnswerRecord(firstNumber, this.#newest));
    this.#bytes += bytes;
  }

  *operations(): Generator<Operation> {
    for (const { key, content } of this.#records) {
      yield { kind: 'put', key, value: present(content, 'What is to be written is in memory.').sealed() };
    }
  }

  /** They are on disk: they need not be in memory any more. */
  written(): void {
    for (const record of this.#records) record.content = undefined;
  }
}
