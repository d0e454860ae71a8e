import type { Operation, OrderedStore } from '../storage/ordered-store.js';
import {
  answerKey,
  decodeAnswer,
  decodeEntries,
  decodeListings,
  encodeAnswer,
  encodeListing,
  type Listing,
  listingsOf,
} from './answer-codec.js';
import { type JournalRecord, journalRecords, readJournal } from './journal.js';
import type { Meta } from './meta-codec.js';
import { TAG_ANSWERS, TAG_FILED_ANSWERS } from './record-codec.js';
import { STEP_SIZES } from './step-sizes.js';
import { IDEMPOTENCY_MS, type LogTime } from './types.js';

/** What one flush does about answers that are on disk. */
export interface Departure {
  readonly operations: readonly Operation[];
  /** Answers up to this one are forgotten after it. */
  readonly prunedAnswer: number;
  /** Answers up to this one are forgotten or filed after it. */
  readonly filedAnswer: number;
}

/** Answers on disk that one flush forgets or files, a bounded number of them, the oldest first. */
export class DepartingAnswers implements Departure {
  readonly operations: Operation[] = [];
  prunedAnswer: number;
  filedAnswer: number;
  readonly #store: Pick<OrderedStore, 'get' | 'scan'>;
  readonly #meta: Meta;
  #left: number;

  /**
   * @param meta Of what is flushed, except that what it says of answers that left is as on disk.
   * @param countMax When so many answers left, all others wait; those of a record leave together.
   */
  constructor(store: Pick<OrderedStore, 'get' | 'scan'>, meta: Meta, countMax: number) {
    this.#store = store;
    this.#meta = meta;
    this.#left = countMax;
    this.prunedAnswer = meta.prunedAnswer;
    this.filedAnswer = meta.filedAnswer;
  }

  /**
   * Forgets answers that are too old: filed ones first, which are the older ones. Resolves with the log time of the newest
   * answer of the first record that is not too old; undefined when there is none, or more that is too old.
   */
  async forget(): Promise<LogTime | undefined> {
    for await (const { record, listings } of this.#lists()) {
      const newestMs = newestOf(listings);
      if (!this.#isOld(newestMs)) return newestMs;
      if (this.#left <= 0) return undefined;
      for (const { number, key } of listings) if (this.#isUnder(key, number)) this.#remove(answerKey(key));
      this.#remove(record.key);
      this.#left -= listings.length;
      this.prunedAnswer = record.lastNumber;
    }
    for await (const record of this.#records()) {
      const listings = listingsOf(record.content);
      const newestMs = newestOf(listings);
      if (!this.#isOld(newestMs)) return newestMs;
      if (this.#left <= 0) return undefined;
      this.#remove(record.key);
      this.#left -= listings.length;
      this.prunedAnswer = record.lastNumber;
      this.filedAnswer = record.lastNumber;
    }
    return undefined;
  }

  /** Files answers that are still in the journal, up to about this number. */
  async file(through: number): Promise<void> {
    if (this.filedAnswer >= through) return;
    for await (const record of this.#records()) {
      if (this.#left <= 0 || this.filedAnswer >= through) return;
      const entries = decodeEntries(record.content);
      for (const entry of entries) {
        this.operations.push({ kind: 'put', key: answerKey(entry.key), value: encodeAnswer(entry) });
      }
      this.operations.push(
        ...journalRecords(TAG_FILED_ANSWERS, entries.map(encodeListing), STEP_SIZES.journalBytes),
      );
      this.#remove(record.key);
      this.#left -= entries.length;
      this.filedAnswer = record.lastNumber;
    }
  }

  /** The list of filed answers. */
  async *#lists(): AsyncGenerator<{ record: JournalRecord; listings: readonly Listing[] }> {
    const { filedAnswer, prunedAnswer } = this;
    for await (const record of readJournal(this.#store, TAG_FILED_ANSWERS, prunedAnswer + 1, filedAnswer)) {
      yield { record, listings: decodeListings(record.content) };
    }
  }

  /** The journal of answers. */
  #records(): AsyncGenerator<JournalRecord> {
    return readJournal(this.#store, TAG_ANSWERS, this.filedAnswer + 1, this.#meta.lastAnswer);
  }

  #remove(key: Uint8Array): void {
    this.operations.push({ kind: 'delete', key });
  }

  #isOld(logTimeMs: LogTime): boolean {
    return this.#meta.logTimeMs - logTimeMs > IDEMPOTENCY_MS;
  }

  /** Whether a filed answer is the one that is filed under its key: a key may be used again when its answer is too old. */
  #isUnder(key: string, number: number): boolean {
    if (number > this.#meta.supersededAnswer) return true;
    const filed = this.#store.get(answerKey(key));
    return filed !== undefined && decodeAnswer(filed).number === number;
  }
}

/** They are in the order of time: when the last of them is too old, all are. */
function newestOf(listings: readonly Listing[]): LogTime {
  return listings.at(-1)?.logTimeMs ?? 0;
}
