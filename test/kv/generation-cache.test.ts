import { describe, expect, it } from 'vitest';
import { GenerationCache } from '../../src/kv/generation-cache.js';

/** So large that nothing else counts. */
const UNIT = 1_000_000;
/** A cache whose generations are full with so many of these values. */
const cacheOf = (units: number) => new GenerationCache<number>(units * UNIT, () => UNIT);

describe('a cache of two generations', () => {
  it('keeps what was used since the generation before last was begun, and nothing else', () => {
    const cache = cacheOf(2);
    const seen = (...ids: string[]) => ids.map((id) => cache.get(id));
    cache.set('a', 1);
    cache.set('b', 2);
    cache.set('c', 3);
    // Asking for "a" brings it into the younger generation, which is full with it.
    expect(seen('a')).toEqual([1]);
    cache.set('d', 4);
    expect(seen('b')).toEqual([undefined]);
    expect(seen('a', 'c', 'd')).toEqual([1, 3, 4]);
  });

  it('has the last of two values', () => {
    const cache = cacheOf(10);
    cache.set('a', 1);
    cache.set('a', 2);
    expect(cache.get('a')).toBe(2);
  });

  it('is bounded by weight, however large the values are', () => {
    const cache = new GenerationCache<number>(10 * UNIT, () => 4 * UNIT);
    for (let id = 0; id < 100; id += 1) cache.set(`${id}`, id);
    const kept = Array.from({ length: 100 }, (_, id) => cache.get(`${id}`)).filter(
      (value) => value !== undefined,
    );
    expect(kept.length).toBeLessThanOrEqual(6);
    expect(kept).toContain(99);
  });

  it('counts keys, too, which may be longer than what they stand for', () => {
    const cache = new GenerationCache<number>(10 * UNIT);
    const ids = Array.from({ length: 100 }, (_, number) => `${number}`.padStart(4 * UNIT, '-'));
    for (const id of ids) cache.set(id, 1);
    const kept = ids.filter((id) => cache.get(id) !== undefined);
    expect(kept.length).toBeLessThanOrEqual(6);
  });
});
