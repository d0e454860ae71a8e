import { crc32 } from 'node:zlib';
import { assert } from '../assert.js';
import { RaftkvError, StorageDamaged } from '../errors.js';
import { decodeEntries } from '../raft/entry-codec.js';
import type { Configuration, Entry, HardState, Index, NodeId, Term } from '../raft/types.js';

/**
 * The records of the log's store. Every one is sealed:
 *
 * | bytes | field |
 * | --- | --- |
 * | 1 | format version |
 * | 4 | CRC-32 of the rest, started from the version, so that damage to the version is told from a newer one |
 * | n | the rest |
 *
 * LevelDB is not asked to check its own checksums and drops damaged parts of its write-ahead log in silence
 * (correctness row 29), so these seals and the links between records are what a start relies on.
 */
const FORMAT_VERSION = 1;
/** The format of records of entries that need it, and of no others, so that an older program can read the log. */
const FORMAT_OF_LONG_TERMS = 2;
const SEAL_BYTES = 5;
/**
 * A record of entries says the term of the entry before its first one: in format 1 six bytes after the seal, and where that is too
 * short, in format 2, a double.
 */
const SHORT_TERM_BYTES = 6;
const SHORT_TERM_MAX = 2 ** 48 - 1;
const LONG_TERM_BYTES = 8;

const LOG_PREFIX = Buffer.from('log/');
/** All records of entries, in the order of the log. */
export const logRange = { gte: LOG_PREFIX, lt: Buffer.from('log0') };
export const stateKey = Buffer.from('meta/state');
export const startKey = Buffer.from('meta/start');
export const identityKey = Buffer.from('meta/identity');
export const repairKey = Buffer.from('meta/repair');
export const countKey = Buffer.from('meta/count');

/** Whether a key that begins with these bytes, or is these, can be one of the log's store. */
export function isLogKey(beginning: Uint8Array): boolean {
  const text = Buffer.from(beginning.buffer, beginning.byteOffset, beginning.byteLength).toString('latin1');
  return text.startsWith('log/') || text.startsWith('meta/');
}

/** Who this node is. `cluster` is '' until the node knows which cluster it belongs to. */
export interface NodeIdentity {
  readonly cluster: string;
  readonly id: NodeId;
  /** The random id of this data directory, see `Member.incarnation`. */
  readonly incarnation: string;
}

/**
 * Written with every batch: the hard state, and where the log begins and ends after that batch. A batch that is
 * missing in the middle thus shows, because a later one tells of a log that is not there.
 */
export interface StateRecord extends HardState {
  /** The compacted point, 0 for none: the same as in {@link StartRecord}. */
  readonly startIndex: Index;
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  /** Whether an identity was written before or with this batch. */
  readonly identified: boolean;
  /**
   * The number of this write in the generation that {@link CountRecord} names. Missing in what a program before cluster version 2
   * wrote.
   */
  readonly writes?: number;
}

/**
 * Written with the first write that is counted after one that is not: in a new log, and after each time that a program before cluster
 * version 2 wrote to it. Those programs keep the record as it is.
 */
export interface CountRecord {
  /** 1 for the first. */
  readonly generation: number;
}

/** What stands for the entries that are gone: the compacted point, and the store that holds the state. */
export interface StartRecord {
  readonly index: Index;
  readonly term: Term;
  readonly configuration: Configuration;
  /** null until a state directory was named. */
  readonly stateDirectory: string | null;
}

/** The last time that a snapshot took the place of a damaged state. Programs before cluster version 2 pass over it. */
export interface RepairRecord {
  /** By the clock of the machine, in milliseconds since 1970. */
  readonly atMs: number;
  /** The commit index of the leader at that time: whatever this node showed to clients before the repair is not newer. */
  readonly servesFrom: Index;
}

/** The key of the record whose first entry has this index: big-endian, so that the order of keys is the log's. */
export function logKey(firstIndex: Index): Uint8Array {
  const key = Buffer.alloc(LOG_PREFIX.length + 8);
  LOG_PREFIX.copy(key);
  key.writeUIntBE(firstIndex, LOG_PREFIX.length + 2, 6);
  return key;
}

export function indexOfKey(key: Uint8Array): Index {
  if (key.length !== LOG_PREFIX.length + 8) throw logDamaged('A record of the log has a malformed key.');
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).readUIntBE(LOG_PREFIX.length + 2, 6);
}

/** A record of entries from the bytes that `encodeEntries` made, which may come in several parts. */
export function sealEntries(previousTerm: Term, parts: readonly Uint8Array[]): Uint8Array {
  const isShort = previousTerm <= SHORT_TERM_MAX;
  const headBytes = SEAL_BYTES + (isShort ? SHORT_TERM_BYTES : LONG_TERM_BYTES);
  const length = parts.reduce((sum, part) => sum + part.length, headBytes);
  const record = Buffer.allocUnsafe(length);
  if (isShort) record.writeUIntBE(previousTerm, SEAL_BYTES, SHORT_TERM_BYTES);
  else record.writeDoubleBE(previousTerm, SEAL_BYTES);
  let offset = headBytes;
  for (const part of parts) {
    record.set(part, offset);
    offset += part.length;
  }
  return seal(record, isShort ? FORMAT_VERSION : FORMAT_OF_LONG_TERMS);
}

export function openEntries(
  record: Uint8Array,
  firstIndex: Index,
): { readonly previousTerm: Term; readonly entries: readonly Entry[] } {
  const what = `The log's record at index ${firstIndex}`;
  const bytes = unseal(record, what, firstIndex, FORMAT_OF_LONG_TERMS);
  const isShort = record[0] === FORMAT_VERSION;
  const termBytes = isShort ? SHORT_TERM_BYTES : LONG_TERM_BYTES;
  if (bytes.length < termBytes) throw logDamaged(`${what} is too short.`, { index: firstIndex });
  try {
    return {
      previousTerm: isShort ? bytes.readUIntBE(0, SHORT_TERM_BYTES) : bytes.readDoubleBE(0),
      entries: decodeEntries(bytes.subarray(termBytes)),
    };
  } catch (error) {
    throw logDamaged(`${what} cannot be read: ${(error as Error).message}`, { index: firstIndex });
  }
}

/** A record of the `meta/` group: JSON, so that a person can read a dumped store. */
export function sealValue(
  value: StateRecord | StartRecord | NodeIdentity | RepairRecord | CountRecord,
): Uint8Array {
  const json = JSON.stringify(value);
  const record = Buffer.allocUnsafe(SEAL_BYTES + Buffer.byteLength(json));
  record.write(json, SEAL_BYTES);
  return seal(record, FORMAT_VERSION);
}

/** Reads what {@link sealValue} wrote. `what` names the record in errors. */
export function openValue<
  Value extends StateRecord | StartRecord | NodeIdentity | RepairRecord | CountRecord,
>(record: Uint8Array, what: string): Value {
  return JSON.parse(unseal(record, what, 0, FORMAT_VERSION).toString()) as Value;
}

function seal(record: Buffer, version: number): Uint8Array {
  record[0] = version;
  record.writeUInt32BE(crc32(record.subarray(SEAL_BYTES), version), 1);
  return record;
}

function unseal(record: Uint8Array, what: string, index: Index, newest: number): Buffer {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  if (bytes.length < SEAL_BYTES) throw logDamaged(`${what} is too short.`, { index });
  const version = bytes.readUInt8(0);
  const rest = bytes.subarray(SEAL_BYTES);
  if (crc32(rest, version) !== bytes.readUInt32BE(1)) {
    throw logDamaged(`${what} does not match its checksum.`, { index });
  }
  if (version > newest) {
    throw new RaftkvError(
      'storage_unusable',
      `${what} has format ${version}; this version of raftkv reads format ${newest}. Start the version that ` +
        'wrote it, or a newer one. Nothing was changed.',
    );
  }
  assert(version >= FORMAT_VERSION, 'Formats are counted from 1.');
  return rest;
}

/**
 * @param what A full sentence that names the damage.
 * @param data Where in the log it is, as far as that is known.
 */
export function logDamaged(what: string, data: { readonly index?: Index } = {}): StorageDamaged {
  return new StorageDamaged('log', what, { data });
}
