import { describe, expect, it } from 'vitest';
import { LIVE_BUCKETS, LiveTotals } from '../../src/kv/live-sums.js';
import { decodeMeta, emptyMeta, encodeMeta, type Meta } from '../../src/kv/meta-codec.js';
import { configurationOfVoters } from '../../src/raft/configuration.js';
import { TERM_MAX } from '../../src/raft/types.js';
import { inFormat } from './kit.js';

const large = 2 ** 48 - 1;
const meta: Meta = {
  appliedIndex: large,
  appliedTerm: 2,
  configuration: configurationOfVoters([
    { id: 'n1', incarnation: 'i', peerAddress: 'h:1', clientUrl: 'http://h:2' },
  ]),
  revision: large - 1,
  compactedRevision: 4,
  prunedRevision: 3,
  digest: 0xfedcba98,
  logTimeMs: large - 2,
  lastLease: large - 3,
  leasesChecksum: 0xffffffff,
  lastAnswer: large - 4,
  prunedAnswer: 6,
  filedAnswer: 7,
  answersDigest: 0xfffffffe,
  supersededAnswer: 5,
  clusterVersion: 1,
  marks: [
    { logTimeMs: 1, revision: 0 },
    { logTimeMs: large - 2, revision: large - 1 },
  ],
  historyBytes: 0,
  sizeMarks: [],
  live: undefined,
};
const newer: Meta = {
  ...meta,
  clusterVersion: 2,
  historyBytes: large - 5,
  sizeMarks: [
    { bytes: 1, revision: 8 },
    { bytes: large - 6, revision: large - 7 },
  ],
  live: new LiveTotals(
    large - 8,
    Uint32Array.from({ length: LIVE_BUCKETS }, (_, bucket) => 2 ** 32 - 1 - bucket),
  ),
};

describe('the record of how far a state came', () => {
  it('is kept as it is', () => {
    expect(decodeMeta(encodeMeta(meta))).toEqual(meta);
    // Format 4 has no room for what is known of the keys.
    expect(decodeMeta(encodeMeta(emptyMeta))).toEqual({ ...emptyMeta, live: undefined });
    expect(decodeMeta(encodeMeta(newer))).toEqual(newer);
    for (const live of [new LiveTotals(), undefined]) {
      expect(decodeMeta(encodeMeta({ ...newer, live }))).toEqual({ ...newer, live });
    }
  });

  it('keeps a term of more than 48 bits, in the newest format', () => {
    for (const clusterVersion of [1, 2]) {
      const late = { ...meta, clusterVersion, appliedTerm: TERM_MAX };
      expect(encodeMeta(late)[0]).toBe(5);
      expect(decodeMeta(encodeMeta(late))).toEqual(late);
    }
  });

  it('is written in format 4, which an older program reads, until the cluster version is 2', () => {
    expect(encodeMeta(meta)[0]).toBe(4);
    expect(encodeMeta({ ...meta, clusterVersion: 2 })[0]).toBe(5);
    // What the last program before cluster versions wrote for an empty state.
    const written =
      '047d19c761' +
      '00'.repeat(83) +
      Buffer.from('{"version":1,"members":[],"voters":[],"outgoingVoters":[],"learners":[]}').toString('hex');
    expect(Buffer.from(encodeMeta(emptyMeta)).toString('hex')).toBe(written);
  });

  it('is refused when its cluster version is one that this program does not speak', () => {
    expect(() => decodeMeta(encodeMeta({ ...meta, clusterVersion: 3 }))).toThrow(
      expect.objectContaining({
        code: 'storage_unusable',
        message: expect.stringContaining('cluster of version 3; this version of raftkv speaks version 2'),
      }),
    );
  });

  it('is still read in format 1, which knew neither time nor leases', () => {
    // Written by version 0.1.
    const written = Buffer.from(
      '015e76bef6000000000009000000000002000000000007000000000003000000000001deadbeef' +
        Buffer.from('{"version":1,"members":[],"voters":[],"outgoingVoters":[],"learners":[]}').toString(
          'hex',
        ),
      'hex',
    );
    expect(decodeMeta(written)).toEqual({
      ...emptyMeta,
      live: undefined,
      appliedIndex: 9,
      appliedTerm: 2,
      revision: 7,
      compactedRevision: 3,
      prunedRevision: 1,
      digest: 0xdeadbeef,
    });
  });

  it('is still read in format 2, in which every answer was filed', () => {
    expect(decodeMeta(inFormat(2, meta))).toEqual({
      ...meta,
      filedAnswer: meta.lastAnswer,
      answersDigest: 0,
    });
  });

  it('is still read in format 3, in which answers were in the digest of the changes', () => {
    expect(decodeMeta(inFormat(3, meta))).toEqual({ ...meta, answersDigest: 0 });
  });

  it('is refused when it is damaged or of a later version', () => {
    for (let at = 0; at < encodeMeta(meta).length; at += 1) {
      const damaged = Buffer.from(encodeMeta(meta));
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      expect(() => decodeMeta(damaged)).toThrow(expect.objectContaining({ code: 'storage_damaged' }));
    }
    for (const length of [0, 3, 5]) {
      expect(() => decodeMeta(encodeMeta(meta).subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'storage_damaged' }),
      );
    }
    // The record of an empty state, its version and its checksum changed together.
    const later = Buffer.from('0600000000', 'hex');
    later.writeUInt32BE(6, 1);
    expect(() => decodeMeta(later)).toThrow(expect.objectContaining({ code: 'storage_unusable' }));
  });
});
