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

/** Lets everything run that waits for the present code to finish. */
const thisTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

test('what is handed over in one go, or while the stream is busy, is written in one go', async () => {
  const { outgoing, written, finish } = stream();
  for (const byte of [1, 2]) outgoing.push(Buffer.from([byte]));
  await thisTurn();
  expect(written).toEqual([Buffer.from([1, 2])]);
  for (const byte of [3, 4, 5]) {
    outgoing.push(Buffer.from([byte]));
    await thisTurn();
  }
  expect(written).toHaveLength(1);
  finish();
  expect(written[1]).toEqual(Buffer.from([3, 4, 5]));
  finish();
  outgoing.push(Buffer.from([6]));
  await thisTurn();
  expect(written[2]).toEqual(Buffer.from([6]));
});

test('large messages are not copied, and the order is kept', async () => {
  const { outgoing, written, finish } = stream();
  const large = Buffer.alloc(COALESCED_BYTES_MAX);
  outgoing.push(Buffer.from([1]));
  outgoing.push(Buffer.from([2]));
  outgoing.push(large);
  outgoing.push(Buffer.from([3]));
  outgoing.push(Buffer.from([4]));
  await thisTurn();
  for (let index = 0; index < 3; index += 1) finish();
  expect(written.map((bytes) => bytes.length)).toEqual([2, large.length, 2]);
  expect(written[1]).toBe(large);
});

test('what waits is bounded', () => {
  const { outgoing } = stream();
  const half = Buffer.alloc(STREAM_BUFFER_BYTES_MAX / 2);
  expect(outgoing.push(half), 'waits').toBe(true);
  expect(outgoing.push(half), 'waits as well').toBe(true);
  expect(outgoing.push(Buffer.from([1])), 'is too much').toBe(false);
});
