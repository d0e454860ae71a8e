import { crc32 } from 'node:zlib';
import { CLUSTER_VERSION_MAX, CLUSTER_VERSION_MIN, type ClusterVersion } from '../cluster-version.js';
import { RaftkvError } from '../errors.js';
import { decodeConfiguration, emptyConfiguration, encodeConfiguration } from '../raft/configuration.js';
import type { Configuration, Index, Term } from '../raft/types.js';
import { stateDamaged } from './damage.js';
import { LIVE_BUCKETS, LiveTotals } from './live-sums.js';
import type { LeaseId, LogTime, Revision } from './types.js';

/** The key of the record that says how far a state has come. */
export const metaKey = Buffer.from('m');

/** Everything about a state that is not in its other records. */
export interface Meta {
  readonly appliedIndex: Index;
  readonly appliedTerm: Term;
  readonly configuration: Configuration;
  readonly revision: Revision;
  /** Reads below this revision are refused. */
  readonly compactedRevision: Revision;
  /** Changes up to this revision have left the change index, and what they superseded has left the store. */
  readonly prunedRevision: Revision;
  /** The rolling CRC-32 of all changes up to `appliedIndex`. */
  readonly digest: number;
  /** The highest log time of a command up to `appliedIndex`. */
  readonly logTimeMs: LogTime;
  /** The id of the lease that was granted last; 0 for none. */
  readonly lastLease: LeaseId;
  /** The sum of the checksums of all leases' records, of 32 bits. */
  readonly leasesChecksum: number;
  /** The number of the answer that was kept last for repeats; 0 for none. */
  readonly lastAnswer: number;
  /** Answers up to this one are forgotten. */
  readonly prunedAnswer: number;
  /** Answers up to this one are forgotten or filed, see idempotency.ts. */
  readonly filedAnswer: number;
  /** The rolling CRC-32 of all answers that were kept. */
  readonly answersDigest: number;
  /** The last answer that was too old, and still there, when its key was used again. */
  readonly supersededAnswer: number;
  /** What every member speaks, see src/cluster-version.ts. */
  readonly clusterVersion: ClusterVersion;
  /** About one an hour, the oldest first: as many as history compaction needs, see history.ts. */
  readonly marks: readonly Mark[];
  /** Bytes of what was superseded since the compacted revision, or a mark before it; see history.ts. */
  readonly historyBytes: number;
  /** How much of `historyBytes` was superseded up to some revisions, the oldest first. */
  readonly sizeMarks: readonly SizeMark[];
  /** How many keys exist, and the sums of their records; undefined where nobody has read them all, see live-records.ts. */
  readonly live: LiveTotals | undefined;
}

/** Which revision a state was at when so much was superseded. */
export interface SizeMark {
  readonly bytes: number;
  readonly revision: Revision;
}

/** Which revision a state was at when log time came to this. */
export interface Mark {
  readonly logTimeMs: LogTime;
  readonly revision: Revision;
}

/** The same, to be brought forward in place. */
export type MutableMeta = { -readonly [Field in keyof Meta]: Meta[Field] };

/** The state before the first entry. */
export const emptyMeta: Meta = {
  appliedIndex: 0,
  appliedTerm: 0,
  configuration: emptyConfiguration,
  revision: 0,
  compactedRevision: 0,
  prunedRevision: 0,
  digest: 0,
  logTimeMs: 0,
  lastLease: 0,
  leasesChecksum: 0,
  lastAnswer: 0,
  prunedAnswer: 0,
  filedAnswer: 0,
  answersDigest: 0,
  supersededAnswer: 0,
  clusterVersion: CLUSTER_VERSION_MIN,
  marks: [],
  historyBytes: 0,
  sizeMarks: [],
  live: new LiveTotals(),
};

/**
 * The newest format of the state's records that this code reads: the first byte of this record says it for all of them. Version 1 knew keys only: no log time and what came with it. In version 2 every answer was filed. In
 * version 3 the journal of answers was laid out otherwise, and answers were in the digest of the changes. In
 * version 4 there was no cluster version; it is still what is written while the cluster version is 1, because an older program
 * may have to read it.
 */
const FORMAT_VERSION = 5;
const FORMAT_OF_CLUSTER_VERSION_1 = 4;
const CHECKSUM_END = 5;
const INTEGER_BYTES = 6;
const SUM_BYTES = 4;
const TWO_TO_48 = 2 ** 48;

/** The numbers of 48 bits that a version has, in their order. */
const INTEGERS = ['appliedIndex', 'appliedTerm', 'revision', 'compactedRevision', 'prunedRevision'] as const;
const INTEGERS_SINCE_2 = [
  'logTimeMs',
  'lastLease',
  'leasesChecksum',
  'lastAnswer',
  'prunedAnswer',
  'supersededAnswer',
] as const;
const INTEGERS_SINCE_3 = ['filedAnswer'] as const;
const INTEGERS_SINCE_4 = ['answersDigest'] as const;
const INTEGERS_SINCE_5 = ['clusterVersion', 'historyBytes'] as const;

/**
 * Version, CRC-32 of the rest, integers, digest, the integers that came with version 2, number of marks, marks, the integers
 * that came with versions 3, 4 and 5, with version 5 the bits of the applied term above the 48th, the number of keys and 1 (0
 * where it is not known), the number of size marks and these, where the number of keys is known the sums of their 256 buckets,
 * configuration.
 */
export function encodeMeta(meta: Meta): Uint8Array {
  const needsNewest = meta.clusterVersion >= 2 || meta.appliedTerm >= TWO_TO_48;
  const format = needsNewest ? FORMAT_VERSION : FORMAT_OF_CLUSTER_VERSION_1;
  const lastIntegers = [...INTEGERS_SINCE_3, ...INTEGERS_SINCE_4, ...(format >= 5 ? INTEGERS_SINCE_5 : [])];
  const configuration = encodeConfiguration(meta.configuration);
  const integers = INTEGERS.length + INTEGERS_SINCE_2.length + lastIntegers.length + 2 * meta.marks.length;
  const { live } = meta;
  const sumsBytes = live === undefined ? 0 : SUM_BYTES * LIVE_BUCKETS;
  const bytesSince5 =
    format >= 5 ? 2 + INTEGER_BYTES + 2 * INTEGER_BYTES * meta.sizeMarks.length + sumsBytes : 0;
  const headBytes = CHECKSUM_END + integers * INTEGER_BYTES + 4 + 1 + bytesSince5;
  const record = Buffer.allocUnsafe(headBytes + configuration.length);
  let offset = CHECKSUM_END;
  const low = { ...meta, appliedTerm: meta.appliedTerm % TWO_TO_48 };
  for (const name of INTEGERS) offset = record.writeUIntBE(low[name], offset, INTEGER_BYTES);
  offset = record.writeUInt32BE(meta.digest, offset);
  for (const name of INTEGERS_SINCE_2) offset = record.writeUIntBE(meta[name], offset, INTEGER_BYTES);
  offset = record.writeUInt8(meta.marks.length, offset);
  for (const { logTimeMs, revision } of meta.marks) {
    offset = record.writeUIntBE(logTimeMs, offset, INTEGER_BYTES);
    offset = record.writeUIntBE(revision, offset, INTEGER_BYTES);
  }
  for (const name of lastIntegers) offset = record.writeUIntBE(meta[name], offset, INTEGER_BYTES);
  if (format >= 5) {
    offset = record.writeUInt8(Math.floor(meta.appliedTerm / TWO_TO_48), offset);
    offset = record.writeUIntBE(live === undefined ? 0 : live.keys + 1, offset, INTEGER_BYTES);
    offset = record.writeUInt8(meta.sizeMarks.length, offset);
    for (const { bytes, revision } of meta.sizeMarks) {
      offset = record.writeUIntBE(bytes, offset, INTEGER_BYTES);
      offset = record.writeUIntBE(revision, offset, INTEGER_BYTES);
    }
    if (live !== undefined) for (const sum of live.sums) offset = record.writeUInt32BE(sum, offset);
  }
  record.set(configuration, offset);
  // Started from the version, so that damage to the version is told from a newer one.
  record[0] = format;
  record.writeUInt32BE(crc32(record.subarray(CHECKSUM_END), format), 1);
  return record;
}

/** Throws `storage_damaged`, or `storage_unusable` when a newer version wrote the state. */
export function decodeMeta(bytes: Uint8Array): Meta {
  const record = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = record[0] ?? 0;
  if (
    record.length < CHECKSUM_END ||
    crc32(record.subarray(CHECKSUM_END), version) !== record.readUInt32BE(1)
  ) {
    throw stateDamaged("The state's first record does not match its checksum.");
  }
  if (version > FORMAT_VERSION) {
    throw new RaftkvError(
      'storage_unusable',
      `The state has format ${version}; this version of raftkv reads format ${FORMAT_VERSION}. Start the version that ` +
        'wrote it, or a newer one. Nothing was changed.',
    );
  }
  let offset = CHECKSUM_END;
  const readInteger = () => {
    offset += INTEGER_BYTES;
    return record.readUIntBE(offset - INTEGER_BYTES, INTEGER_BYTES);
  };
  const meta: MutableMeta = { ...emptyMeta, live: undefined };
  for (const name of INTEGERS) meta[name] = readInteger();
  meta.digest = record.readUInt32BE(offset);
  offset += 4;
  if (version >= 2) {
    for (const name of INTEGERS_SINCE_2) meta[name] = readInteger();
    const count = record.readUInt8(offset);
    offset += 1;
    meta.marks = Array.from({ length: count }, () => ({ logTimeMs: readInteger(), revision: readInteger() }));
  }
  if (version >= 3) for (const name of INTEGERS_SINCE_3) meta[name] = readInteger();
  else meta.filedAnswer = meta.lastAnswer;
  if (version >= 4) for (const name of INTEGERS_SINCE_4) meta[name] = readInteger();
  if (version >= 5) {
    for (const name of INTEGERS_SINCE_5) meta[name] = readInteger();
    meta.appliedTerm += record.readUInt8(offset) * TWO_TO_48;
    offset += 1;
    const keysAndOne = readInteger();
    const count = record.readUInt8(offset);
    offset += 1;
    meta.sizeMarks = Array.from({ length: count }, () => ({ bytes: readInteger(), revision: readInteger() }));
    if (keysAndOne > 0) {
      const sumsAt = offset;
      offset += SUM_BYTES * LIVE_BUCKETS;
      const sums = Uint32Array.from({ length: LIVE_BUCKETS }, (_, bucket) =>
        record.readUInt32BE(sumsAt + SUM_BYTES * bucket),
      );
      meta.live = new LiveTotals(keysAndOne - 1, sums);
    }
  }
  if (meta.clusterVersion > CLUSTER_VERSION_MAX) {
    throw new RaftkvError(
      'storage_unusable',
      `The state is of a cluster of version ${meta.clusterVersion}; this version of raftkv speaks version ${CLUSTER_VERSION_MAX}. ` +
        'Start the version that wrote it, or a newer one. Nothing was changed.',
    );
  }
  meta.configuration = decodeConfiguration(record.subarray(offset));
  return meta;
}
