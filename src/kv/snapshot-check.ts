import type { Pair, Scan, StoreSnapshot } from '../storage/ordered-store.js';
import { stateDamaged } from './damage.js';
import { bucketsInWords, differenceOf, LiveTotals } from './live-sums.js';
import { decodeMeta } from './meta-codec.js';
import { checkAlone, nameOfRecord } from './record-checks.js';
import {
  decodeCurrent,
  decodeVersion,
  isStateKey,
  keyOfCurrent,
  keyOfVersion,
  TAG_CURRENT,
  TAG_META,
  TAG_TOMBSTONE,
  TAG_VERSION,
  type Version,
} from './record-codec.js';

/**
 * All records of a frozen state, each checked before it is given away, and all together before the end is. Throws a `StateDamaged`
 * where one is wrong.
 */
export function checkedScan(disk: StoreSnapshot): Scan {
  const check = new SnapshotCheck();
  const scan = disk.scan({});
  return {
    next: async (limit) => {
      const pairs = await scan.next(limit);
      for (const pair of pairs) check.take(pair);
      if (pairs.length === 0) check.end();
      return pairs;
    },
    close: () => scan.close(),
  };
}

/**
 * Checks all records of a state as they pass by, in the order of their keys: a snapshot that leaves, and one that arrives. The totals
 * of the keys that exist are added up twice, from the current records and from the last version of each key, and both must be what
 * the state says of itself, where it says it.
 */
export class SnapshotCheck {
  readonly #currents = new LiveTotals();
  readonly #versions = new LiveTotals();
  #kept: LiveTotals | undefined;
  #revision = 0;
  #newest = 0;
  #last: { readonly key: Buffer; readonly version: Version } | undefined;

  /** Throws `storage_damaged`. */
  take(pair: Pair): void {
    const { key, value } = pair;
    if (!isStateKey(key)) throw stateDamaged(`${nameOfRecord(key)} is no record of a state.`);
    switch (key[0]) {
      case TAG_CURRENT:
      case TAG_TOMBSTONE: {
        const current = decodeCurrent(value);
        this.#newest = Math.max(this.#newest, current.modRevision);
        if (key[0] === TAG_CURRENT) this.#currents.addKey(keyOfCurrent(key), current);
        else if (!current.deleted) throw stateDamaged(`${nameOfRecord(key)} is of a key that exists.`);
        return;
      }
      case TAG_VERSION: {
        const { key: of, revision } = keyOfVersion(key);
        const version = decodeVersion(value, revision);
        if (this.#last !== undefined && !this.#last.key.equals(of)) this.#endOfVersions();
        this.#last = { key: of, version };
        return;
      }
      case TAG_META: {
        const meta = decodeMeta(value);
        this.#kept = meta.live;
        this.#revision = meta.revision;
        return;
      }
      default:
        checkAlone(pair);
    }
  }

  /** What the current records come to, once all have passed. Throws `storage_damaged`. */
  end(): LiveTotals {
    this.#endOfVersions();
    if (this.#newest > this.#revision)
      throw stateDamaged(`A key is of revision ${this.#newest}, and the state is at ${this.#revision}.`);
    const difference = this.#kept && differenceOf(this.#currents, this.#kept);
    if (difference !== undefined) throw stateDamaged(difference);
    const buckets = this.#currents.differing(this.#versions);
    if (buckets.length > 0)
      throw stateDamaged(
        `The records of the keys and their newest values do not belong together, in ${bucketsInWords(buckets)}.`,
      );
    return this.#currents;
  }

  #endOfVersions(): void {
    if (this.#last !== undefined) this.#versions.addKey(this.#last.key, this.#last.version);
    this.#last = undefined;
  }
}
