import { describe, expect, it } from 'vitest';
import { median, percentiles, ratioInterval } from '../../bench/figures.mjs';

describe('the figures of the benchmark', () => {
  it('a median is the middle one, or between the two in the middle', () => {
    expect(median([9, 1, 2])).toBe(2);
    expect(median([9, 1, 2, 4])).toBe(3);
  });

  it('a median of nothing is an error, so that a run that measured nothing cannot look like one', () => {
    expect(() => median([])).toThrow('Nothing was measured.');
  });

  it('all but one in a hundred are up to the 99th percentile, and half up to the 50th', () => {
    const latencies = Array.from({ length: 100 }, (_, number) => 100 - number);
    expect(percentiles(latencies)).toEqual({ p50Ms: 50, p99Ms: 99 });
    expect(percentiles([7])).toEqual({ p50Ms: 7, p99Ms: 7 });
    expect(percentiles([])).toEqual({ p50Ms: Number.NaN, p99Ms: Number.NaN });
  });

  it('a ratio has an interval, which is wide for few ratios and none for equal ones', () => {
    expect(ratioInterval([1.5, 1.5, 1.5])).toEqual({
      mean: expect.closeTo(1.5),
      low: expect.closeTo(1.5),
      high: expect.closeTo(1.5),
    });
    // Logarithms -ln 2 and ln 2: mean 0, standard error ln 2, t of one degree of freedom 12.706.
    const { mean, low, high } = ratioInterval([0.5, 2]);
    expect(mean).toBeCloseTo(1);
    expect(Math.log(high)).toBeCloseTo(12.706 * Math.LN2);
    expect(low * high).toBeCloseTo(1);
    expect(() => ratioInterval([1])).toThrow('at least two');
  });
});
