import type { Operation } from '../storage/ordered-store.js';
import { AnswerBatch } from './answer-records.js';
import { changeRecords, decodeChange } from './change-index.js';
import { LiveTotals } from './live-sums.js';
import {
  attachmentKey,
  type Current,
  currentKey,
  encodeCurrent,
  encodeVersion,
  leaseKey,
  tombstoneKey,
  type Version,
  versionKey,
} from './record-codec.js';
import { type KeyId, SortedMap } from './sorted-map.js';
import type { LeaseId, Revision } from './types.js';

/** What one change costs in memory besides its bytes, roughly: objects, and entries of maps. */
const CHANGE_OVERHEAD_BYTES = 400;
/** What a record costs in memory that says little: objects, and entries of maps. */
const RECORD_OVERHEAD_BYTES = 200;

const NO_VALUE = new Uint8Array(0);

export function keyId(key: Uint8Array): KeyId {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

export interface BufferedKey {
  readonly key: Uint8Array;
  current: Current;
  /** What the key went through since the buffer was begun, oldest first. */
  readonly versions: Version[];
  readonly bucket: number;
  /** What its changes add to the sum of its bucket together, of 32 bits with a sign. */
  sumAdded: number;
  /** The same of {@link BufferedChange.keysAdded}. */
  keysAdded: number;
}

/** Whether a key is attached to a lease. */
export interface BufferedAttachment {
  /** The key of its record. */
  readonly record: Uint8Array;
  readonly attached: boolean;
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
  /** The lease that the key was attached to before; 0 for none. */
  readonly leaseBefore: LeaseId;
  /** Bytes of the version that the key had before, as far as that is known. */
  readonly supersededBytes: number;
  /** 1 for a key that did not exist before, -1 for one that is deleted, 0 for one that exists before and after. */
  readonly keysAdded: -1 | 0 | 1;
  /** Of the key, see live-sums.ts. */
  readonly bucket: number;
  /** What the change adds to the sum of the bucket, of 32 bits with a sign. */
  readonly sumAdded: number;
}

/** Changes that are applied and not on disk. */
export class WriteBuffer {
  readonly keys = new SortedMap<BufferedKey>();
  /** By the key of their records. */
  readonly attachments = new SortedMap<BufferedAttachment>();
  /** What each lease's record is; undefined for a lease that is gone. */
  readonly #leases = new Map<LeaseId, Uint8Array | undefined>();
  /** What was answered under idempotency keys. */
  readonly answers: AnswerBatch;
  /** Entries of the change index, in the order of the changes. */
  readonly changes: Uint8Array[] = [];
  #bytes = 0;
  #deletes = false;
  /** What the changes add to the keys that exist, and to the sums of their records. */
  readonly added = new LiveTotals();

  /** @param answersDigest Of all answers before those of this buffer. */
  constructor(answersDigest: number) {
    this.answers = new AnswerBatch(answersDigest);
  }

  /** Bytes of memory, roughly. */
  get bytes(): number {
    return this.#bytes + this.answers.bytes;
  }

  get changeCount(): number {
    return this.changes.length;
  }

  /** Of the first change; Infinity where there is none. */
  get firstRevision(): Revision {
    const [first] = this.changes;
    return first === undefined ? Number.POSITIVE_INFINITY : decodeChange(first).revision;
  }

  /** Whether any key was deleted. */
  get deletes(): boolean {
    return this.#deletes;
  }

  /** Adds a version of a key. */
  add(change: BufferedChange): void {
    const { id, key, current, version, record, leaseBefore, keysAdded, bucket, sumAdded } = change;
    if (version.deleted) this.#deletes = true;
    this.added.add(keysAdded, bucket, sumAdded);
    const known = this.keys.get(id);
    if (known === undefined) {
      this.keys.set(id, { key, current, versions: [version], bucket, sumAdded, keysAdded });
    } else {
      known.current = current;
      known.versions.push(version);
      known.sumAdded = (known.sumAdded + sumAdded) | 0;
      known.keysAdded += keysAdded;
    }
    this.changes.push(record);
    this.#bytes += version.value.length + 3 * key.length + CHANGE_OVERHEAD_BYTES;
    if (leaseBefore === current.lease) return;
    if (leaseBefore !== 0) this.#attach(leaseBefore, key, false);
    if (current.lease !== 0) this.#attach(current.lease, key, true);
  }

  /** Takes note of a lease's record; undefined when the lease is gone. */
  setLease(lease: LeaseId, record: Uint8Array | undefined): void {
    this.#leases.set(lease, record);
    this.#bytes += RECORD_OVERHEAD_BYTES;
  }

  #attach(lease: LeaseId, key: Uint8Array, attached: boolean): void {
    const record = attachmentKey(lease, key);
    this.attachments.set(keyId(record), { record, attached });
    this.#bytes += 2 * record.length + RECORD_OVERHEAD_BYTES;
  }

  /**
   * What brings the store to where this buffer is: each key's last record, each version, what is attached, the leases, the
   * answers, and the change index. Made one by
   * one, because all together would hold the event loop; the buffer must not change meanwhile.
   *
   * @param tombstonesApart Whether tombstones stand apart from the keys that exist: from cluster version 2 on.
   * @param journalBytes Bytes at which a record of the change index is closed.
   */
  *operations(tombstonesApart: boolean, journalBytes: number): Generator<Operation> {
    for (const { key, current, versions } of this.keys.values()) {
      const isApart = tombstonesApart && current.deleted;
      yield {
        kind: 'put',
        key: isApart ? tombstoneKey(key) : currentKey(key),
        value: encodeCurrent(current),
      };
      let wasDeleted = false;
      for (const version of versions) {
        wasDeleted ||= followsTombstone(version);
        yield { kind: 'put', key: versionKey(key, version.modRevision), value: encodeVersion(version) };
      }
      // Nothing is left in the other of the two places in which a key may stand.
      if (isApart) yield { kind: 'delete', key: currentKey(key) };
      else if (tombstonesApart && wasDeleted) yield { kind: 'delete', key: tombstoneKey(key) };
    }
    for (const { record, attached } of this.attachments.values()) {
      yield attached ? { kind: 'put', key: record, value: NO_VALUE } : { kind: 'delete', key: record };
    }
    for (const [lease, value] of this.#leases) {
      const key = leaseKey(lease);
      yield value === undefined ? { kind: 'delete', key } : { kind: 'put', key, value };
    }
    yield* this.answers.operations();
    yield* changeRecords(this.changes, journalBytes);
  }
}

/** Whether a version created its key anew: the first one of a key that had others. */
export function followsTombstone({ version, previous }: Version): boolean {
  return version === 1 && previous > 0;
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
