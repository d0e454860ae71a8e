import { describe, expect, it } from 'vitest';
import { Admission } from '../../src/kv/admission.js';
import { encodeCommand, stampCommand } from '../../src/kv/command-codec.js';

const mebibyte = 1024 * 1024;

const puts = (count: number, valueBytes = 1) =>
  Array.from({ length: count }, () => {
    const value = Buffer.alloc(valueBytes);
    return stampCommand(encodeCommand({ kind: 'put', key: Buffer.from('k'), value, contentType: '' }), 7);
  });

/** Admits all of them, and spoils their bytes, so that only what is remembered can be taken. */
function admitted(payloads: readonly Uint8Array[]): Admission {
  const admission = new Admission();
  for (const payload of payloads) {
    expect(admission.refuse(payload)).toBeNull();
    payload.fill(0xff);
  }
  return admission;
}

function remembered(admission: Admission, payloads: readonly Uint8Array[]): number {
  const take = (payload: Uint8Array) => {
    try {
      return admission.take(payload).command.kind !== 'tick';
    } catch {
      return false;
    }
  };
  return payloads.filter(take).length;
}

describe('commands that were admitted', () => {
  it('are decoded once when they are applied in their order, and forgotten then', () => {
    const payloads = puts(1_000);
    const admission = admitted(payloads);
    expect(remembered(admission, payloads)).toBe(1_000);
    expect(remembered(admission, payloads)).toBe(0);
  });

  it('are found behind some that are never applied', () => {
    const payloads = puts(100);
    const admission = admitted(payloads);
    const applied = payloads.filter((_, place) => place % 7 === 6);
    expect(remembered(admission, applied)).toBe(applied.length);
  });

  it('are found again after very many that are never applied', () => {
    const payloads = puts(10_000);
    const admission = admitted(payloads);
    const last = payloads.slice(-500);
    expect(remembered(admission, last)).toBeGreaterThan(300);
  });

  it('are decoded again where nothing is known of them', () => {
    const [first, second] = puts(2);
    const admission = new Admission();
    if (first === undefined || second === undefined) throw new Error('There are two.');
    admission.refuse(first);
    expect(admission.take(second).command).toMatchObject({ kind: 'put' });
    expect(admission.take(first).command).toMatchObject({ kind: 'put' });
  });

  it('hold a bounded number of bytes', () => {
    const large = puts(40, mebibyte);
    expect(remembered(admitted(large), large.slice(-15))).toBe(15);
    expect(remembered(admitted(puts(40, mebibyte)), large)).toBe(0);
    const deletes = Array.from({ length: 128 }, (_, number) => ({
      kind: 'delete' as const,
      key: Buffer.from(String(number)),
    }));
    const transactions = Array.from({ length: 2_000 }, () =>
      stampCommand(encodeCommand({ kind: 'txn', compare: [], success: deletes, failure: deletes }), 7),
    );
    expect(remembered(admitted(transactions), transactions.slice(0, 10))).toBe(0);
    const small = puts(100_000);
    const admission = admitted(small);
    expect(remembered(admission, small.slice(0, 100))).toBe(0);
    expect(remembered(admission, small.slice(-3_000))).toBeGreaterThan(0);
  });
});
