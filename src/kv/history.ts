import type { Operation } from '../storage/ordered-store.js';
import { readChanges } from './change-index.js';
import type { MutableMeta } from './meta-codec.js';
import type { Layers } from './reader.js';
import { currentKey, decodeCurrent, tombstoneKey, versionKey } from './record-codec.js';
import type { Revision } from './types.js';
import { keyId } from './write-buffer.js';

/**
 * How far the past can be read: so many revisions, and revisions that were the newest one in so many milliseconds of log
 * time. Part of what replicas agree on: all members drop the same revisions at the same entry, so changing it takes a new
 * format of the command.
 */
export const HISTORY_REVISIONS = 100_000;
/** Bytes of superseded values that can be read, from cluster version 2 on; a single revision may exceed it until the next one. */
export const HISTORY_BYTES = 256 * 1024 * 1024;
export const HISTORY_MS = 24 * 60 * 60 * 1000;

/**
 * How often it is noted which revision the state is at. Revisions are dropped at the same pace, so a revision that was
 * superseded is dropped at most twice this much later than it might be.
 */
const MARK_MS = 60 * 60 * 1000;

/**
 * Log time has come to where `meta` says, with a command that is not applied yet: makes a mark if the last one is long
 * ago, and drops revisions that are too old.
 */
export function markTime(meta: MutableMeta): void {
  const { logTimeMs, revision, marks } = meta;
  const last = marks.at(-1);
  if (last !== undefined && logTimeMs - last.logTimeMs < MARK_MS) return;
  const made = [...marks, { logTimeMs, revision }];
  const oldest = made.findLastIndex((mark) => logTimeMs - mark.logTimeMs >= HISTORY_MS);
  // Whatever was the newest revision at that mark or after it can be read.
  meta.compactedRevision = Math.max(meta.compactedRevision, made[oldest]?.revision ?? 0);
  meta.marks = made.slice(oldest + 1);
}

/** How much of the past can be read, beside its age. All members have the same bounds. */
export interface HistoryBounds {
  readonly revisions: number;
  /** Of superseded values. */
  readonly bytes: number;
}

/** The share of the bound in bytes after which it is noted again which revision the state is at. */
const SIZE_MARK_SHARE = 1 / 16;

/**
 * A revision was taken, and what it superseded is counted in `historyBytes`: makes a mark if much was superseded since the last
 * one, and drops revisions where more was superseded after them than can be kept. What a mark is counted from is dropped
 * revisions, so the numbers stay small. Returns the bytes that were dropped.
 */
export function boundBytes(meta: MutableMeta, { bytes: bytesMax }: HistoryBounds): number {
  let dropped = 0;
  const { sizeMarks, revision } = meta;
  if (meta.historyBytes - (sizeMarks.at(-1)?.bytes ?? 0) >= bytesMax * SIZE_MARK_SHARE) {
    meta.sizeMarks = [...sizeMarks, { bytes: meta.historyBytes, revision }];
  }
  // Only now and then is there anything to drop.
  while (
    meta.historyBytes > bytesMax ||
    (meta.sizeMarks[0]?.revision ?? revision + 1) <= meta.compactedRevision
  ) {
    const [first, ...rest] = meta.sizeMarks;
    if (first === undefined) break;
    dropped += first.bytes;
    meta.historyBytes -= first.bytes;
    meta.sizeMarks = rest.map((mark) => ({ bytes: mark.bytes - first.bytes, revision: mark.revision }));
    meta.compactedRevision = Math.max(meta.compactedRevision, first.revision);
  }
  return dropped;
}

export interface Pruning {
  readonly operations: readonly Operation[];
  readonly prunedRevision: Revision;
  /** Whether there is more to prune, which the next flush does. */
  readonly isCut: boolean;
}

/**
 * Removes what no read can ask for any more: of every change at or before the compacted revision, the version that it
 * superseded, the tombstone that it left, and its place in the change index. The operations go into the batch of a
 * flush, so they are done together with the note of how far they went, and a crash loses or keeps both.
 *
 * @param layers The buffer that is being flushed, over the store.
 */
export async function pruneHistory(
  layers: Layers,
  prunedRevision: Revision,
  changesInFlush: number,
): Promise<Pruning> {
  if (prunedRevision >= layers.compactedRevision) return { operations: [], prunedRevision, isCut: false };
  const operations: Operation[] = [];
  const remove = (key: Uint8Array) => operations.push({ kind: 'delete', key });
  const { changes: stepSize, prunedChanges } = layers.sizes;
  let left = Math.max(2 * changesInFlush, prunedChanges);
  let through = prunedRevision;
  for await (const record of readChanges(layers.disk, prunedRevision, layers.compactedRevision)) {
    if (left <= 0) return { operations, prunedRevision: through, isCut: true };
    for (const [at, change] of record.changes.entries()) {
      if (at % stepSize === stepSize - 1) await layers.turn();
      if (change.previous > 0) remove(versionKey(change.key, change.previous));
      if (change.kind === 'delete') {
        remove(versionKey(change.key, change.revision));
        const tombstone = forgottenTombstone(layers, change.key, change.revision);
        if (tombstone !== undefined) remove(tombstone);
      }
    }
    remove(record.key);
    left -= record.changes.length;
    through = record.lastRevision;
  }
  return { operations, prunedRevision: through, isCut: false };
}

/** The tombstone of a key that is still as that deletion left it: neither this flush nor an earlier one brought it back. */
function forgottenTombstone(
  { buffers, disk }: Layers,
  key: Uint8Array,
  deletedAt: Revision,
): Uint8Array | undefined {
  if (buffers.some((buffer) => buffer.keys.get(keyId(key)) !== undefined)) return undefined;
  // One that was written before cluster version 2 stands among the keys that exist.
  for (const recordKey of [tombstoneKey(key), currentKey(key)]) {
    const record = disk.get(recordKey);
    if (record === undefined) continue;
    const current = decodeCurrent(record);
    return current.deleted && current.modRevision === deletedAt ? recordKey : undefined;
  }
  return undefined;
}
