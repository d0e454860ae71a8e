import { beforeEach, expect, it } from 'vitest';
import { LeaseEnds } from './lease-ends.js';

const clocks = { nowMs: 0, calmMs: 0 };
let ends: LeaseEnds;

beforeEach(() => {
  clocks.nowMs = 0;
  clocks.calmMs = 0;
  ends = new LeaseEnds(clocks);
});

it('a lease that ends after its time is right, and so is one that was given back', () => {
  ends.renewed(1, { ttlMs: 1000, atMs: 100 });
  ends.renewed(1, { ttlMs: 1000, atMs: 500 });
  clocks.nowMs = 1600;
  ends.seenEnded(1);
  ends.renewed(2, { ttlMs: 1000, atMs: 1500 });
  ends.givenBack(2);
  ends.seenEnded(2);
  expect(ends.violations).toEqual([]);
  expect(ends.lateMs).toEqual([100]);
});

it('a lease that ends before its time is wrong, counted from the last renewal', () => {
  ends.renewed(1, { ttlMs: 1000, atMs: 100 });
  ends.renewed(1, { ttlMs: 1000, atMs: 500 });
  // An answer to an earlier question comes late and takes nothing away.
  ends.renewed(1, { ttlMs: 1000, atMs: 300 });
  clocks.nowMs = 1400;
  ends.seenEnded(1);
  expect(ends.violations).toHaveLength(1);
});

it('a lease that is kept alive after it ended is wrong', () => {
  ends.renewed(1, { ttlMs: 1000, atMs: 0 });
  clocks.nowMs = 1200;
  ends.seenEnded(1);
  ends.renewed(1, { ttlMs: 1000, atMs: 1100 });
  expect(ends.violations).toEqual([]);
  ends.renewed(1, { ttlMs: 1000, atMs: 1300 });
  expect(ends.violations).toHaveLength(1);
});

it('a lease that nobody keeps alive and that does not end is wrong, in time without faults', () => {
  ends.renewed(1, { ttlMs: 1000, atMs: 0 });
  clocks.nowMs = 60_000;
  expect(ends.lingering()).toEqual([]);
  clocks.calmMs = 6500;
  expect(ends.lingering()).toHaveLength(1);
  ends.touched(1, 1000);
  expect(ends.lingering()).toEqual([]);
  clocks.calmMs = 20_000;
  ends.seenEnded(1);
  expect(ends.lingering()).toEqual([]);
});
