import { expect, test } from 'vitest';
import { shrink } from '../../src/sim/shrink.js';
import { type Report, simulate } from '../../src/sim/simulation.js';

/** A run of nine faults that fails when all of these are among them. */
async function world(needed: readonly number[]) {
  const passed = await simulate({ seed: 1, nodeCount: 1, faults: [] });
  return async (faults: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8, 9]): Promise<Report> => {
    const fails = needed.every((fault) => faults.includes(fault));
    return {
      ...passed,
      faultCount: 9,
      property: fails ? 'Progress' : null,
      failure: fails ? 'Progress: no' : null,
    };
  };
}

test('a failure is shrunk to the faults that it needs', async () => {
  const shrunk = await shrink(await world([3, 8]));
  expect(shrunk?.faults).toEqual([3, 8]);
  expect(shrunk?.report.property).toBe('Progress');
});

test('one that needs no fault at all keeps none, and what passes is not shrunk', async () => {
  expect((await shrink(await world([])))?.faults).toEqual([]);
  expect(await shrink(await world([10]))).toBeNull();
});

test('leaving a fault out changes nothing before it', async () => {
  const lines = async (faults?: readonly number[]) => {
    const all: string[] = [];
    await simulate({ seed: 21, nodeCount: 3, faults, writeLine: (line) => all.push(line) });
    return all;
  };
  const whole = await lines();
  const third = whole.findIndex((line) => line.includes('! fault 3:'));
  expect(third).toBeGreaterThan(0);
  expect((await lines([1, 2])).slice(0, third)).toEqual(whole.slice(0, third));
});
