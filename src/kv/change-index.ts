import type { Operation, OrderedStore } from '../storage/ordered-store.js';
import { stateDamaged } from './damage.js';
import type { Meta } from './meta-codec.js';
import {
  changesKey,
  lastRevisionOfChangesKey,
  REVISION_MAX,
  sealParts,
  unsealParts,
} from './record-codec.js';
import type { Revision } from './types.js';

/** A record of the change index is closed at this size. One change, with a key of at most 4 KiB, may exceed it. */
const RECORD_BYTES = 128 * 1024;
/** Records read in one step; the store also bounds a step in bytes. */
const RECORDS_PER_STEP = 64;

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
export function* changeRecords(changes: readonly Uint8Array[]): Generator<Operation> {
  let made = 0;
  let parts: Uint8Array[] = [];
  let bytes = 0;
  for (const [at, change] of changes.entries()) {
    parts.push(change);
    bytes += change.length;
    if (bytes < RECORD_BYTES && at < changes.length - 1) continue;
    yield {
      kind: 'put',
      key: changesKey(Buffer.from(change.buffer, change.byteOffset, 6).readUIntBE(0, 6), made),
      value: sealParts(parts),
    };
    made += 1;
    parts = [];
    bytes = 0;
  }
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
  const scan = store.scan({ gte: changesKey(from, 0), lt: changesKey(through + 1, 0) });
  try {
    for (;;) {
      const pairs = await scan.next(RECORDS_PER_STEP);
      if (pairs.length === 0) return;
      for (const { key, value } of pairs) {
        const lastRevision = lastRevisionOfChangesKey(key);
        yield { key, lastRevision, changes: decodeChanges(value, lastRevision) };
      }
    }
  } finally {
    await scan.close();
  }
}

/**
 * Checks that the index has every revision that was not pruned and no other. LevelDB drops damaged parts of its
 * write-ahead log in silence (correctness row 29); each flush that changed something left its revisions here, so one
 * that is missing between two others leaves a gap.
 */
export async function checkChanges(store: Pick<OrderedStore, 'scan'>, meta: Meta): Promise<void> {
  let known = meta.prunedRevision;
  for await (const { lastRevision, changes } of readChanges(store, 0, REVISION_MAX - 1)) {
    const first = changes[0]?.revision ?? 0;
    if (lastRevision < meta.prunedRevision) {
      throw stateDamaged(`The changes of revision ${lastRevision} are still there after they were pruned.`);
    }
    if (first > known + 1) throw stateDamaged(`The changes of revision ${known + 1} are missing.`);
    known = lastRevision;
  }
  if (known !== meta.revision) {
    throw stateDamaged(
      `The changes end at revision ${known}, and the state is at revision ${meta.revision}.`,
    );
  }
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

function decodeChanges(value: Uint8Array, lastRevision: Revision): readonly Change[] {
  const bytes = unsealParts(value, `The record of the changes up to revision ${lastRevision}`);
  const changes: Change[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const change = decodeChange(bytes, offset);
    changes.push(change);
    offset += HEAD_BYTES + change.key.length;
  }
  return changes;
}
