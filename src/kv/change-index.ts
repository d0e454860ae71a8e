import type { Operation, OrderedStore } from '../storage/ordered-store.js';
import { stateDamaged } from './damage.js';
import { checkContinuity, journalRecords, readJournal } from './journal.js';
import type { Meta } from './meta-codec.js';
import { REVISION_MAX, TAG_CHANGES } from './record-codec.js';
import type { Revision } from './types.js';

const ChangeKind = { put: 1, delete: 2 } as const;
const HEAD_BYTES = 15;

/**
 * One key changed at one revision. The index of all changes, in their order, is what history compaction follows, and
 * what lets the past be told: which keys changed since a revision.
 */
export interface Change {
  readonly revision: Revision;
  readonly kind: keyof typeof ChangeKind;
  /** The mod revision of the value that this change superseded; 0 when the key did not exist. */
  readonly previous: Revision;
  readonly key: Uint8Array;
}

/** Revision, kind, previous revision, length of the key, key: a part of an index record, and of the digest. */
export function encodeChange(change: Change): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + change.key.length);
  bytes.writeUIntBE(change.revision, 0, 6);
  bytes[6] = ChangeKind[change.kind];
  bytes.writeUIntBE(change.previous, 7, 6);
  bytes.writeUInt16BE(change.key.length, 13);
  bytes.set(change.key, HEAD_BYTES);
  return bytes;
}

/** The records for the changes of one flush, each as {@link encodeChange} made it, in their order. */
export function changeRecords(changes: readonly Uint8Array[], recordBytes: number): Iterable<Operation> {
  return journalRecords(TAG_CHANGES, changes, recordBytes);
}

/** A record of the index as it is on disk. */
export interface ChangeRecord {
  readonly key: Uint8Array;
  readonly lastRevision: Revision;
  readonly changes: readonly Change[];
}

/** The records whose last revision is in the range, both ends included, oldest first. */
export async function* readChanges(
  store: Pick<OrderedStore, 'scan'>,
  from: Revision,
  through: Revision,
): AsyncGenerator<ChangeRecord> {
  for await (const { key, lastNumber, content } of readJournal(store, TAG_CHANGES, from, through)) {
    yield { key, lastRevision: lastNumber, changes: decodeChanges(content) };
  }
}

/** Checks that the index has every revision that was not pruned and no other (correctness row 29). */
export async function checkChanges(store: Pick<OrderedStore, 'scan'>, meta: Meta): Promise<void> {
  const { prunedRevision, revision } = meta;
  for await (const { lastNumber } of readJournal(store, TAG_CHANGES, 0, prunedRevision - 1)) {
    throw stateDamaged(`The changes of revision ${lastNumber} are still there after they were pruned.`);
  }
  const records = readJournal(store, TAG_CHANGES, prunedRevision, REVISION_MAX - 1);
  await checkContinuity(records, prunedRevision, revision, 'In the index of changes, revision');
}

/** Reads what {@link encodeChange} wrote, from `offset` on; the key is a view into `bytes`. */
export function decodeChange(bytes: Uint8Array, offset = 0): Change {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const keyAt = offset + HEAD_BYTES;
  return {
    revision: buffer.readUIntBE(offset, 6),
    kind: buffer[offset + 6] === ChangeKind.put ? 'put' : 'delete',
    previous: buffer.readUIntBE(offset + 7, 6),
    key: buffer.subarray(keyAt, keyAt + buffer.readUInt16BE(offset + 13)),
  };
}

function decodeChanges(bytes: Buffer): readonly Change[] {
  const changes: Change[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const change = decodeChange(bytes, offset);
    changes.push(change);
    offset += HEAD_BYTES + change.key.length;
  }
  return changes;
}
