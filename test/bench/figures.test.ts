import { describe, expect, it } from 'vitest';
import { median, percentiles } from '../../bench/figures.mjs';

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
});
