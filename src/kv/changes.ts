import { crc32 } from 'node:zlib';
import { encodeChange } from './change-index.js';
import { bucketOf, hashOfKey, hashOfState } from './live-sums.js';
import type { FoundKey } from './reader.js';
import { type Current, type KeyState, successor } from './record-codec.js';
import type { KeyId } from './sorted-map.js';
import type { Revision } from './types.js';
import type { BufferedChange } from './write-buffer.js';

const NO_VALUE = new Uint8Array(0);

/** Changes of one revision, and the digest after them. */
export interface PlannedChanges {
  readonly changes: readonly BufferedChange[];
  readonly digest: number;
}

/** The tombstone of a key that exists. */
export function deletionOf({ id, key, current }: FoundKey, revision: Revision): BufferedChange {
  const state = {
    createRevision: current.createRevision,
    modRevision: revision,
    version: 0,
    deleted: true,
    contentType: '',
    lease: 0,
  };
  return changeOf(id, key, current, NO_VALUE, state, false);
}

/** What a version takes on disk beside its key, value and content type, about. */
const VERSION_OVERHEAD_BYTES = 64;

/** Bytes of the newest value of a key that exists, where its record tells: from cluster version 2 on. */
export function valueBytesOf(key: Uint8Array, { bytes, contentType }: Current): number | undefined {
  return bytes === 0 ? undefined : bytes - VERSION_OVERHEAD_BYTES - key.length - contentType.length;
}

/**
 * What becomes of a key of which `known` is what was known before, a tombstone included.
 *
 * @param isSized Whether the size of the version is noted, for the bound of history: from cluster version 2 on.
 */
export function changeOf(
  id: KeyId,
  key: Uint8Array,
  known: Current | undefined,
  value: Uint8Array,
  state: KeyState,
  isSized: boolean,
): BufferedChange {
  const { createRevision, modRevision, version, deleted, contentType, lease } = state;
  const { generation, ancestors, jump } = successor(known, modRevision);
  const existed = known?.deleted === false;
  const record = encodeChange({
    revision: modRevision,
    kind: deleted ? 'delete' : 'put',
    // What a tombstone leaves behind differs between members until all have pruned it, and the digest must not.
    previous: existed ? known.modRevision : 0,
    key,
  });
  const hash = hashOfKey(key);
  const sumBefore = existed ? hashOfState(hash, known) : 0;
  const bytes = isSized ? VERSION_OVERHEAD_BYTES + key.length + value.length + contentType.length : 0;
  // Written out field by field: this runs for every put, and spreading takes several times as long.
  return {
    id,
    key,
    current: {
      createRevision,
      modRevision,
      version,
      deleted,
      contentType,
      lease,
      generation,
      ancestors,
      bytes,
    },
    version: {
      createRevision,
      modRevision,
      version,
      deleted,
      contentType,
      lease,
      previous: known?.modRevision ?? 0,
      jump,
      value,
    },
    record,
    leaseBefore: known?.lease ?? 0,
    supersededBytes: known?.bytes ?? 0,
    keysAdded: deleted === existed ? (deleted ? -1 : 1) : 0,
    bucket: bucketOf(hash),
    sumAdded: ((deleted ? 0 : hashOfState(hash, state)) - sumBefore) | 0,
  };
}

/** The rolling CRC-32 of all changes after one more. */
export function digestWith(before: number, { version, record }: BufferedChange): number {
  let digest = crc32(version.value, crc32(record, before));
  if (version.contentType !== '') digest = crc32(version.contentType, digest);
  if (version.lease !== 0) digest = crc32(`${version.lease}`, digest);
  return digest;
}
