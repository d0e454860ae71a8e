import type { Operation, OrderedStore } from '../storage/ordered-store.js';
import { stateDamaged } from './damage.js';
import {
  type JournalTag,
  journalKey,
  lastNumberOfJournalKey,
  sealParts,
  unsealParts,
} from './record-codec.js';

/** Records read in one step; the store also bounds a step in bytes. */
const RECORDS_PER_STEP = 64;
const NUMBER_BYTES = 6;

/**
 * The records for the entries of one flush, in their order. Each entry begins with its number, in 6 bytes; numbers grow,
 * and several entries may have the same.
 *
 * @param recordBytes Bytes at which a record is closed.
 */
export function* journalRecords(
  tag: JournalTag,
  entries: readonly Uint8Array[],
  recordBytes: number,
): Generator<Operation> {
  let made = 0;
  let parts: Uint8Array[] = [];
  let bytes = 0;
  for (const [at, entry] of entries.entries()) {
    parts.push(entry);
    bytes += entry.length;
    if (bytes < recordBytes && at < entries.length - 1) continue;
    yield { kind: 'put', key: journalKey(tag, numberOf(entry), made), value: sealParts(parts) };
    made += 1;
    parts = [];
    bytes = 0;
  }
}

/** A record of a journal as it is on disk. */
export interface JournalRecord {
  readonly key: Uint8Array;
  readonly firstNumber: number;
  readonly lastNumber: number;
  /** Its entries, one after the other. */
  readonly content: Buffer;
}

/** The records whose last number is in the range, both ends included, oldest first. */
export async function* readJournal(
  store: Pick<OrderedStore, 'scan'>,
  tag: JournalTag,
  from: number,
  through: number,
): AsyncGenerator<JournalRecord> {
  const scan = store.scan({ gte: journalKey(tag, from, 0), lt: journalKey(tag, through + 1, 0) });
  try {
    for (;;) {
      const pairs = await scan.next(RECORDS_PER_STEP);
      if (pairs.length === 0) return;
      for (const { key, value } of pairs) {
        const lastNumber = lastNumberOfJournalKey(key);
        const content = contentOf(value, lastNumber);
        yield { key, firstNumber: numberOf(content), lastNumber, content };
      }
    }
  } finally {
    await scan.close();
  }
}

/** The entries of a record, one after the other. */
export function contentOf(value: Uint8Array, lastNumber: number): Buffer {
  return unsealParts(value, `The record of everything up to ${lastNumber} in a journal`);
}

/**
 * Checks that the records go on from one to the next, from `known` to `last`. LevelDB drops damaged parts of its
 * write-ahead log in silence (correctness row 29); each flush that changed something left its numbers here, so one that is
 * missing between two others leaves a gap.
 *
 * @param what What a journal's entries are called, for the message.
 */
export async function checkContinuity(
  records: AsyncIterable<JournalRecord>,
  known: number,
  last: number,
  what: string,
): Promise<void> {
  let reached = known;
  for await (const { firstNumber, lastNumber } of records) {
    if (firstNumber > reached + 1) throw stateDamaged(`${what} ${reached + 1} is missing.`);
    reached = lastNumber;
  }
  if (reached !== last) throw stateDamaged(`${what} ${reached} is the last, and the state is at ${last}.`);
}

function numberOf(entry: Uint8Array): number {
  return Buffer.from(entry.buffer, entry.byteOffset, NUMBER_BYTES).readUIntBE(0, NUMBER_BYTES);
}
