import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { currentKey, currentRange } from '../../src/kv/record-codec.js';
import { SparseDisk } from '../../src/kv/sparse-disk.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import type { OrderedStore } from '../../src/storage/ordered-store.js';
import { bytes, text } from './model.js';

/** A disk with these keys, and how many scans read it. */
async function diskWith(keys: readonly string[]) {
  const store: OrderedStore = await new MemoryDisk().directory().open('state-1');
  await store.write(
    keys.map((key) => ({ kind: 'put' as const, key: currentKey(bytes(key)), value: bytes('v') })),
  );
  const count = { scans: 0 };
  const sparse = new SparseDisk({
    get: (key) => store.get(key),
    scan: (range) => {
      count.scans += 1;
      return store.scan(range);
    },
  });
  const under = async (prefix: string) => {
    const scan = sparse.scan(currentRange(bytes(prefix), undefined));
    const found: string[] = [];
    for (;;) {
      const pairs = await scan.next(2);
      if (pairs.length === 0) break;
      found.push(...pairs.map(({ key }) => text(key.subarray(1))));
    }
    await scan.close();
    return found;
  };
  return { count, under };
}

describe('a disk that remembers where it found nothing', () => {
  it('is not asked again for what lies before the next record', async () => {
    const { count, under } = await diskWith(['a', 'p/z']);
    for (let number = 100; number < 200; number += 1) expect(await under(`p/${number}`)).toEqual([]);
    // One found nothing, and one asked what comes next.
    expect(count.scans).toBe(2);
    expect(await under('p/z')).toEqual(['p/z']);
  });

  it('is scanned once for each prefix while all of them have keys', async () => {
    const keys = ['a', 'b', 'c'];
    const { count, under } = await diskWith(keys);
    for (const key of keys) expect(await under(key)).toEqual([key]);
    expect(count.scans).toBe(keys.length);
  });

  it('finds what there is, in whatever order prefixes are walked', async () => {
    const word = fc.stringMatching(/^[abc]{0,3}$/);
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(word), fc.array(word), async (keys, prefixes) => {
        const { under } = await diskWith(keys);
        const sorted = [...keys].sort();
        for (const prefix of prefixes)
          expect(await under(prefix)).toEqual(sorted.filter((key) => key.startsWith(prefix)));
      }),
    );
  });
});
