import type { KeyState } from './record-codec.js';
import type { IndexedSums } from './types.js';

/**
 * A second account of which keys exist, kept beside the records themselves. A record's checksum covers what it says, but not
 * that it is the newest of its key, nor that no other is missing; LevelDB's compaction gives a damaged block a fresh checksum. So
 * the state keeps, for each of 256 buckets, the sum of a hash of every key that exists and of what its record says. A change
 * subtracts what the key was and adds what it is; whoever reads all records can add up the hashes and compare.
 *
 * A key's bucket comes from the hash of the key. Ranges of keys would tell where damage is by the name of a key, but keys of one
 * application share long prefixes, so that nearly all of them would be in one range, and ranges that adapt would differ between members.
 *
 * The hash takes no part of the value: a version's record is named by key and revision, is written once and has a checksum.
 */
export const LIVE_BUCKETS = 256;

const TWO_TO_32 = 2 ** 32;

/** How many keys exist, and the sums of their buckets. */
export class LiveTotals {
  /** Modulo 2^32. */
  readonly sums: Uint32Array;

  constructor(
    public keys = 0,
    sums?: Uint32Array,
  ) {
    this.sums = sums ?? new Uint32Array(LIVE_BUCKETS);
  }

  /** @param sum May be negative, for what goes away. */
  add(keys: number, bucket: number, sum: number): void {
    this.keys += keys;
    this.sums[bucket] = (this.sums[bucket] ?? 0) + sum;
  }

  /** Adds a key that exists; nothing for a tombstone. */
  addKey(key: Uint8Array, state: KeyState): void {
    if (state.deleted) return;
    const hash = hashOfKey(key);
    this.add(1, bucketOf(hash), hashOfState(hash, state));
  }

  /** A new one, of both together. */
  plus(other: LiveTotals): LiveTotals {
    const both = new LiveTotals(this.keys + other.keys, this.sums.slice());
    for (let bucket = 0; bucket < LIVE_BUCKETS; bucket += 1) both.add(0, bucket, other.sums[bucket] ?? 0);
    return both;
  }

  /** The buckets whose sums differ. */
  differing(other: LiveTotals): readonly number[] {
    return differingBuckets(this.sums, other.sums);
  }
}

function differingBuckets(some: ArrayLike<number>, others: ArrayLike<number>): readonly number[] {
  const buckets: number[] = [];
  for (let bucket = 0; bucket < LIVE_BUCKETS; bucket += 1)
    if (some[bucket] !== others[bucket]) buckets.push(bucket);
  return buckets;
}

/** What two accounts of the live records differ in, a sentence; undefined where they agree. */
export function differenceOf(read: LiveTotals, kept: LiveTotals): string | undefined {
  const buckets = read.differing(kept);
  if (buckets.length === 0 && read.keys === kept.keys) return undefined;
  const keys =
    read.keys === kept.keys
      ? ''
      : ` There are ${read.keys} keys, and the state says that there are ${kept.keys}.`;
  return `The records of the keys do not match the sums that the state keeps of them, in ${bucketsInWords(buckets)}.${keys}`;
}

/** Where the live records of two members differ, at the newest entry after which both know the sums: a sentence, or '' where there is none. */
export function comparedInWords(own: readonly IndexedSums[], theirs: readonly IndexedSums[]): string {
  for (const { index, sums } of own) {
    const other = theirs.find((one) => one.index === index);
    if (other === undefined) continue;
    const buckets = differingBuckets(sums, other.sums);
    return buckets.length === 0
      ? `After entry ${index} the live records have the same sums.`
      : `After entry ${index} the live records differ in ${bucketsInWords(buckets)}.`;
  }
  return '';
}

const BUCKETS_NAMED_MAX = 8;

export function bucketsInWords(buckets: readonly number[]): string {
  if (buckets.length === 0) return 'no bucket';
  const named = buckets.slice(0, BUCKETS_NAMED_MAX).join(', ');
  const rest = buckets.length - BUCKETS_NAMED_MAX;
  const which = rest > 0 ? `${named} and ${rest} others` : named;
  return `bucket${buckets.length === 1 ? '' : 's'} ${which} of ${LIVE_BUCKETS}`;
}

/** 32 bits, by FNV-1a and the finish of MurmurHash3. */
export function hashOfKey(key: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at += 1) hash = Math.imul(hash ^ (key[at] ?? 0), 0x01000193);
  return finished(hash ^ key.length);
}

export function bucketOf(keyHash: number): number {
  return keyHash >>> 24;
}

/** What a key that exists adds to the sum of its bucket, 32 bits with a sign. */
export function hashOfState(keyHash: number, state: KeyState): number {
  let hash = mixed(keyHash, state.createRevision);
  hash = mixed(hash, state.modRevision);
  hash = mixed(hash, state.version);
  hash = mixed(hash, state.lease);
  const { contentType } = state;
  for (let at = 0; at < contentType.length; at += 1)
    hash = Math.imul(hash ^ contentType.charCodeAt(at), 0x01000193);
  return finished(hash);
}

/** One number of at most 53 bits, as MurmurHash3 takes in words. */
function mixed(hash: number, value: number): number {
  const low = mixedWord(hash, value | 0);
  return value < TWO_TO_32 ? low : mixedWord(low, (value / TWO_TO_32) | 0);
}

function mixedWord(hash: number, word: number): number {
  let scrambled = Math.imul(word, 0xcc9e2d51);
  scrambled = Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593);
  const both = hash ^ scrambled;
  return (Math.imul((both << 13) | (both >>> 19), 5) + 0xe6546b64) | 0;
}

function finished(hash: number): number {
  let rest = hash ^ (hash >>> 16);
  rest = Math.imul(rest, 0x85ebca6b);
  rest = Math.imul(rest ^ (rest >>> 13), 0xc2b2ae35);
  return rest ^ (rest >>> 16);
}
