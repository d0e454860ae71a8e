import type { Operation } from '../storage/ordered-store.js';
import { changeRecords } from './change-index.js';
import {
  type Current,
  currentKey,
  encodeCurrent,
  encodeVersion,
  type Version,
  versionKey,
} from './record-codec.js';
import type { Revision } from './types.js';

/** What one change costs in memory besides its bytes, roughly: objects, and entries of maps. */
const CHANGE_OVERHEAD_BYTES = 400;

/** A key as a string of one character a byte: it can be looked up, and its order is the order of the bytes. */
export type KeyId = string;

export function keyId(key: Uint8Array): KeyId {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

export interface BufferedKey {
  readonly key: Uint8Array;
  current: Current;
  /** What the key went through since the buffer was begun, oldest first. */
  readonly versions: Version[];
}

/** What one command makes of one key. */
export interface BufferedChange {
  readonly id: KeyId;
  readonly key: Uint8Array;
  /** What the key is from then on. */
  readonly current: Current;
  readonly version: Version;
  /** Its entry in the change index. */
  readonly record: Uint8Array;
}

/** Changes that are applied and not on disk. */
export class WriteBuffer {
  readonly #keys = new Map<KeyId, BufferedKey>();
  readonly #changes: Uint8Array[] = [];
  #bytes = 0;
  #sorted: readonly KeyId[] = [];
  /** Keys that came since they were last sorted. */
  #unsorted: KeyId[] = [];

  /** Bytes of memory, roughly. */
  get bytes(): number {
    return this.#bytes;
  }

  get changeCount(): number {
    return this.#changes.length;
  }

  get(id: KeyId): BufferedKey | undefined {
    return this.#keys.get(id);
  }

  entries(): IterableIterator<[KeyId, BufferedKey]> {
    return this.#keys.entries();
  }

  /** Adds a version of a key. */
  add({ id, key, current, version, record }: BufferedChange): void {
    const known = this.#keys.get(id);
    if (known === undefined) {
      this.#keys.set(id, { key, current, versions: [version] });
      this.#unsorted.push(id);
    } else {
      known.current = current;
      known.versions.push(version);
    }
    this.#changes.push(record);
    this.#bytes += version.value.length + 3 * key.length + CHANGE_OVERHEAD_BYTES;
  }

  /** All keys in byte order. The array does not change when keys are added. */
  sortedIds(): readonly KeyId[] {
    if (this.#unsorted.length > 0) {
      const added = this.#unsorted.sort();
      this.#unsorted = [];
      this.#sorted = this.#sorted.length === 0 ? added : merge(this.#sorted, added);
    }
    return this.#sorted;
  }

  /**
   * What brings the store to where this buffer is: each key's last record, each version, and the change index. Made one by
   * one, because all together would hold the event loop; the buffer must not change meanwhile.
   */
  *operations(): Generator<Operation> {
    for (const { key, current, versions } of this.#keys.values()) {
      yield { kind: 'put', key: currentKey(key), value: encodeCurrent(current) };
      for (const version of versions) {
        yield { kind: 'put', key: versionKey(key, version.modRevision), value: encodeVersion(version) };
      }
    }
    yield* changeRecords(this.#changes);
  }
}

/** The version of exactly this revision, if the buffer holds it. */
export function versionOf(buffered: BufferedKey, revision: Revision): Version | undefined {
  const { versions } = buffered;
  let low = 0;
  let high = versions.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const version = versions[middle];
    if (version === undefined || version.modRevision === revision) return version;
    if (version.modRevision < revision) low = middle + 1;
    else high = middle - 1;
  }
  return undefined;
}

function merge(left: readonly KeyId[], right: readonly KeyId[]): KeyId[] {
  const merged: KeyId[] = [];
  let at = 0;
  for (const id of left) {
    for (let next = right[at]; next !== undefined && next < id; next = right[at]) {
      merged.push(next);
      at += 1;
    }
    merged.push(id);
  }
  return merged.concat(right.slice(at));
}
