import type { OrderedStore } from '../storage/ordered-store.js';
import { type Answer, answerKey, decodeAnswer, findEntry, listingsOf } from './answer-codec.js';
import { AnswerIndex, type IndexBounds } from './answer-index.js';
import { type AnswerBatch, AnswerRecord } from './answer-records.js';
import { stateDamaged } from './damage.js';
import { DepartingAnswers, type Departure } from './departing-answers.js';
import { checkContinuity, contentOf, type JournalRecord, readJournal } from './journal.js';
import type { Meta, MutableMeta } from './meta-codec.js';
import { REVISION_MAX, TAG_ANSWERS, TAG_FILED_ANSWERS } from './record-codec.js';
import { type CommandResult, IDEMPOTENCY_MS, type Idempotency, type LogTime } from './types.js';

/** At open, so many of the newest filed answers are looked for: more than LevelDB's write-ahead log can hold. */
const CHECKED_ANSWERS = 200_000;
/** Answers that one flush forgets or files: twice as many as it brings, and at least this many. */
const LEAVING_ANSWERS_MIN = 1000;

/** What is known under an idempotency key. */
export interface Found {
  /** What a repeat is answered; undefined when the command is to be done. */
  readonly result: CommandResult | undefined;
  /** The number of an answer that is too old and still there; 0 for none. */
  readonly superseded: number;
}

const NOTHING: Found = { result: undefined, superseded: 0 };

/**
 * What was answered to commands under idempotency keys, so that a repeat gets the same (correctness row 27). Answers are
 * numbered in their order, which is that of log time too, and they leave in that order:
 *
 * - a new one is in the journal of answers, some hundred in a record, and an index in memory knows in which;
 * - when there are too many for the index, the oldest are filed: each in a record under its key, and listed by number. This
 *   costs about as much as their commands did;
 * - one that is too old is forgotten, wherever it is.
 *
 * Each member files and forgets in its own time, in the background: where an answer is makes no difference to what is found,
 * and one that is too old is never seen, there or not.
 */
export class Answers {
  readonly #meta: MutableMeta;
  readonly #store: Pick<OrderedStore, 'get' | 'scan'>;
  readonly #batch: () => AnswerBatch;
  readonly #index: AnswerIndex;
  /** As on disk: answers up to this one are forgotten. */
  #prunedAnswer: number;
  /** As on disk: answers up to this one are forgotten or filed. */
  #filedAnswer: number;
  /** The same, or further when a flush is on its way that files or forgets more: then both may be found, before and after. */
  #leavingAnswer: number;
  /** Until log time has passed this, nothing on disk is too old. */
  #nothingOldUntilMs: LogTime = -1;

  /**
   * @param meta Of the state; the last number is brought forward in place.
   * @param batch The answers that the next flush brings.
   * @param bounds Of the index.
   */
  constructor(
    meta: MutableMeta,
    store: Pick<OrderedStore, 'get' | 'scan'>,
    batch: () => AnswerBatch,
    bounds: IndexBounds,
  ) {
    this.#meta = meta;
    this.#store = store;
    this.#batch = batch;
    this.#index = new AnswerIndex(bounds);
    this.#prunedAnswer = meta.prunedAnswer;
    this.#filedAnswer = meta.filedAnswer;
    this.#leavingAnswer = meta.filedAnswer;
  }

  /** Checks that no answers are missing (correctness row 29), filed ones among the newest, and makes the index. */
  async load(): Promise<void> {
    const { lastAnswer } = this.#meta;
    const filed = this.#filedAnswer;
    const known = Math.max(this.#prunedAnswer, filed - CHECKED_ANSWERS);
    const lists = readJournal(this.#store, TAG_FILED_ANSWERS, known + 1, REVISION_MAX - 1);
    await checkContinuity(lists, known, filed, 'In the list of filed answers, number');
    const records = this.#indexed(readJournal(this.#store, TAG_ANSWERS, filed + 1, REVISION_MAX - 1));
    await checkContinuity(records, filed, lastAnswer, 'In the journal of answers, number');
  }

  /** Looks for what a repeat at this log time is answered. */
  find({ key, fingerprint }: Idempotency, logTimeMs: LogTime): Found {
    const answer = this.#recent(key) ?? this.#filed(key);
    if (answer === undefined) return NOTHING;
    if (logTimeMs - answer.logTimeMs > IDEMPOTENCY_MS)
      return { result: undefined, superseded: answer.number };
    if (Buffer.compare(answer.fingerprint, fingerprint) !== 0) {
      return { result: { kind: 'idempotencyMismatch', revision: this.#meta.revision }, superseded: 0 };
    }
    return { result: answer.result, superseded: 0 };
  }

  /** Keeps what was answered, at the log time of the state. `superseded` is from {@link find}. */
  keep(idempotency: Idempotency, result: CommandResult, superseded: number): void {
    const meta = this.#meta;
    meta.lastAnswer += 1;
    if (superseded > meta.supersededAnswer) meta.supersededAnswer = superseded;
    const record = this.#batch().add(meta.lastAnswer, idempotency, meta.logTimeMs, result);
    this.#index.add(idempotency.key, record);
  }

  /**
   * Forgets answers that are too old, and files those that are too many for the index, oldest first. The operations go into
   * the batch of a flush; {@link flushed} must follow it.
   *
   * @param meta Of what is flushed.
   * @param brought What this flush brings.
   */
  async leave(meta: Meta, brought: AnswerBatch): Promise<Departure> {
    const departing = new DepartingAnswers(
      this.#store,
      { ...meta, prunedAnswer: this.#prunedAnswer, filedAnswer: this.#filedAnswer },
      Math.max(2 * brought.count, LEAVING_ANSWERS_MIN),
    );
    if (meta.logTimeMs > this.#nothingOldUntilMs) {
      const oldestMs = await departing.forget();
      if (oldestMs !== undefined) this.#nothingOldUntilMs = oldestMs + IDEMPOTENCY_MS;
    }
    await departing.file(this.#index.surplus);
    this.#leavingAnswer = departing.filedAnswer;
    return departing;
  }

  /** A flush is on disk, with what it brought and what {@link leave} gave for it. */
  flushed(brought: AnswerBatch, { prunedAnswer, filedAnswer }: Departure): void {
    brought.written();
    this.#prunedAnswer = prunedAnswer;
    this.#filedAnswer = filedAnswer;
    this.#index.drop(filedAnswer);
  }

  /** Passes records on, and takes them into the index. */
  async *#indexed(records: AsyncIterable<JournalRecord>): AsyncGenerator<JournalRecord> {
    for await (const record of records) {
      const indexed = new AnswerRecord(record.lastNumber);
      for (const { key } of listingsOf(record.content)) this.#index.add(key, indexed);
      yield record;
    }
  }

  /** An answer that the index knows. */
  #recent(key: string): Answer | undefined {
    for (const record of this.#index.find(key)) {
      const found = record.content === undefined ? this.#onDisk(record, key) : record.content.find(key);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The same in a record that is on disk, unless it has left. */
  #onDisk({ key: recordKey, lastNumber }: AnswerRecord, key: string): Answer | undefined {
    if (lastNumber <= this.#filedAnswer) return undefined;
    const value = this.#store.get(recordKey);
    if (value !== undefined) return findEntry(contentOf(value, lastNumber), key);
    if (lastNumber <= this.#leavingAnswer) return undefined;
    throw stateDamaged(`In the journal of answers, number ${lastNumber} is missing.`);
  }

  /** An answer that is filed. */
  #filed(key: string): Answer | undefined {
    if (this.#prunedAnswer >= this.#leavingAnswer) return undefined;
    const record = this.#store.get(answerKey(key));
    return record && decodeAnswer(record);
  }
}
