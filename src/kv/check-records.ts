import { StorageDamaged } from '../errors.js';
import type { OrderedStore, Pair } from '../storage/ordered-store.js';
import { differenceOf, LiveTotals } from './live-sums.js';
import { decodeMeta, type Meta, metaKey } from './meta-codec.js';
import { checkAlone, keyInWords, nameOfRecord } from './record-checks.js';
import {
  type Current,
  currentKey,
  decodeCurrent,
  decodeVersion,
  isStateKey,
  keyOfCurrent,
  keyOfVersion,
  TAG_CURRENT,
  TAG_TOMBSTONE,
  TAG_VERSION,
  tombstoneKey,
  versionKey,
} from './record-codec.js';

/** Pairs read in one step; the store also bounds a step in bytes. */
const PAIRS_PER_STEP = 1024;

/**
 * Reads all records of a state and gives a sentence for each that is damaged or contradicts another. Checksums of records cover
 * neither their keys nor that a record is the newest of its key; what records say of each other does: a key's newest version is the one
 * that its current record names, and there is no later one.
 *
 * @param onRecords Told of how many records each step has read.
 */
export async function* checkStateRecords(
  store: OrderedStore,
  onRecords: (count: number) => void,
): AsyncGenerator<string> {
  const record = store.get(metaKey);
  // A state that was never flushed.
  if (record === undefined) return;
  const check = new RecordCheck(store, decodeMeta(record));
  const scan = store.scan({});
  try {
    for (;;) {
      const pairs = await scan.next(PAIRS_PER_STEP);
      if (pairs.length === 0) break;
      for (const pair of pairs) yield* check.take(pair);
      onRecords(pairs.length);
    }
  } finally {
    await scan.close();
  }
  yield* check.end();
}

class RecordCheck {
  readonly #live = new LiveTotals();
  /** The version that was read last, of the key whose versions are being read. */
  #version: { readonly key: Buffer; readonly revision: number } | undefined;

  constructor(
    private readonly store: Pick<OrderedStore, 'get'>,
    private readonly meta: Meta,
  ) {}

  *take(pair: Pair): Generator<string> {
    try {
      yield* this.#check(pair);
    } catch (error) {
      yield error instanceof StorageDamaged
        ? `${nameOfRecord(pair.key)}: ${error.what}`
        : `${nameOfRecord(pair.key)} cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  *end(): Generator<string> {
    yield* this.#endOfVersions(undefined);
    const { live } = this.meta;
    const difference = live && differenceOf(this.#live, live);
    if (difference !== undefined) yield difference;
  }

  *#check(pair: Pair): Generator<string> {
    const { key, value } = pair;
    if (!isStateKey(key)) {
      yield `${nameOfRecord(key)} is no record of a state.`;
      return;
    }
    switch (key[0]) {
      case TAG_CURRENT:
      case TAG_TOMBSTONE:
        yield* this.#checkCurrent(keyOfCurrent(key), decodeCurrent(value));
        return;
      case TAG_VERSION:
        yield* this.#checkVersion(key, value);
        return;
      default:
        checkAlone(pair);
    }
  }

  *#checkCurrent(key: Uint8Array, current: Current): Generator<string> {
    const { modRevision } = current;
    if (modRevision > this.meta.revision)
      yield `${keyInWords(key)} is of revision ${modRevision}, and the state is at ${this.meta.revision}.`;
    if (current.deleted) return;
    this.#live.addKey(key, current);
    const record = this.store.get(versionKey(key, modRevision));
    if (record === undefined) {
      yield `The value of ${keyInWords(key)} at revision ${modRevision} is missing.`;
      return;
    }
    const version = decodeVersion(record, modRevision);
    if (
      version.deleted ||
      version.createRevision !== current.createRevision ||
      version.version !== current.version
    )
      yield `${keyInWords(key)} and its value at revision ${modRevision} do not belong together.`;
  }

  *#checkVersion(record: Uint8Array, value: Uint8Array): Generator<string> {
    const { key, revision } = keyOfVersion(record);
    if (this.#version !== undefined && !this.#version.key.equals(key)) yield* this.#endOfVersions(key);
    this.#version = { key, revision };
    decodeVersion(value, revision);
  }

  /** The last of a key's versions must be the one that is current. */
  *#endOfVersions(next: Buffer | undefined): Generator<string> {
    const last = this.#version;
    this.#version = undefined;
    if (last === undefined || next?.equals(last.key) === true) return;
    const record = this.store.get(currentKey(last.key)) ?? this.store.get(tombstoneKey(last.key));
    if (record === undefined) {
      yield `${keyInWords(last.key)} has a value of revision ${last.revision}, and no record says that it exists.`;
      return;
    }
    const modRevision = revisionOf(record);
    if (modRevision < last.revision)
      yield `${keyInWords(last.key)} has a value of revision ${last.revision}, and its record says that revision ${modRevision} is the newest.`;
  }
}

/** Of a current record. One that is damaged was told of when it was read. */
function revisionOf(record: Uint8Array): number {
  try {
    return decodeCurrent(record).modRevision;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
