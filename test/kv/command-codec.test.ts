import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { AssertionError } from '../../src/assert.js';
import {
  decodeCommand,
  encodeCommand,
  needsRoom,
  stampCommand,
  walkingCommand,
} from '../../src/kv/command-codec.js';
import { type Command, KEY_BYTES_MAX, type TxnOperation } from '../../src/kv/types.js';
import { plainBytes } from './model.js';

/** A command as some later version might write it. */
function encodeForeign(fields: Record<string, unknown>): Uint8Array {
  const foreign = protobuf
    .parse(`
    syntax = "proto3";
    message Command { uint32 version = 1; Lease lease = 30; bytes junk = 2; Put put = 4; }
    message Lease { uint64 id = 1; }
    message Put { bytes key = 1; Condition condition = 2; }
    message Condition { bool later = 9; }`)
    .root.lookupType('Command');
  return foreign.encode(fields).finish();
}

describe('the format of commands', () => {
  const key = new Uint8Array([0, 0xff, 0x80]);
  it.each<[string, Command]>([
    ['an add', { kind: 'add', key, delta: -3, initial: Number.MAX_SAFE_INTEGER }],
    ['a compaction up to a revision', { kind: 'compact', revision: 7 }],
    ['a compaction of everything', { kind: 'compact' }],
    [
      'a transaction that is bounded',
      {
        kind: 'txn',
        compare: [],
        success: [{ kind: 'getPrefix', prefix: key }],
        failure: [],
        isBounded: true,
      },
    ],
    [
      'a put',
      { kind: 'put', key, value: new Uint8Array([1, 2, 3]), contentType: 'text/plain; charset=utf-8' },
    ],
    ['an empty value', { kind: 'put', key, value: new Uint8Array(0), contentType: '' }],
    ['a put where there is nothing', { kind: 'put', key, value: key, contentType: '', ifAbsent: true }],
    ['a put on a revision', { kind: 'put', key, value: key, contentType: '', ifRevision: 7 }],
    ['a put where there is something', { kind: 'put', key, value: key, contentType: '', ifPresent: true }],
    [
      'a put on one of some revisions',
      { kind: 'put', key, value: key, contentType: '', ifRevisionIn: [7, Number.MAX_SAFE_INTEGER] },
    ],
    ['a deletion on none of no revisions', { kind: 'delete', key, ifRevisionIn: [] }],
    ['a deletion except of a revision', { kind: 'delete', key, ifRevisionNotIn: [0, 7] }],
    ['the largest safe revision', { kind: 'delete', key, ifRevision: Number.MAX_SAFE_INTEGER }],
    ['revision 0, which no key has', { kind: 'delete', key, ifRevision: 0 }],
    ['a deletion', { kind: 'delete', key }],
    ['the deletion of a prefix', { kind: 'deletePrefix', prefix: key }],
    ['a put with a lease', { kind: 'put', key, value: key, contentType: '', lease: 2 ** 40 }],
    ['a put with a time to live', { kind: 'put', key, value: key, contentType: '', ttlMs: 31_536_000_000 }],
    [
      'a put under an idempotency key',
      {
        kind: 'put',
        key,
        value: key,
        contentType: '',
        idempotency: { key: 'é 1', fingerprint: new Uint8Array(16).fill(0xfe) },
      },
    ],
    [
      'a transaction',
      {
        kind: 'txn',
        compare: [
          { key, target: 'value', op: '!=', value: new Uint8Array([0, 0xff]) },
          { key, target: 'value', op: '=', value: new Uint8Array(0) },
          { key, target: 'version', op: '=', value: 0 },
          { key, target: 'createRevision', op: '<', value: Number.MAX_SAFE_INTEGER },
          { key, target: 'modRevision', op: '>', value: 7 },
          { key, target: 'exists', op: '=', value: false },
          { key, target: 'exists', op: '!=', value: true },
        ],
        success: [
          { kind: 'put', key, value: key, contentType: 'text/plain', lease: 3 },
          { kind: 'put', key, value: new Uint8Array(0), contentType: '' },
          { kind: 'get', key },
          { kind: 'getPrefix', prefix: key },
          { kind: 'getPrefix', prefix: new Uint8Array(0) },
        ],
        failure: [
          { kind: 'delete', key },
          { kind: 'deletePrefix', prefix: key },
        ],
      },
    ],
    [
      'a transaction that counts, and that gives a key a time to live',
      {
        kind: 'txn',
        compare: [],
        success: [{ kind: 'put', key, value: key, contentType: '', ttlMs: 31_536_000_000 }],
        failure: [{ kind: 'add', key, delta: -3, initial: Number.MAX_SAFE_INTEGER }],
      },
    ],
    ['an empty transaction', { kind: 'txn', compare: [], success: [], failure: [] }],
    ['the granting of a lease', { kind: 'leaseGrant', ttlMs: 1 }],
    ['a keepalive', { kind: 'leaseKeepAlive', lease: 1 }],
    ['a keepalive with another time to live', { kind: 'leaseKeepAlive', lease: 1, ttlMs: 9 }],
    ['a revocation', { kind: 'leaseRevoke', lease: 7 }],
    ['an expiry', { kind: 'leaseExpire', lease: 7, generation: 3 }],
    ['a tick', { kind: 'tick' }],
    ['the raising of the cluster version', { kind: 'raiseVersion', version: 2 }],
    ['a raise unless held', { kind: 'raiseVersion', version: 2, unlessHeld: true }],
  ])('keeps %s as it is', (_, command) => {
    const encoded = encodeCommand(command);
    expect(plainBytes(decodeCommand(encoded))).toEqual(plainBytes({ command, logTimeMs: undefined }));
    const stamped = stampCommand(encoded, 2 ** 47);
    expect(plainBytes(decodeCommand(stamped))).toEqual(plainBytes({ command, logTimeMs: 2 ** 47 }));
  });

  it('takes lasting room on disk where it puts, counts or grants', () => {
    const put: TxnOperation = { kind: 'put', key, value: key, contentType: '' };
    const add: TxnOperation = { kind: 'add', key, delta: 1, initial: 0 };
    const remove: TxnOperation = { kind: 'delete', key };
    const txn = (...failure: TxnOperation[]): Command => ({ kind: 'txn', compare: [], success: [], failure });
    const grant: Command = { kind: 'leaseGrant', ttlMs: 1 };
    for (const command of [put as Command, add as Command, grant, txn(remove, put), txn(add)])
      expect(needsRoom(encodeCommand(command))).toBe(true);
    for (const command of [remove as Command, txn(remove), { kind: 'tick' } as const])
      expect(needsRoom(encodeCommand(command))).toBe(false);
  });

  it('has log time once at most', () => {
    const payload = encodeCommand({ kind: 'tick' });
    expect(() => decodeCommand(stampCommand(stampCommand(payload, 7), 0))).toThrow(
      'logTimeMs is given twice',
    );
    expect(() => stampCommand(payload, 0.5)).toThrow(AssertionError);
    expect(() => stampCommand(payload, -1)).toThrow(AssertionError);
  });

  it('still reads format 1, for which log time stands still', () => {
    // Written by version 0.1: a put with a condition.
    const written = Buffer.from('0801120d0a016b1201761a012a22020803', 'hex');
    expect(plainBytes(decodeCommand(written))).toEqual(
      plainBytes({
        command: {
          kind: 'put',
          key: Buffer.from('k'),
          value: Buffer.from('v'),
          contentType: '*',
          ifRevision: 3,
        },
        logTimeMs: undefined,
      }),
    );
  });

  it('row 33: never rounds a revision that is no safe integer', () => {
    expect(() => encodeCommand({ kind: 'delete', key, ifRevision: 2 ** 53 })).toThrow(AssertionError);
    const encoded = Buffer.from(encodeCommand({ kind: 'delete', key, ifRevision: Number.MAX_SAFE_INTEGER }));
    // The seventh byte of the number's eight carries its highest bits.
    encoded[encoded.length - 1] = 0x7f;
    expect(() => decodeCommand(encoded)).toThrow('A revision is a safe integer.');
  });

  it.each([
    ['a newer format', { version: 4 }, 'format 4, and this version of raftkv reads format 3'],
    [
      'a kind that came later',
      { version: 1, lease: { id: 1 } },
      'a kind that this version of raftkv does not know',
    ],
  ])('refuses %s and says what to do', (_, fields, words) => {
    expect(() => decodeCommand(encodeForeign(fields))).toThrow(
      expect.objectContaining({ code: 'storage_unusable', message: expect.stringContaining(words) }),
    );
  });

  it('writes each command in the oldest format that has what it needs', () => {
    expect(encodeCommand({ kind: 'delete', key }).subarray(0, 2)).toEqual(Buffer.from('0802', 'hex'));
    const raise = encodeCommand({ kind: 'raiseVersion', version: 2 });
    expect(raise.subarray(0, 2)).toEqual(Buffer.from('0803', 'hex'));
  });

  it('refuses to raise the cluster version to one that this program does not speak', () => {
    expect(() => decodeCommand(encodeCommand({ kind: 'raiseVersion', version: 3 }))).toThrow(
      expect.objectContaining({
        code: 'storage_unusable',
        message: expect.stringContaining(
          'cluster version 3, and this version of raftkv speaks cluster version 2',
        ),
      }),
    );
  });

  it('refuses bytes that are no command', () => {
    expect(() => decodeCommand(encodeForeign({ version: 1, junk: new Uint8Array([9, 9, 9]) }))).toThrow(
      expect.objectContaining({ code: 'storage_damaged' }),
    );
  });

  it('stops at a key that should have been refused before', () => {
    for (const length of [0, KEY_BYTES_MAX + 1]) {
      expect(() => encodeCommand({ kind: 'delete', key: new Uint8Array(length) })).toThrow(AssertionError);
    }
  });

  it('stops at whatever else should have been refused before', () => {
    const get: TxnOperation = { kind: 'get', key };
    const commands: Command[] = [
      { kind: 'txn', compare: [], success: Array(129).fill(get), failure: [] },
      {
        kind: 'txn',
        compare: [],
        success: [],
        failure: [{ kind: 'deletePrefix', prefix: new Uint8Array(0) }],
      },
      {
        kind: 'txn',
        compare: [],
        success: [{ kind: 'getPrefix', prefix: new Uint8Array(KEY_BYTES_MAX + 1) }],
        failure: [],
      },
      { kind: 'leaseGrant', ttlMs: 0 },
      { kind: 'leaseGrant', ttlMs: 31_536_000_001 },
      { kind: 'leaseRevoke', lease: 1.5 },
      { kind: 'put', key, value: key, contentType: '', lease: 1, ttlMs: 1 },
      {
        kind: 'txn',
        compare: [],
        success: [{ kind: 'put', key, value: key, contentType: '', lease: 1, ttlMs: 1 }],
        failure: [],
      },
      { kind: 'txn', compare: [], success: [{ kind: 'add', key, delta: 0.5, initial: 0 }], failure: [] },
      { kind: 'tick', idempotency: { key: '', fingerprint: new Uint8Array(16) } },
      { kind: 'tick', idempotency: { key: 'k', fingerprint: new Uint8Array(15) } },
    ];
    for (const command of commands) expect(() => encodeCommand(command)).toThrow(AssertionError);
  });
});

describe('a command that walks prefixes', () => {
  const key = Buffer.from('k');
  const get: TxnOperation = { kind: 'get', key };
  const put: TxnOperation = { kind: 'put', key, value: Buffer.from([0x1a, 0]), contentType: '' };
  const txn = (success: TxnOperation[], failure: TxnOperation[] = []): Command => ({
    kind: 'txn',
    compare: [{ key, target: 'exists', op: '=', value: true }],
    success,
    failure,
  });
  it.each<[string, Command]>([
    ['a deletion by prefix', { kind: 'deletePrefix', prefix: key }],
    ['a get by prefix', txn([put, { kind: 'getPrefix', prefix: key }])],
    ['a get by the empty prefix', txn([{ kind: 'getPrefix', prefix: new Uint8Array(0) }])],
    ['a deletion in the other branch', txn([get], [get, { kind: 'deletePrefix', prefix: key }])],
  ])('is found: %s', (_, command) => {
    const payload = encodeCommand(command);
    expect(walkingCommand(payload)).toEqual(decodeCommand(payload).command);
  });

  it.each<[string, Command]>([
    ['a transaction of single keys', txn([get, put], [{ kind: 'delete', key }])],
    ['a put', { kind: 'put', key, value: Buffer.from([0x22, 1, 1]), contentType: '' }],
  ])('is not: %s', (_, command) => {
    expect(walkingCommand(encodeCommand(command))).toBeUndefined();
  });

  it('is none where the bytes are no command', () => {
    for (const bytes of [[], [0xff], [0x2a, 0x7f, 0x12], [0x22, 1]])
      expect(walkingCommand(Uint8Array.from(bytes))).toBeUndefined();
  });
});
