import { present } from '../assert.js';
import type { Operation } from '../storage/ordered-store.js';
import { type Answer, entryBytes, findRecord, writeEntry } from './answer-codec.js';
import { CRC_BYTES, journalKey, seal, TAG_ANSWERS } from './record-codec.js';

/** A record of the journal of answers has this size, or less: all of it is read for one of them. A larger answer is alone. */
const RECORD_BYTES = 8 * 1024;

/** The entries of a record that is not on disk, as they will be there. */
class Content {
  readonly #record: Buffer;
  #end = CRC_BYTES;

  constructor(entriesBytes: number) {
    this.#record = Buffer.allocUnsafeSlow(CRC_BYTES + entriesBytes);
  }

  /** Room for entries. */
  get free(): number {
    return this.#record.length - this.#end;
  }

  /** Returns the digest that was given, brought forward. */
  add(key: string, answer: Answer, entryLength: number, digest: number): number {
    const start = this.#end;
    this.#end += entryLength;
    return writeEntry(this.#record, start, key, answer, digest);
  }

  find(key: string): Uint8Array | undefined {
    return findRecord(this.#record.subarray(CRC_BYTES, this.#end), key);
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
  #newest: AnswerRecord | undefined;
  #count = 0;
  #bytes = 0;

  get count(): number {
    return this.#count;
  }

  /** Bytes of memory, roughly. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds the next answer; returns in which record it is, and the digest that was given, brought forward. */
  add(key: string, answer: Answer, digest: number) {
    const length = entryBytes(key, answer);
    let content = this.#newest?.content;
    if (content === undefined || content.free < length) {
      const bytes = Math.max(RECORD_BYTES, length);
      content = new Content(bytes);
      this.#newest = new AnswerRecord(answer.number, content);
      this.#records.push(this.#newest);
      this.#bytes += bytes;
    }
    const record = present(this.#newest, 'There is a record now.');
    record.lastNumber = answer.number;
    this.#count += 1;
    return { record, digest: content.add(key, answer, length, digest) };
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
