import { crc32 } from 'node:zlib';
import { assert } from '../assert.js';
import { stateDamaged } from './damage.js';
import type { LeaseId, LogTime, Revision } from './types.js';

/**
 * The records of the state's store. All integers are big-endian; revisions, ids of leases and times have 48 bits.
 *
 * | key | value |
 * | --- | --- |
 * | `c` key | {@link Current}: what the key is now; before cluster version 2 also the tombstone of a deleted key |
 * | `t` key | {@link Current} of a deleted key, apart from those that exist so that listing these does not pass over it |
 * | `v` escaped key, revision | {@link Version}: what the key was from that revision on, with the value; written once |
 * | `l` lease | {@link Lease} |
 * | `k` lease, key | empty: the key is attached to the lease |
 * | `x` last revision, part | changes in the order of their making, see change-index.ts |
 * | `a` last number, part | what was answered under idempotency keys lately, in that order, see answer-codec.ts |
 * | `i` idempotency key | what was answered under it longer ago |
 * | `j` last number, part | which keys those are, in the order of the answers |
 * | `m` | `Meta` of meta-codec.ts: how far the log is applied; rewritten with every flush |
 *
 * Values of all but `k` and `m` begin with a CRC-32 of the rest, because LevelDB is not asked to check its own.
 */
export const CRC_BYTES = 4;
export const REVISION_BYTES = 6;
/** More than a store can reach: a million changes a second for eight years. */
export const REVISION_MAX = 2 ** (8 * REVISION_BYTES) - 1;

export const TAG_CURRENT = 0x63;
export const TAG_TOMBSTONE = 0x74;
export const TAG_VERSION = 0x76;
export const TAG_LEASE = 0x6c;
export const TAG_ATTACHMENT = 0x6b;
export const TAG_META = 0x6d;
/** Of an answer that is filed. */
export const TAG_ANSWER = 0x69;
/** What begins the records of a journal, see journal.ts. */
export type JournalTag = typeof TAG_CHANGES | typeof TAG_ANSWERS | typeof TAG_FILED_ANSWERS;
export const TAG_CHANGES = 0x78;
export const TAG_ANSWERS = 0x61;
export const TAG_FILED_ANSWERS = 0x6a;

const TAGS = new Set([
  TAG_CURRENT,
  TAG_TOMBSTONE,
  TAG_VERSION,
  TAG_LEASE,
  TAG_ATTACHMENT,
  TAG_META,
  TAG_ANSWER,
  TAG_CHANGES,
  TAG_ANSWERS,
  TAG_FILED_ANSWERS,
]);
const LEASE_KEY_BYTES = 1 + REVISION_BYTES;

/** Whether a key that begins with these bytes, or is these, can be one of a state's store. */
export function isStateKey(beginning: Uint8Array): boolean {
  const tag = beginning[0] ?? 0;
  if (tag === TAG_META) return beginning.length === 1;
  if (tag === TAG_LEASE) return beginning.length === LEASE_KEY_BYTES;
  return TAGS.has(tag);
}

/** What the first byte of a current record and of a version says. */
const FLAG_DELETED = 1;
const FLAG_LEASE = 2;
/** Of a current record alone, from cluster version 2 on: its size is in it. */
const FLAG_SIZE = 4;
const SIZE_BYTES = 4;

/** What is known of a key without its value. */
export interface KeyState {
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** 0 for a deleted key. */
  readonly version: number;
  /** A tombstone: it stays until history compaction has passed it, so that the past can be read. */
  readonly deleted: boolean;
  readonly contentType: string;
  /** 0 for none. */
  readonly lease: LeaseId;
}

export interface Current extends KeyState {
  /** Which version of the key this is, tombstones included; the first is 1. */
  readonly generation: number;
  /** The revisions of the versions that later ones may jump to, see {@link successor}; ends with `modRevision`. */
  readonly ancestors: readonly Revision[];
  /** Bytes that the version takes, about, for the bound of history; 0 for a tombstone, and for one of before cluster version 2. */
  readonly bytes: number;
}

export interface Version extends KeyState {
  /** The revision of the version before this one; 0 if there is none, or none that is known any more. */
  readonly previous: Revision;
  /** The revision of a version further back, at most `previous`; 0 for none. */
  readonly jump: Revision;
  readonly value: Uint8Array;
}

/**
 * Versions of a key form a chain, along which any of n revisions is found in at most about log²(n)/2 steps, so that a
 * read of the past stays synchronous even for a key that was changed a hundred thousand times. Version n points to
 * version n - 1 and jumps to n without its lowest set bit. Later versions can only jump to what is left of n when low
 * bits are taken away, so the current record keeps one revision for each set bit of n: one or two for most keys.
 */
export function successor(
  current: Current | undefined,
  revision: Revision,
): { readonly generation: number; readonly ancestors: readonly Revision[]; readonly jump: Revision } {
  if (current === undefined) return { generation: 1, ancestors: [revision], jump: 0 };
  let kept = current.ancestors.length;
  // Adding one clears the low bits that are set, and sets the one above them.
  for (let rest = current.generation; rest % 2 === 1; rest = (rest - 1) / 2) kept -= 1;
  const ancestors = current.ancestors.slice(0, kept);
  const jump = ancestors[kept - 1] ?? 0;
  ancestors.push(revision);
  return { generation: current.generation + 1, ancestors, jump };
}

export function currentKey(key: Uint8Array): Uint8Array {
  return taggedKey(TAG_CURRENT, key);
}

/** Where a tombstone stands, apart from the keys that exist. */
export function tombstoneKey(key: Uint8Array): Uint8Array {
  return taggedKey(TAG_TOMBSTONE, key);
}

function taggedKey(tag: number, key: Uint8Array): Uint8Array {
  const record = Buffer.allocUnsafe(1 + key.length);
  record[0] = tag;
  record.set(key, 1);
  return record;
}

/** The range of the current records of all keys with this prefix, or of those of them after a key. */
export function currentRange(prefix: Uint8Array, after: Uint8Array | undefined) {
  return rangeOf(TAG_CURRENT, prefix, after);
}

/** The same of the tombstones that stand apart. */
export function tombstoneRange(prefix: Uint8Array, after: Uint8Array | undefined) {
  return rangeOf(TAG_TOMBSTONE, prefix, after);
}

function rangeOf(tag: number, prefix: Uint8Array, after: Uint8Array | undefined) {
  const start = taggedKey(tag, prefix);
  // The smallest key after another one is that key and a zero byte.
  const next = after === undefined ? start : Buffer.concat([taggedKey(tag, after), Buffer.of(0)]);
  return { gte: Buffer.compare(next, start) > 0 ? next : start, lt: endOfPrefix(start) };
}

/** The key of which this is the current record, or the tombstone. */
export function keyOfCurrent(record: Uint8Array): Uint8Array {
  return record.subarray(1);
}

/**
 * The key of a version. A zero byte of the key is written as 00 FF and the end of the key as 00 01, so that the
 * versions of a key stand together in the order of their revisions and no key's records lie among another's.
 */
export function versionKey(key: Uint8Array, revision: Revision): Uint8Array {
  let zeros = 0;
  for (let at = key.indexOf(0); at !== -1; at = key.indexOf(0, at + 1)) zeros += 1;
  const record = Buffer.allocUnsafe(1 + key.length + zeros + 2 + 8);
  record[0] = TAG_VERSION;
  if (zeros === 0) {
    record.set(key, 1);
  } else {
    let offset = 1;
    for (const byte of key) {
      record[offset++] = byte;
      if (byte === 0) record[offset++] = 0xff;
    }
  }
  const end = record.length - 10;
  record[end] = 0;
  record[end + 1] = 1;
  record.writeUInt16BE(0, end + 2);
  record.writeUIntBE(revision, end + 4, REVISION_BYTES);
  return record;
}

/** The range of the versions of all keys, or of those after one of them. */
export function versionRange(after: Uint8Array | undefined) {
  const gte =
    after === undefined
      ? Buffer.of(TAG_VERSION)
      : Buffer.concat([versionKey(after, REVISION_MAX), Buffer.of(0)]);
  return { gte, lt: Buffer.of(TAG_VERSION + 1) };
}

/** The key and the revision of a version; what {@link versionKey} made. */
export function keyOfVersion(record: Uint8Array): { readonly key: Buffer; readonly revision: Revision } {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  const end = bytes.length - 10;
  if (end < 1) throw stateDamaged('A version has a malformed key.');
  const key = Buffer.from(bytes.subarray(1, end));
  let length = 0;
  for (let at = 0; at < key.length; at += 1) {
    const byte = key[at] ?? 0;
    key[length++] = byte;
    // A zero byte is written as 00 FF.
    if (byte === 0) at += 1;
  }
  return { key: key.subarray(0, length), revision: bytes.readUIntBE(end + 4, REVISION_BYTES) };
}

export function encodeCurrent(current: Current): Uint8Array {
  const { contentType, lease, ancestors, bytes } = current;
  const head = CRC_BYTES + 1 + 4 * REVISION_BYTES + 1;
  const record = Buffer.allocUnsafe(
    head +
      (bytes === 0 ? 0 : SIZE_BYTES) +
      (ancestors.length + (lease === 0 ? 0 : 1)) * REVISION_BYTES +
      (contentType === '' ? 0 : Buffer.byteLength(contentType)),
  );
  record[CRC_BYTES] = flagsOf(current) | (bytes === 0 ? 0 : FLAG_SIZE);
  record.writeUIntBE(current.createRevision, CRC_BYTES + 1, REVISION_BYTES);
  record.writeUIntBE(current.modRevision, CRC_BYTES + 7, REVISION_BYTES);
  record.writeUIntBE(current.version, CRC_BYTES + 13, REVISION_BYTES);
  record.writeUIntBE(current.generation, CRC_BYTES + 19, REVISION_BYTES);
  record[head - 1] = ancestors.length;
  let offset = head;
  for (const revision of ancestors) offset = record.writeUIntBE(revision, offset, REVISION_BYTES);
  if (lease !== 0) offset = record.writeUIntBE(lease, offset, REVISION_BYTES);
  if (bytes !== 0) offset = record.writeUInt32BE(bytes, offset);
  if (contentType !== '') record.write(contentType, offset);
  return seal(record);
}

export function decodeCurrent(bytes: Uint8Array): Current {
  const record = unseal(bytes, 'The record of a key');
  const head = CRC_BYTES + 1 + 4 * REVISION_BYTES + 1;
  const flags = record[CRC_BYTES] ?? 0;
  const ancestors: Revision[] = [];
  let offset = head;
  for (let count = record[head - 1] ?? 0; count > 0; count -= 1) {
    ancestors.push(record.readUIntBE(offset, REVISION_BYTES));
    offset += REVISION_BYTES;
  }
  const lease = (flags & FLAG_LEASE) === 0 ? 0 : record.readUIntBE(offset, REVISION_BYTES);
  if (lease !== 0) offset += REVISION_BYTES;
  const size = (flags & FLAG_SIZE) === 0 ? 0 : record.readUInt32BE(offset);
  if (size !== 0) offset += SIZE_BYTES;
  return {
    bytes: size,
    deleted: (flags & FLAG_DELETED) !== 0,
    createRevision: record.readUIntBE(CRC_BYTES + 1, REVISION_BYTES),
    modRevision: record.readUIntBE(CRC_BYTES + 7, REVISION_BYTES),
    version: record.readUIntBE(CRC_BYTES + 13, REVISION_BYTES),
    generation: record.readUIntBE(CRC_BYTES + 19, REVISION_BYTES),
    ancestors,
    contentType: offset === record.length ? '' : record.toString('utf8', offset),
    lease,
  };
}

export function encodeVersion(version: Version): Uint8Array {
  const { contentType, value, lease } = version;
  const contentTypeBytes = contentType === '' ? 0 : Buffer.byteLength(contentType);
  const head = CRC_BYTES + 1 + 4 * REVISION_BYTES + 2;
  const contentTypeAt = lease === 0 ? head : head + REVISION_BYTES;
  const record = Buffer.allocUnsafe(contentTypeAt + contentTypeBytes + value.length);
  record[CRC_BYTES] = flagsOf(version);
  record.writeUIntBE(version.createRevision, CRC_BYTES + 1, REVISION_BYTES);
  record.writeUIntBE(version.version, CRC_BYTES + 7, REVISION_BYTES);
  record.writeUIntBE(version.previous, CRC_BYTES + 13, REVISION_BYTES);
  record.writeUIntBE(version.jump, CRC_BYTES + 19, REVISION_BYTES);
  record.writeUInt16BE(contentTypeBytes, head - 2);
  if (lease !== 0) record.writeUIntBE(lease, head, REVISION_BYTES);
  if (contentTypeBytes > 0) record.write(contentType, contentTypeAt);
  record.set(value, contentTypeAt + contentTypeBytes);
  return seal(record);
}

export function decodeVersion(bytes: Uint8Array, modRevision: Revision): Version {
  const record = unseal(bytes, `A version of revision ${modRevision}`);
  const head = CRC_BYTES + 1 + 4 * REVISION_BYTES + 2;
  const flags = record[CRC_BYTES] ?? 0;
  const lease = (flags & FLAG_LEASE) === 0 ? 0 : record.readUIntBE(head, REVISION_BYTES);
  const contentTypeAt = lease === 0 ? head : head + REVISION_BYTES;
  const valueAt = contentTypeAt + record.readUInt16BE(head - 2);
  return {
    deleted: (flags & FLAG_DELETED) !== 0,
    createRevision: record.readUIntBE(CRC_BYTES + 1, REVISION_BYTES),
    modRevision,
    version: record.readUIntBE(CRC_BYTES + 7, REVISION_BYTES),
    previous: record.readUIntBE(CRC_BYTES + 13, REVISION_BYTES),
    jump: record.readUIntBE(CRC_BYTES + 19, REVISION_BYTES),
    contentType: valueAt === contentTypeAt ? '' : record.toString('utf8', contentTypeAt, valueAt),
    lease,
    value: record.subarray(valueAt),
  };
}

function flagsOf({ deleted, lease }: KeyState): number {
  return (deleted ? FLAG_DELETED : 0) | (lease === 0 ? 0 : FLAG_LEASE);
}

/** A lease as it is on disk. */
export interface Lease {
  readonly lease: LeaseId;
  readonly ttlMs: number;
  /** In log time; 0 when it is ending. */
  readonly expiresAtMs: LogTime;
  /** Raised by each keepalive; 1 at first. */
  readonly generation: number;
  /** Granted with a key, and gone with it. */
  readonly own: boolean;
  /** Some of its keys are deleted already. */
  readonly ending: boolean;
}

const LEASE_OWN = 1;
const LEASE_ENDING = 2;

/** The range of the records of all leases. */
export const leaseRange = { gte: Buffer.of(TAG_LEASE), lt: Buffer.of(TAG_LEASE + 1) };

export function leaseKey(lease: LeaseId): Uint8Array {
  const record = Buffer.allocUnsafe(1 + REVISION_BYTES);
  record[0] = TAG_LEASE;
  record.writeUIntBE(lease, 1, REVISION_BYTES);
  return record;
}

/** The id is in it, so that the checksum covers that, too. */
export function encodeLease({ lease, ttlMs, expiresAtMs, generation, own, ending }: Lease): Uint8Array {
  const record = Buffer.allocUnsafe(CRC_BYTES + 1 + 4 * REVISION_BYTES);
  record[CRC_BYTES] = (own ? LEASE_OWN : 0) | (ending ? LEASE_ENDING : 0);
  let offset = CRC_BYTES + 1;
  for (const value of [lease, ttlMs, expiresAtMs, generation]) {
    offset = record.writeUIntBE(value, offset, REVISION_BYTES);
  }
  return seal(record);
}

export function decodeLease(bytes: Uint8Array): Lease {
  const record = unseal(bytes, 'The record of a lease');
  const flags = record[CRC_BYTES] ?? 0;
  const integer = (position: number) =>
    record.readUIntBE(CRC_BYTES + 1 + position * REVISION_BYTES, REVISION_BYTES);
  return {
    lease: integer(0),
    ttlMs: integer(1),
    expiresAtMs: integer(2),
    generation: integer(3),
    own: (flags & LEASE_OWN) !== 0,
    ending: (flags & LEASE_ENDING) !== 0,
  };
}

export function attachmentKey(lease: LeaseId, key: Uint8Array): Uint8Array {
  const record = Buffer.allocUnsafe(1 + REVISION_BYTES + key.length);
  record[0] = TAG_ATTACHMENT;
  record.writeUIntBE(lease, 1, REVISION_BYTES);
  record.set(key, 1 + REVISION_BYTES);
  return record;
}

export function keyOfAttachment(record: Uint8Array): Uint8Array {
  return record.subarray(1 + REVISION_BYTES);
}

/** The range of the keys that are attached to a lease, after one of them if given. */
export function attachmentRange(lease: LeaseId, after?: Uint8Array) {
  const start = attachmentKey(lease, new Uint8Array(0));
  // The smallest key after another one is that key and a zero byte.
  const gte = after === undefined ? start : Buffer.concat([attachmentKey(lease, after), Buffer.of(0)]);
  return { gte, lt: endOfPrefix(start) };
}

/** The checksum of a sealed record. */
export function checksumOf(record: Uint8Array): number {
  return Buffer.from(record.buffer, record.byteOffset, CRC_BYTES).readUInt32BE(0);
}

/** A sealed record of these parts. */
export function sealParts(parts: readonly Uint8Array[]): Uint8Array {
  return seal(Buffer.concat([Buffer.alloc(CRC_BYTES), ...parts]));
}

/** Reads what {@link sealParts} wrote, as one. */
export function unsealParts(bytes: Uint8Array, what: string): Buffer {
  return unseal(bytes, what).subarray(CRC_BYTES);
}

export function journalKey(tag: JournalTag, lastNumber: number, part: number): Uint8Array {
  const record = Buffer.alloc(1 + 8 + 4);
  record[0] = tag;
  record.writeUIntBE(lastNumber, 3, REVISION_BYTES);
  record.writeUInt32BE(part, 9);
  return record;
}

export function lastNumberOfJournalKey(key: Uint8Array): number {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).readUIntBE(3, REVISION_BYTES);
}

/** The first key after all keys with this prefix, which does not consist of FF bytes only. */
function endOfPrefix(prefix: Uint8Array): Uint8Array {
  let length = prefix.length;
  while (prefix[length - 1] === 0xff) length -= 1;
  assert(length > 0, 'Every record begins with a tag.');
  const end = Buffer.from(prefix.subarray(0, length));
  end[length - 1] = (end[length - 1] ?? 0) + 1;
  return end;
}

/** Writes the checksum of all that follows it to where a record begins. */
export function seal(record: Buffer): Uint8Array {
  record.writeUInt32BE(crc32(record.subarray(CRC_BYTES)), 0);
  return record;
}

/** A record that was sealed, with its checksum. `what` names it where it is damaged. */
export function unseal(bytes: Uint8Array, what: string): Buffer {
  const record = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (record.length < CRC_BYTES || crc32(record.subarray(CRC_BYTES)) !== record.readUInt32BE(0)) {
    throw stateDamaged(`${what} does not match its checksum.`);
  }
  return record;
}
