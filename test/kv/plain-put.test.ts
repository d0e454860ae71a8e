import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeAnyCommand, decodeCommand, encodeCommand, stampCommand } from '../../src/kv/command-codec.js';
import { readPlainPut } from '../../src/kv/plain-put.js';
import { type Command, LOG_TIME_MS_MAX } from '../../src/kv/types.js';

const bytes = (sizes: { min: number; max: number }) =>
  fc
    .uint8Array({ minLength: sizes.min, maxLength: sizes.max, size: 'max' })
    .map((array) => Buffer.from(array));
const plainPut = fc.record(
  {
    kind: fc.constant('put' as const),
    key: bytes({ min: 1, max: 200 }),
    value: fc.oneof(bytes({ min: 0, max: 300 }), fc.constant(Buffer.alloc(20_000, 'v'))),
    contentType: fc.constantFrom('', 'text/plain', 'application/json; charset=utf-8', '\ta'),
  },
  { noNullPrototype: true },
);
const logTime = fc.oneof(fc.nat(), fc.constantFrom(0, LOG_TIME_MS_MAX));

/** What reading gives, or the sentence with which it refuses. */
function outcomeOf(read: (payload: Uint8Array) => unknown, payload: Uint8Array): unknown {
  try {
    return read(payload);
  } catch (error) {
    return (error as Error).message;
  }
}

describe('the short way to read a put', () => {
  it('reads every plain put', () => {
    fc.assert(
      fc.property(plainPut, logTime, (command, logTimeMs) => {
        const payload = stampCommand(encodeCommand(command), logTimeMs);
        expect(isDeepStrictEqual(readPlainPut(payload), { command, logTimeMs })).toBe(true);
        expect(isDeepStrictEqual(decodeAnyCommand(payload), { command, logTimeMs })).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('is taken only where the long way says the same, whatever the bytes are', () => {
    const change = fc.record({ at: fc.nat({ max: 400 }), byte: fc.nat({ max: 255 }) });
    let taken = 0;
    fc.assert(
      fc.property(
        plainPut,
        fc.oneof(logTime, fc.double({ min: 0, max: LOG_TIME_MS_MAX, noNaN: true })),
        fc.array(change, { minLength: 1, maxLength: 3 }),
        fc.nat({ max: 3 }),
        (command, logTimeMs, changes, cut) => {
          const stamped = stampCommand(encodeCommand(command), Math.floor(logTimeMs));
          const payload = Buffer.from(stamped.subarray(0, stamped.length - cut));
          if (!Number.isInteger(logTimeMs) && cut === 0) payload.writeDoubleLE(logTimeMs, payload.length - 8);
          // Most damage is done near the beginning, where lengths are.
          for (const { at, byte } of changes) payload[at % Math.min(payload.length, 400)] = byte;
          if (readPlainPut(payload) !== undefined) taken += 1;
          const isSame = isDeepStrictEqual(
            outcomeOf(decodeCommand, payload),
            outcomeOf(decodeAnyCommand, payload),
          );
          expect(isSame).toBe(true);
        },
      ),
      { numRuns: 2_000 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  const key = Buffer.from('key');
  it.each<[string, Command]>([
    ['with a lease', { kind: 'put', key, value: key, contentType: '', lease: 7 }],
    ['with a time to live', { kind: 'put', key, value: key, contentType: '', ttlMs: 1_000 }],
    ['on a condition', { kind: 'put', key, value: key, contentType: '', ifAbsent: true }],
    [
      'with an idempotency key',
      {
        kind: 'put',
        key,
        value: key,
        contentType: '',
        idempotency: { key: 'a', fingerprint: Buffer.alloc(16) },
      },
    ],
    ['that deletes', { kind: 'delete', key }],
  ])('leaves a command %s to the long way', (_, command) => {
    const payload = stampCommand(encodeCommand(command), 5);
    expect(readPlainPut(payload)).toBeUndefined();
    expect(decodeCommand(payload)).toEqual({ command, logTimeMs: 5 });
  });
});
