import { expect, it } from 'vitest';
import { Arrivals } from '../../src/transport/arrivals.js';
import { ARRIVALS_BURST, ARRIVALS_PER_SECOND } from '../../src/transport/limits.js';

/** How many of so many connections are admitted at one time. */
function admitted(arrivals: Arrivals, address: string, count: number, nowMs: number): number {
  return Array.from({ length: count }, () => arrivals.admits(address, nowMs)).filter(Boolean).length;
}

it('an address connects so many times at once, and then at a steady pace', () => {
  const arrivals = new Arrivals();
  expect(admitted(arrivals, 'a', 2 * ARRIVALS_BURST, 0)).toBe(ARRIVALS_BURST);
  expect(admitted(arrivals, 'a', ARRIVALS_BURST, 100)).toBe(ARRIVALS_PER_SECOND / 10);
  for (let ms = 101; ms < 1100; ms += 1) arrivals.admits('a', ms);
  expect(admitted(arrivals, 'a', 2 * ARRIVALS_BURST, 1_000_000)).toBe(ARRIVALS_BURST);
});

it('an address that connects without end does not keep another out', () => {
  const arrivals = new Arrivals();
  admitted(arrivals, 'a', 2 * ARRIVALS_BURST, 0);
  expect(arrivals.admits('a', 0)).toBe(false);
  expect(admitted(arrivals, 'b', ARRIVALS_BURST, 0)).toBe(ARRIVALS_BURST);
});

it('what addresses it remembers is bounded', () => {
  const arrivals = new Arrivals();
  admitted(arrivals, 'a', ARRIVALS_BURST, 0);
  for (let number = 0; number < 1_000; number += 1) arrivals.admits(`b${number}`, 0);
  expect(arrivals.admits('a', 0)).toBe(true);
});
