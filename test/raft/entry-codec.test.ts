import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeEntries,
  ENTRY_HEADER_BYTES,
  encodedBytes,
  encodeEntries,
} from '../../src/raft/entry-codec.js';
import { type Entry, type EntryKind, TERM_MAX } from '../../src/raft/types.js';
import { entryAt } from './core-kit.js';

const uint48 = fc.oneof(
  fc.nat(9),
  fc.maxSafeNat().map((value) => value % 2 ** 48),
  fc.constant(2 ** 48 - 1),
);
const term = fc.oneof(
  uint48,
  fc.maxSafeNat().map((value) => value % 2 ** 52),
  fc.constantFrom(2 ** 48, TERM_MAX),
);
const entry: fc.Arbitrary<Entry> = fc.record({
  index: uint48,
  term,
  kind: fc.constantFrom<EntryKind>(0, 1, 2),
  payload: fc.uint8Array({ maxLength: 40 }),
});

describe('entry format', () => {
  it('gives back what it was given, in as many bytes as it said', () => {
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        const bytes = encodeEntries(entries);
        expect(bytes.length).toBe(entries.reduce((sum, one) => sum + encodedBytes(one), 0));
        // A copy, so that the answer cannot come from the memory of arrays that were encoded before.
        expect(decodeEntries(bytes.slice())).toEqual(entries);
      }),
    );
  });

  it('reads entries that stand in the middle of a larger buffer', () => {
    const bytes = encodeEntries([entryAt(7, 3)]);
    const larger = new Uint8Array(bytes.length + 10);
    larger.set(bytes, 5);
    expect(decodeEntries(larger.subarray(5, 5 + bytes.length))).toEqual([entryAt(7, 3)]);
  });

  it('makes the bytes of an array once, and keeps those that it was read from', () => {
    const entries = [entryAt(1, 1)];
    const bytes = encodeEntries(entries);
    expect(encodeEntries(entries)).toBe(bytes);
    expect(encodeEntries(decodeEntries(bytes))).toBe(bytes);
  });

  it('refuses what is cut off anywhere', () => {
    const bytes = encodeEntries([entryAt(1, 1), entryAt(2, 1)]);
    const whole = bytes.length / 2;
    for (let length = 1; length < bytes.length; length += 1) {
      const cut = bytes.slice(0, length);
      if (length === whole) expect(decodeEntries(cut)).toHaveLength(1);
      else expect(() => decodeEntries(cut)).toThrow(/An entry ends within its (header|payload)\./);
    }
  });

  it('refuses a kind of a later version, and survives any bytes', () => {
    const bytes = encodeEntries([entryAt(1, 1)]).slice();
    bytes[4] = 9;
    expect(() => decodeEntries(bytes)).toThrow('An entry has kind 9, which this version does not know.');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3 * ENTRY_HEADER_BYTES }), (garbage) => {
        try {
          const decoded = decodeEntries(garbage);
          expect(decoded.reduce((sum, one) => sum + encodedBytes(one), 0)).toBe(garbage.length);
        } catch (error) {
          expect((error as Error).message).toMatch(/^An entry /);
        }
      }),
    );
  });

  it('refuses numbers that would not come back', () => {
    for (const index of [-1, 0.5, 2 ** 48, Number.NaN])
      expect(() => encodeEntries([entryAt(index, 1)])).toThrow('beyond the last index');
    for (const beyond of [-1, 0.5, 2 ** 52, Number.NaN])
      expect(() => encodeEntries([entryAt(1, beyond, new Uint8Array())])).toThrow('beyond the last term');
  });

  it('writes every term that elections can reach as programs of cluster version 1 do', () => {
    const bytes = encodeEntries([{ ...entryAt(1, 2 ** 48 - 1, new Uint8Array()), kind: 1 }]);
    expect(Buffer.from(bytes).toString('hex')).toBe('0000000001ffffffffffff000000000001');
  });
});
