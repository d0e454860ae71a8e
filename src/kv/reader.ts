import type { KeyRange, Scan } from '../storage/ordered-store.js';
import { stateDamaged } from './damage.js';
import { JoinedScan } from './joined-scan.js';
import { mergedWalk, type Walked } from './merged-walk.js';
import {
  type Current,
  currentKey,
  currentRange,
  decodeCurrent,
  decodeVersion,
  type KeyState,
  keyOfCurrent,
  tombstoneKey,
  tombstoneRange,
  type Version,
  versionKey,
} from './record-codec.js';
import type { KeyId, Turn } from './sorted-map.js';
import type { StepSizes } from './step-sizes.js';
import type { Item, ListRequest, ListResult, Revision } from './types.js';
import { type BufferedKey, keyId, versionOf, type WriteBuffer } from './write-buffer.js';

/** A page of a listing ends, with `more` set, after the item with which it reaches this size. */
export const PAGE_BYTES_MAX = 1024 * 1024;

const NO_VALUE = new Uint8Array(0);

/**
 * One view of the state: write buffers, the newest first, over what is on disk. With a snapshot of the store in the
 * place of the store it is a frozen one: what is applied later only adds revisions, which a reader of an older
 * revision passes over.
 */
export interface Layers {
  readonly buffers: readonly WriteBuffer[];
  readonly disk: {
    get(key: Uint8Array): Uint8Array | undefined;
    scan(range: KeyRange): Scan;
  };
  /** The newest revision of the view. */
  readonly revision: Revision;
  /** Versions that ended before this revision may be gone. */
  readonly compactedRevision: Revision;
  /** Resolves when work that writes may wait for goes on, in another turn of the event loop. */
  readonly turn: Turn;
  /** Resolves when the next step of a walk through this view may run. */
  readonly step: Turn;
  readonly sizes: StepSizes;
}

function readCurrent({ buffers, disk }: Layers, id: KeyId, key: Uint8Array): Current | undefined {
  for (const buffer of buffers) {
    const buffered = buffer.keys.get(id);
    if (buffered !== undefined) return buffered.current;
  }
  const record = disk.get(currentKey(key)) ?? disk.get(tombstoneKey(key));
  return record === undefined ? undefined : decodeCurrent(record);
}

/** The item under a key as of a revision that is at least the compacted one. */
export function readItem(layers: Layers, key: Uint8Array, revision: Revision): Item | undefined {
  const found = findKey(layers, key);
  return found && itemAt(layers, found, revision, false);
}

/** What is known of a key, tombstones included; undefined for one that never was, or was forgotten. */
export function findKey(layers: Layers, key: Uint8Array): FoundKey | undefined {
  const id = keyId(key);
  const current = readCurrent(layers, id, key);
  return current && { id, key, current };
}

export interface FoundKey {
  readonly id: KeyId;
  readonly key: Uint8Array;
  readonly current: Current;
}

/**
 * All keys with the prefix that may exist at a revision, in byte order, a bounded number at a time, with turns of the event
 * loop in between. Tombstones are among them; but those that are on disk, and stand apart there, only for a revision of the
 * past: however many keys were deleted, a walk of what there is now does not pass over them.
 */
export function walk(
  layers: Layers,
  prefix: Uint8Array,
  after: Uint8Array | undefined,
  revision: Revision,
): AsyncGenerator<readonly FoundKey[]> {
  const { buffers, disk, turn, step, sizes } = layers;
  const current = disk.scan(currentRange(prefix, after));
  const isPast = revision < layers.revision;
  return mergedWalk(
    buffers.map((buffer) => buffer.keys),
    isPast ? new JoinedScan(current, disk.scan(tombstoneRange(prefix, after))) : current,
    { prefix: keyId(prefix), after: after && keyId(after), turn, step, stepSize: sizes.keys },
    walkedKeys,
  );
}

const walkedKeys: Walked<BufferedKey, FoundKey> = {
  idOf: (pair) => keyId(keyOfCurrent(pair.key)),
  fromBuffer: (id, { key, current }) => ({ id, key, current }),
  fromDisk: (id, pair) => ({ id, key: keyOfCurrent(pair.key), current: decodeCurrent(pair.value) }),
};

/**
 * One page as of a revision that is at least the compacted one. Holds no more than the page in memory. Throws the reason of
 * the request's signal once that is aborted.
 */
export async function readPage(
  layers: Layers,
  request: ListRequest,
  revision: Revision,
): Promise<ListResult> {
  const items: Item[] = [];
  let bytes = 0;
  for await (const keys of walk(layers, request.prefix, request.after, revision)) {
    request.signal?.throwIfAborted();
    for (const found of keys) {
      const full = items.length >= request.limit || bytes >= PAGE_BYTES_MAX;
      const item = itemAt(layers, found, revision, request.keysOnly || full);
      if (item === undefined) continue;
      if (full) return { revision, items, more: true };
      items.push(item);
      bytes += item.key.length + item.value.length;
    }
  }
  return { revision, items, more: false };
}

/** What stands under a key that was found, as of a revision that is at least the compacted one. */
export function itemAt(
  layers: Layers,
  found: FoundKey,
  revision: Revision,
  keysOnly: boolean,
): Item | undefined {
  const { key, current } = found;
  if (current.modRevision <= revision) {
    if (current.deleted) return undefined;
    if (keysOnly) return toItem(key, current, NO_VALUE);
    return toItem(key, current, currentVersion(layers, found).value);
  }
  const version = versionAt(layers, found, revision);
  if (version === undefined || version.deleted) return undefined;
  return toItem(key, version, keysOnly ? NO_VALUE : version.value);
}

/** The version of the current revision, which is not a deletion. */
export function currentVersion(layers: Layers, found: FoundKey): Version {
  const { modRevision } = found.current;
  const version = readVersion(layers, found, modRevision);
  if (version === undefined) throw stateDamaged(`The value of revision ${modRevision} is missing.`);
  return version;
}

/** The newest version at or before a revision, along the chain that `successor` built. */
function versionAt(layers: Layers, found: FoundKey, revision: Revision): Version | undefined {
  let at = found.current.modRevision;
  while (at > revision) {
    const version = readVersion(layers, found, at);
    if (version === undefined) throw stateDamaged(`The version of revision ${at} is missing.`);
    at = version.jump > revision ? version.jump : version.previous;
  }
  if (at === 0) return undefined;
  const version = readVersion(layers, found, at);
  // Of what is compacted, only a tombstone that nothing needs any more is gone from under a chain.
  if (version === undefined && at > layers.compactedRevision) {
    throw stateDamaged(`The version of revision ${at} is missing.`);
  }
  return version;
}

/** The value that a key got at exactly this revision, if it is still there. */
export function readItemOf(layers: Layers, key: Uint8Array, revision: Revision): Item | undefined {
  const version = readVersion(layers, { id: keyId(key), key }, revision);
  return version === undefined || version.deleted ? undefined : toItem(key, version, version.value);
}

function readVersion(
  { buffers, disk }: Layers,
  found: Pick<FoundKey, 'id' | 'key'>,
  revision: Revision,
): Version | undefined {
  for (const buffer of buffers) {
    const buffered = buffer.keys.get(found.id);
    const version = buffered && versionOf(buffered, revision);
    if (version !== undefined) return version;
  }
  const record = disk.get(versionKey(found.key, revision));
  return record === undefined ? undefined : decodeVersion(record, revision);
}

export function toItem(key: Uint8Array, state: KeyState, value: Uint8Array): Item {
  const { createRevision, modRevision, version, contentType, lease } = state;
  if (lease === 0) return { key, value, createRevision, modRevision, version, contentType };
  return { key, value, createRevision, modRevision, version, contentType, lease };
}
