import type { KeyRange, Pair, Scan } from '../storage/ordered-store.js';
import { stateDamaged } from './damage.js';
import {
  type Current,
  currentKey,
  currentRange,
  decodeCurrent,
  decodeVersion,
  type KeyState,
  keyOfCurrent,
  type Version,
  versionKey,
} from './record-codec.js';
import type { Item, ListRequest, ListResult, Revision } from './types.js';
import { type BufferedKey, type KeyId, keyId, versionOf, type WriteBuffer } from './write-buffer.js';

/** Keys read in one step of a listing, between which the event loop gets a turn. */
const KEYS_PER_STEP = 128;
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
  /** Versions that ended before this revision may be gone. */
  readonly compactedRevision: Revision;
}

function readCurrent({ buffers, disk }: Layers, id: KeyId, key: Uint8Array): Current | undefined {
  for (const buffer of buffers) {
    const buffered = buffer.get(id);
    if (buffered !== undefined) return buffered.current;
  }
  const record = disk.get(currentKey(key));
  return record === undefined ? undefined : decodeCurrent(record);
}

/** The item under a key as of a revision that is at least the compacted one. */
export function readItem(layers: Layers, key: Uint8Array, revision: Revision): Item | undefined {
  const id = keyId(key);
  const current = readCurrent(layers, id, key);
  return current === undefined ? undefined : itemAt(layers, { id, key, current }, revision, false);
}

export interface FoundKey {
  readonly id: KeyId;
  readonly key: Uint8Array;
  readonly current: Current;
}

/** All keys with the prefix, tombstones included, in byte order, a bounded number at a time. */
export async function* walk(
  layers: Layers,
  prefix: Uint8Array,
  after: Uint8Array | undefined,
): AsyncGenerator<readonly FoundKey[]> {
  const buffered = new BufferCursor(layers.buffers, keyId(prefix), after && keyId(after));
  const scan = layers.disk.scan(currentRange(prefix, after));
  try {
    for (;;) {
      const pairs = await scan.next(KEYS_PER_STEP);
      if (pairs.length === 0) break;
      const found: FoundKey[] = [];
      for (const pair of pairs) {
        const id = keyId(keyOfCurrent(pair.key));
        buffered.takeBefore(id, KEYS_PER_STEP, found);
        while ((buffered.peek() ?? id) < id) {
          yield found.splice(0);
          buffered.takeBefore(id, KEYS_PER_STEP, found);
        }
        found.push(buffered.take(id) ?? fromDisk(id, pair));
      }
      yield found;
    }
    while (buffered.peek() !== undefined) {
      const found: FoundKey[] = [];
      buffered.takeBefore(undefined, KEYS_PER_STEP, found);
      yield found;
    }
  } finally {
    await scan.close();
  }
}

/** One page as of a revision that is at least the compacted one. Holds no more than the page in memory. */
export async function readPage(
  layers: Layers,
  request: ListRequest,
  revision: Revision,
): Promise<ListResult> {
  const items: Item[] = [];
  let bytes = 0;
  for await (const keys of walk(layers, request.prefix, request.after)) {
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

function itemAt(layers: Layers, found: FoundKey, revision: Revision, keysOnly: boolean): Item | undefined {
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

function readVersion({ buffers, disk }: Layers, found: FoundKey, revision: Revision): Version | undefined {
  for (const buffer of buffers) {
    const buffered = buffer.get(found.id);
    const version = buffered && versionOf(buffered, revision);
    if (version !== undefined) return version;
  }
  const record = disk.get(versionKey(found.key, revision));
  return record === undefined ? undefined : decodeVersion(record, revision);
}

export function toItem(key: Uint8Array, state: KeyState, value: Uint8Array): Item {
  const { createRevision, modRevision, version, contentType } = state;
  return { key, value, createRevision, modRevision, version, contentType };
}

function fromDisk(id: KeyId, pair: Pair): FoundKey {
  return { id, key: keyOfCurrent(pair.key), current: decodeCurrent(pair.value) };
}

/** Walks the keys of several buffers in byte order; a key that is in two of them is taken from the newer. */
class BufferCursor {
  readonly #places: { readonly buffer: WriteBuffer; readonly ids: readonly KeyId[]; at: number }[];
  readonly #prefix: KeyId;

  constructor(buffers: readonly WriteBuffer[], prefix: KeyId, after: KeyId | undefined) {
    this.#prefix = prefix;
    // The smallest string after another one is that string and a zero character.
    const from = after !== undefined && after >= prefix ? `${after}\0` : prefix;
    this.#places = buffers.map((buffer) => {
      const ids = buffer.sortedIds();
      return { buffer, ids, at: firstAtLeast(ids, from) };
    });
  }

  /** The next key, or undefined at the end. */
  peek(): KeyId | undefined {
    let least: KeyId | undefined;
    for (const { ids, at } of this.#places) {
      const id = ids[at];
      if (id?.startsWith(this.#prefix) && (least === undefined || id < least)) least = id;
    }
    return least;
  }

  /** Takes the next key if it is this one. */
  take(id: KeyId): FoundKey | undefined {
    let taken: BufferedKey | undefined;
    for (const place of this.#places) {
      if (place.ids[place.at] !== id) continue;
      taken ??= place.buffer.get(id);
      place.at += 1;
    }
    return taken && { id, key: taken.key, current: taken.current };
  }

  /** Takes keys before `end`, or all, as long as `found` has less than `countMax`. */
  takeBefore(end: KeyId | undefined, countMax: number, found: FoundKey[]): void {
    while (found.length < countMax) {
      const id = this.peek();
      if (id === undefined || (end !== undefined && id >= end)) return;
      const taken = this.take(id);
      if (taken !== undefined) found.push(taken);
    }
  }
}

function firstAtLeast(ids: readonly KeyId[], least: KeyId): number {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ids[middle] ?? least) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
