import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { AssertionError } from '../../src/assert.js';
import { decodeCommand, encodeCommand, KEY_BYTES_MAX } from '../../src/kv/command-codec.js';
import type { Command } from '../../src/kv/types.js';

/** A command as some later version might write it. */
function encodeForeign(fields: Record<string, unknown>): Uint8Array {
  const foreign = protobuf
    .parse(`
    syntax = "proto3";
    message Command { uint32 version = 1; Lease lease = 15; bytes junk = 2; Put put = 4; }
    message Lease { uint64 id = 1; }
    message Put { bytes key = 1; Condition condition = 2; }
    message Condition { bool later = 9; }`)
    .root.lookupType('Command');
  return foreign.encode(fields).finish();
}

describe('the format of commands', () => {
  const key = new Uint8Array([0, 0xff, 0x80]);
  it.each<[string, Command]>([
    [
      'a put',
      { kind: 'put', key, value: new Uint8Array([1, 2, 3]), contentType: 'text/plain; charset=utf-8' },
    ],
    ['an empty value', { kind: 'put', key, value: new Uint8Array(0), contentType: '' }],
    ['a put where there is nothing', { kind: 'put', key, value: key, contentType: '', ifAbsent: true }],
    ['a put on a revision', { kind: 'put', key, value: key, contentType: '', ifRevision: 7 }],
    ['the largest safe revision', { kind: 'delete', key, ifRevision: Number.MAX_SAFE_INTEGER }],
    ['revision 0, which no key has', { kind: 'delete', key, ifRevision: 0 }],
    ['a deletion', { kind: 'delete', key }],
    ['the deletion of a prefix', { kind: 'deletePrefix', prefix: key }],
  ])('keeps %s as it is', (_, command) => {
    const decoded = decodeCommand(encodeCommand(command));
    const plain = JSON.parse(
      JSON.stringify(decoded, (__, value) => (value?.type === 'Buffer' ? value.data : value)),
    );
    expect(plain).toEqual(
      JSON.parse(JSON.stringify(command, (__, value) => (value instanceof Uint8Array ? [...value] : value))),
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
    ['a newer format', { version: 2 }, 'format 2, and this version of raftkv reads format 1'],
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
});
