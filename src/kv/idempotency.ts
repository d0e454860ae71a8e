import { crc32 } from 'node:zlib';
import type { Operation, OrderedStore } from '../storage/ordered-store.js';
import { checkContinuity, readJournal } from './journal.js';
import type { Meta, MutableMeta } from './meta-codec.js';
import {
  answerKey,
  checksumOf,
  decodeAnswer,
  encodeAnswer,
  REVISION_MAX,
  TAG_ANSWERS,
} from './record-codec.js';
import { decodeResult, encodeResult } from './result-codec.js';
import { type CommandResult, IDEMPOTENCY_MS, type Idempotency, type LogTime } from './types.js';

/** At open, so many of the newest answers are looked for: more than LevelDB's write-ahead log can hold. */
const CHECKED_ANSWERS = 200_000;
/** Answers that one flush forgets: twice as many as it brings, and at least this many. */
const FORGOTTEN_ANSWERS_MIN = 1000;

const NUMBER_BYTES = 6;
const ENTRY_HEAD_BYTES = 2 * NUMBER_BYTES + 2;

/** What is new in a write buffer when an answer was kept. */
export interface KeptAnswer {
  /** The idempotency key. */
  readonly key: string;
  /** The answer's record. */
  readonly record: Uint8Array;
  /** Its entry in the journal of answers. */
  readonly entry: Uint8Array;
}

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
 * numbered in their order, which is that of log time too, and a journal says which key has which: so they are forgotten
 * oldest first, in the background and each member in its own time. An answer that is too old is never seen, there or not.
 */
export class Answers {
  readonly #meta: MutableMeta;
  readonly #read: (key: string) => Uint8Array | undefined;
  readonly #write: (answer: KeptAnswer) => void;

  /**
   * @param meta Of the state; the digest and the last number are brought forward in place.
   * @param read The newest record under a key.
   */
  constructor(
    meta: MutableMeta,
    read: (key: string) => Uint8Array | undefined,
    write: (answer: KeptAnswer) => void,
  ) {
    this.#meta = meta;
    this.#read = read;
    this.#write = write;
  }

  /** Looks for what a repeat at this log time is answered. */
  find({ key, fingerprint }: Idempotency, logTimeMs: LogTime): Found {
    const record = this.#read(key);
    if (record === undefined) return NOTHING;
    const answer = decodeAnswer(record);
    if (logTimeMs - answer.logTimeMs > IDEMPOTENCY_MS)
      return { result: undefined, superseded: answer.number };
    if (Buffer.compare(answer.fingerprint, fingerprint) !== 0) {
      return { result: { kind: 'idempotencyMismatch', revision: this.#meta.revision }, superseded: 0 };
    }
    return { result: decodeResult(answer.result), superseded: 0 };
  }

  /** Keeps what was answered, at the log time of the state. `superseded` is from {@link find}. */
  keep({ key, fingerprint }: Idempotency, result: CommandResult, superseded: number): void {
    const meta = this.#meta;
    meta.lastAnswer += 1;
    if (superseded > meta.supersededAnswer) meta.supersededAnswer = superseded;
    const { lastAnswer: number, logTimeMs } = meta;
    const record = encodeAnswer({ number, logTimeMs, fingerprint, result: encodeResult(result) });
    const entry = encodeEntry(number, logTimeMs, key);
    // The checksum stands for the record: this runs for every such command.
    meta.digest = crc32(entry, (meta.digest ^ checksumOf(record)) >>> 0);
    this.#write({ key, record, entry });
  }
}

/** Checks that no answers are missing among the newest (correctness row 29). */
export async function checkAnswers(store: Pick<OrderedStore, 'scan'>, meta: Meta): Promise<void> {
  const known = Math.max(meta.prunedAnswer, meta.lastAnswer - CHECKED_ANSWERS);
  const records = readJournal(store, TAG_ANSWERS, known + 1, REVISION_MAX - 1);
  await checkContinuity(records, known, meta.lastAnswer, 'In the journal of answers, number');
}

/**
 * Forgets answers that are too old, oldest first: their records, and their places in the journal. The operations go into
 * the batch of a flush before what it brings, so that a key that is used again keeps its new answer.
 *
 * @param meta Of what is flushed, except that `prunedAnswer` is of what is on disk.
 * @param answersInFlush How many this flush brings.
 */
export async function forgetAnswers(
  store: Pick<OrderedStore, 'get' | 'scan'>,
  meta: Meta,
  answersInFlush: number,
): Promise<{ readonly operations: readonly Operation[]; readonly prunedAnswer: number }> {
  const operations: Operation[] = [];
  let { prunedAnswer } = meta;
  let left = Math.max(2 * answersInFlush, FORGOTTEN_ANSWERS_MIN);
  for await (const record of readJournal(store, TAG_ANSWERS, prunedAnswer + 1, meta.lastAnswer)) {
    const entries = decodeEntries(record.content);
    // They are in the order of time: when the last of them is too old, all are.
    const newestMs = entries.at(-1)?.logTimeMs ?? 0;
    if (left <= 0 || meta.logTimeMs - newestMs <= IDEMPOTENCY_MS) break;
    for (const { number, key } of entries) {
      if (number <= meta.supersededAnswer && numberOnDisk(store, key) !== number) continue;
      operations.push({ kind: 'delete', key: answerKey(key) });
    }
    operations.push({ kind: 'delete', key: record.key });
    left -= entries.length;
    prunedAnswer = record.lastNumber;
  }
  return { operations, prunedAnswer };
}

/** The number of the answer that is on disk under a key. */
function numberOnDisk(store: Pick<OrderedStore, 'get'>, key: string): number | undefined {
  const record = store.get(answerKey(key));
  return record && decodeAnswer(record).number;
}

/** Number, log time, length of the key, key. */
function encodeEntry(number: number, logTimeMs: LogTime, key: string): Uint8Array {
  const keyBytes = Buffer.byteLength(key);
  const entry = Buffer.allocUnsafe(ENTRY_HEAD_BYTES + keyBytes);
  entry.writeUIntBE(number, 0, NUMBER_BYTES);
  entry.writeUIntBE(logTimeMs, NUMBER_BYTES, NUMBER_BYTES);
  entry.writeUInt16BE(keyBytes, 2 * NUMBER_BYTES);
  entry.write(key, ENTRY_HEAD_BYTES);
  return entry;
}

function decodeEntries(content: Buffer) {
  const entries: { readonly number: number; readonly logTimeMs: LogTime; readonly key: string }[] = [];
  for (let offset = 0; offset < content.length; ) {
    const keyAt = offset + ENTRY_HEAD_BYTES;
    const end = keyAt + content.readUInt16BE(keyAt - 2);
    entries.push({
      number: content.readUIntBE(offset, NUMBER_BYTES),
      logTimeMs: content.readUIntBE(offset + NUMBER_BYTES, NUMBER_BYTES),
      key: content.toString('utf8', keyAt, end),
    });
    offset = end;
  }
  return entries;
}
