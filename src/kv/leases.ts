import { crc32 } from 'node:zlib';
import { present } from '../assert.js';
import type { OrderedStore } from '../storage/ordered-store.js';
import { stateDamaged } from './damage.js';
import { ExpiryHeap } from './expiry-heap.js';
import type { MutableMeta } from './meta-codec.js';
import { checksumOf, decodeLease, encodeLease, type Lease, leaseRange } from './record-codec.js';
import { LEASES_MAX, type LeaseId, type LogTime } from './types.js';
import type { BufferedChange } from './write-buffer.js';

/** Leases read in one step when a state is opened, between which the event loop gets a turn. */
const LEASES_PER_STEP = 1000;

/** A lease in memory. */
interface Held extends Lease {
  ttlMs: number;
  expiresAtMs: LogTime;
  generation: number;
  own: boolean;
  ending: boolean;
  place: number;
  /** Of its record. */
  checksum: number;
}

/**
 * All leases, in memory, and each in a record of the state's store. Keys know their lease, and the store knows the keys of
 * each lease; this table knows only when it runs out.
 *
 * Invariants:
 * - `meta.leasesChecksum` is the sum of the checksums of all records, so that one that is lost is missed at open (row 29);
 * - every change of a lease goes into the state's digest;
 * - a lease of a key's own has exactly one key;
 * - a lease that is ending has lost keys, so nothing can renew it or be attached to it.
 */
export class Leases {
  readonly #meta: MutableMeta;
  readonly #write: (lease: LeaseId, record: Uint8Array | undefined) => void;
  /** In the order of ids: they are added in that order. */
  readonly #held = new Map<LeaseId, Held>();
  readonly #byExpiry = new ExpiryHeap<Held>();

  /**
   * @param meta Of the state; the digest, the checksum and the last id are brought forward in place.
   * @param write Takes what a lease's record is from then on; undefined for none.
   */
  constructor(meta: MutableMeta, write: (lease: LeaseId, record: Uint8Array | undefined) => void) {
    this.#meta = meta;
    this.#write = write;
  }

  /** Reads the leases of a state that is being opened. Throws `storage_damaged`. */
  async load(store: Pick<OrderedStore, 'scan'>): Promise<void> {
    const scan = store.scan(leaseRange);
    let checksums = 0;
    try {
      for (;;) {
        const pairs = await scan.next(LEASES_PER_STEP);
        if (pairs.length === 0) break;
        for (const { value } of pairs) {
          const held = { ...decodeLease(value), place: 0, checksum: checksumOf(value) };
          this.#held.set(held.lease, held);
          this.#byExpiry.add(held);
          checksums = (checksums + held.checksum) >>> 0;
        }
      }
    } finally {
      await scan.close();
    }
    if (checksums !== this.#meta.leasesChecksum) throw stateDamaged('Some leases are missing.');
  }

  get count(): number {
    return this.#held.size;
  }

  /** The id of the next lease that is granted. */
  get nextId(): LeaseId {
    return this.#meta.lastLease + 1;
  }

  /** When the first lease runs out; undefined when there is none. */
  get nextDueMs(): LogTime | undefined {
    return this.#byExpiry.first?.expiresAtMs;
  }

  get(lease: LeaseId): Lease | undefined {
    return this.#held.get(lease);
  }

  /** The lease, unless it is ending. */
  usable(lease: LeaseId): Lease | undefined {
    const held = this.#held.get(lease);
    return held?.ending === false ? held : undefined;
  }

  /** Whether no more can be granted, one excepted that would take the place of `replaced`. */
  isFull(replaced: LeaseId): boolean {
    const freed = this.#held.get(replaced)?.own === true ? 1 : 0;
    return this.#held.size - freed >= LEASES_MAX;
  }

  /** Up to `limit` leases after an id, in the order of ids; not those that are ending. */
  list(after: LeaseId, limit: number): readonly Lease[] {
    const listed: Lease[] = [];
    for (const held of this.#held.values()) {
      if (listed.length === limit) break;
      if (held.lease > after && !held.ending) listed.push(held);
    }
    return listed;
  }

  /** Up to `limit` of the leases that have run out at this time, the first of them first. */
  due(nowMs: LogTime, limit: number): readonly Lease[] {
    return this.#byExpiry.through(nowMs, limit);
  }

  /** Grants a lease with {@link nextId}, for a key of its own or for any. */
  grant(ttlMs: number, own: boolean): LeaseId {
    const lease = this.nextId;
    this.#meta.lastLease = lease;
    const expiresAtMs = this.#meta.logTimeMs + ttlMs;
    const held = { lease, ttlMs, expiresAtMs, generation: 1, own, ending: false, place: 0, checksum: 0 };
    this.#held.set(lease, held);
    this.#byExpiry.add(held);
    this.#store(held);
    return lease;
  }

  /** Begins a lease anew, which is usable. Returns its time to live. */
  keepAlive(lease: LeaseId, ttlMs: number | undefined): number {
    const held = this.#existing(lease);
    held.ttlMs = ttlMs ?? held.ttlMs;
    held.expiresAtMs = this.#meta.logTimeMs + held.ttlMs;
    held.generation += 1;
    this.#byExpiry.moved(held);
    this.#store(held);
    return held.ttlMs;
  }

  /**
   * Keys have changed, and with them what is attached to what. A lease of a key's own that a put names is from then on one
   * like any other; those that are still a key's own go when their key is attached to something else or deleted.
   */
  follow(changes: readonly BufferedChange[]): void {
    for (const { current } of changes) {
      const held = current.lease === 0 ? undefined : this.#held.get(current.lease);
      if (held?.own !== true) continue;
      held.own = false;
      this.#store(held);
    }
    for (const { leaseBefore } of changes) {
      if (leaseBefore !== 0 && this.#held.get(leaseBefore)?.own === true) this.remove(leaseBefore);
    }
  }

  /** Not all keys of the lease could be deleted at once: the rest is due so much later, unless whoever began goes on before. */
  beginEnd(lease: LeaseId, dueInMs: number): void {
    const held = this.#existing(lease);
    held.ending = true;
    held.expiresAtMs = this.#meta.logTimeMs + dueInMs;
    this.#byExpiry.moved(held);
    this.#store(held);
  }

  remove(lease: LeaseId): void {
    const held = this.#existing(lease);
    this.#held.delete(lease);
    this.#byExpiry.remove(held);
    this.#count(-held.checksum);
    this.#meta.digest = crc32(encodeLease({ ...held, generation: 0 }), this.#meta.digest);
    this.#write(lease, undefined);
  }

  #store(held: Held): void {
    const record = encodeLease(held);
    const checksum = checksumOf(record);
    this.#count(checksum - held.checksum);
    held.checksum = checksum;
    this.#meta.digest = crc32(record, this.#meta.digest);
    this.#write(held.lease, record);
  }

  #count(difference: number): void {
    this.#meta.leasesChecksum = (this.#meta.leasesChecksum + difference) >>> 0;
  }

  #existing(lease: LeaseId): Held {
    return present(this.#held.get(lease), () => `There is no lease ${lease}.`);
  }
}
