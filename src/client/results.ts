import type { Item } from './item.js';

export interface PutResult {
  /** The revision that the change took. */
  readonly revision: number;
  /** Whether there was no such key before. */
  readonly created: boolean;
  /** The key as text; where it is not UTF-8, `keyBase64` stands in its place. */
  readonly key?: string;
  readonly keyBase64?: string;
  /** The lease of its own that `ttlSeconds` made. */
  readonly lease?: string;
}

export interface AddResult {
  /** What the key holds now. */
  readonly value: number;
  /** The revision that the change took. */
  readonly revision: number;
  /** Whether there was no such key before. */
  readonly created: boolean;
  /** The key as text; where it is not UTF-8, `keyBase64` stands in its place. */
  readonly key?: string;
  readonly keyBase64?: string;
}

export interface CompactResult {
  /** The store's revision. */
  readonly revision: number;
  /** The oldest revision that can be read. */
  readonly compactedRevision: number;
}

export interface DeleteResult {
  /** The store's revision afterwards. */
  readonly revision: number;
  /** How many keys are gone. */
  readonly deleted: number;
  /** In how many changes, where a prefix was deleted in several; they have different revisions. */
  readonly parts?: number;
}

export interface Page {
  /** The revision that all pages of one listing show. */
  readonly revision: number;
  readonly items: readonly Item[];
  /** For the next page; undefined on the last one. */
  readonly nextCursor: string | undefined;
}

export interface GrantedLease {
  readonly lease: string;
  readonly ttlSeconds: number;
  readonly revision: number;
}

/** A lease as a list of all shows it. */
export interface LeaseSummary {
  readonly lease: string;
  readonly ttlSeconds: number;
  readonly remainingSeconds: number;
}

export interface LeaseState extends LeaseSummary {
  /** The first 1,000 keys that go with it. A key that is not UTF-8 stands under `keyBase64`. */
  readonly keys: readonly { readonly key?: string; readonly keyBase64?: string }[];
}

export interface LeaseList {
  /** In order of their ids, at most 1,000. */
  readonly leases: readonly LeaseSummary[];
  /** Whether there are more than are listed. */
  readonly more: boolean;
}

export interface RevokedLease {
  readonly lease: string;
  /** How many keys went with it. */
  readonly deleted: number;
  readonly revision: number;
}

export interface AcquiredLock {
  readonly name: string;
  /** A fencing token, greater for every later holder: hand it to what the lock protects, which refuses smaller ones. */
  readonly token: number;
  /** The lease that the lock goes with. */
  readonly lease: string;
}

export interface LockState {
  readonly name: string;
  readonly held: boolean;
  /** Of the holder, where there is one. */
  readonly token?: number;
  readonly lease?: string;
  readonly value?: string;
  /** How many wait for it. */
  readonly waiting: number;
}

export interface ReleasedLock {
  readonly name: string;
  readonly released: boolean;
}

export interface ElectedLeader {
  /** Greater for every later leader. */
  readonly token: number;
  /** What the leader said of itself when it campaigned. */
  readonly value: string;
}
