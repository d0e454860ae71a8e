import { describe, expect, it } from 'vitest';
import { decodeResult, encodeResult } from '../../src/kv/result-codec.js';
import type { CommandResult } from '../../src/kv/types.js';
import { plainBytes } from './model.js';

const key = new Uint8Array([0, 0xff, 0x80]);
const revision = 2 ** 47;

describe('the format of results', () => {
  it.each<CommandResult>([
    { kind: 'put', revision, created: true },
    { kind: 'put', revision, created: false, lease: 2 ** 40 },
    { kind: 'delete', revision: 0, deleted: 10_000 },
    { kind: 'delete', revision, deleted: 0 },
    { kind: 'txn', revision, succeeded: false, results: [] },
    {
      kind: 'txn',
      revision,
      succeeded: true,
      results: [
        { kind: 'put', key, created: true },
        { kind: 'put', key, created: false },
        { kind: 'put', key, created: false, lease: 2 ** 40 },
        { kind: 'add', key, created: true, value: -Number.MAX_SAFE_INTEGER },
        { kind: 'add', key, created: false, value: 0 },
        { kind: 'get', items: [] },
        {
          kind: 'get',
          items: [
            { key, value: key, createRevision: 1, modRevision: 2, version: 3, contentType: 'text/é' },
            {
              key,
              value: new Uint8Array(0),
              createRevision: revision,
              modRevision: revision,
              version: 1,
              contentType: '',
              lease: 9,
            },
          ],
        },
        { kind: 'delete', deleted: 0 },
        { kind: 'delete', deleted: 10_000 },
      ],
    },
    { kind: 'lease', revision, lease: 4, ttlMs: 31_536_000_000 },
    { kind: 'leaseRevoked', revision, lease: 4, deleted: 3, remaining: true },
    { kind: 'leaseRevoked', revision, lease: 4, deleted: 0, remaining: false },
    { kind: 'preconditionFailed', revision, modRevision: 0 },
    { kind: 'leaseNotFound', revision, lease: 5 },
    { kind: 'ticked', revision },
    { kind: 'versionRaised', revision, clusterVersion: 2 },
    { kind: 'tooManyKeys', revision },
    { kind: 'revisionInFuture', revision },
    { kind: 'tooManyLeases', revision },
    { kind: 'answerTooLarge', revision },
    { kind: 'leaseKept', revision },
    { kind: 'idempotencyMismatch', revision },
  ])('keeps %o as it is', (result) => {
    expect(plainBytes(decodeResult(encodeResult(result)))).toEqual(plainBytes(result));
  });
});
