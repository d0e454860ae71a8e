import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageMeter, UnfinishedMessages } from '../../src/transport/unfinished-messages.js';

/** A message as gRPC frames it. */
function framed(length: number): Buffer {
  const bytes = Buffer.alloc(5 + length, 1);
  bytes.writeUInt8(0, 0);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

/** A piece in a block of memory of its own. */
function alone(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

describe('the bytes that an unfinished message holds', () => {
  it('are those of the blocks that its pieces keep alive, each once', () => {
    const meter = new MessageMeter(1000);
    const block = new Uint8Array(64);
    block.set(framed(500).subarray(0, 10));
    expect(meter.take(block.subarray(0, 6))).toBe(true);
    expect(meter.heldBytes).toBe(64);
    meter.take(block.subarray(6, 10));
    expect(meter.heldBytes).toBe(64);
    meter.take(new Uint8Array(32).subarray(0, 1));
    expect(meter.heldBytes).toBe(96);
  });

  it('are none once it is complete, and empty messages hold nothing', () => {
    const meter = new MessageMeter(1000);
    meter.take(alone(Buffer.concat([framed(3), framed(0), framed(7)])));
    expect(meter.heldBytes).toBe(0);
    meter.take(alone(framed(9).subarray(0, 13)));
    expect(meter.heldBytes).toBe(13);
    meter.take(alone(Buffer.concat([framed(9).subarray(13), framed(0).subarray(0, 2)])));
    // The beginning of the next one.
    expect(meter.heldBytes).toBe(3);
  });

  it('end with the length of a message that is too large', () => {
    const meter = new MessageMeter(1000);
    expect(meter.take(alone(framed(1000)))).toBe(true);
    expect(meter.take(alone(framed(1001).subarray(0, 4)))).toBe(true);
    expect(meter.take(alone(framed(1001).subarray(4, 5)))).toBe(false);
    const whole = new MessageMeter(2 ** 20);
    expect(whole.take(Buffer.of(0, 0xff, 0xff, 0xff, 0xff))).toBe(false);
  });

  it('are none after whole messages, however they were cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        (lengths, cuts) => {
          const meter = new MessageMeter(100);
          const bytes = Buffer.concat(lengths.map(framed));
          let begun = 0;
          for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
            const end = at + (cuts[turn % cuts.length] ?? 1);
            expect(meter.take(alone(bytes.subarray(at, end)))).toBe(true);
            at = end;
            begun = meter.heldBytes;
          }
          expect(begun).toBe(0);
        },
      ),
    );
  });
});

describe('over all connections', () => {
  it('the one that holds most is named while the bound is passed', () => {
    const [small, large, other] = [{ heldBytes: 0 }, { heldBytes: 0 }, { heldBytes: 0 }] as const;
    const unfinished = new UnfinishedMessages(100);
    unfinished.count(small, 30);
    unfinished.count(large, 40);
    unfinished.count(other, 30);
    expect(unfinished.excess).toBeUndefined();
    unfinished.count(small, 5);
    expect(unfinished.excess).toBe(large);
    unfinished.count(large, -large.heldBytes);
    expect([unfinished.excess, unfinished.heldBytes, large.heldBytes]).toEqual([undefined, 65, 0]);
  });
});
