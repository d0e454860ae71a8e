import { expect, test } from 'vitest';
import { COALESCED_BYTES_MAX, STREAM_BUFFER_BYTES_MAX } from '../../src/transport/limits.js';
import { Outgoing } from '../../src/transport/outgoing.js';

/** An outgoing stream whose writes the test finishes one by one. */
function stream() {
  const written: Buffer[] = [];
  const unfinished: (() => void)[] = [];
  const outgoing = new Outgoing((bytes, done) => {
    written.push(bytes);
    unfinished.push(done);
  });
  return { outgoing, written, finish: () => unfinished.shift()?.() };
}

test('an idle stream is written to at once, a busy one gathers what comes meanwhile', () => {
  const { outgoing, written, finish } = stream();
  for (const byte of [1, 2, 3]) outgoing.push(Buffer.from([byte]));
  expect(written).toEqual([Buffer.from([1])]);
  finish();
  expect(written).toEqual([Buffer.from([1]), Buffer.from([2, 3])]);
  finish();
  outgoing.push(Buffer.from([4]));
  expect(written[2]).toEqual(Buffer.from([4]));
});

test('large messages are not copied, and the order is kept', () => {
  const { outgoing, written, finish } = stream();
  const large = Buffer.alloc(COALESCED_BYTES_MAX);
  outgoing.push(Buffer.from([1]));
  outgoing.push(Buffer.from([2]));
  outgoing.push(large);
  outgoing.push(Buffer.from([3]));
  outgoing.push(Buffer.from([4]));
  for (let index = 0; index < 4; index += 1) finish();
  expect(written.map((bytes) => bytes.length)).toEqual([1, 1, large.length, 2]);
  expect(written[2]).toBe(large);
});

test('what waits is bounded', () => {
  const { outgoing } = stream();
  const half = Buffer.alloc(STREAM_BUFFER_BYTES_MAX / 2);
  expect(outgoing.push(half), 'written at once').toBe(true);
  expect(outgoing.push(half), 'waits').toBe(true);
  expect(outgoing.push(half), 'waits').toBe(true);
  expect(outgoing.push(Buffer.from([1])), 'is too much').toBe(false);
});
