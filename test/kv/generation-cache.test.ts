import { describe, expect, it } from 'vitest';
import { GenerationCache } from '../../src/kv/generation-cache.js';

describe('a cache of two generations', () => {
  it('keeps what was used since the generation before last was begun, and nothing else', () => {
    const cache = new GenerationCache<number>(2);
    const seen = (...ids: string[]) => ids.map((id) => cache.get(id));
    cache.set('a', 1, 1);
    cache.set('b', 2, 1);
    cache.set('c', 3, 1);
    // Asking for "a" brings it into the younger generation, which is full with it.
    expect(seen('a')).toEqual([1]);
    cache.set('d', 4, 1);
    expect(seen('b')).toEqual([undefined]);
    expect(seen('a', 'c', 'd')).toEqual([1, 3, 4]);
  });

  it('has the last of two values', () => {
    const cache = new GenerationCache<number>(10);
    cache.set('a', 1, 1);
    cache.set('a', 2, 1);
    expect(cache.get('a')).toBe(2);
  });

  it('is bounded by weight, however large the values are', () => {
    const cache = new GenerationCache<number>(10);
    for (let id = 0; id < 100; id += 1) cache.set(`${id}`, id, 4);
    const kept = Array.from({ length: 100 }, (_, id) => cache.get(`${id}`)).filter(
      (value) => value !== undefined,
    );
    expect(kept.length).toBeLessThanOrEqual(6);
    expect(kept).toContain(99);
  });
});
