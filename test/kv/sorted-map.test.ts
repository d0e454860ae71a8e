import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type KeyId, SortedMap } from '../../src/kv/sorted-map.js';

/** A turn of the event loop, and what every turn so far sorted or merged: nothing else compares ids. */
function counted() {
  let turns = 0;
  const turn = () => {
    turns += 1;
    return Promise.resolve();
  };
  return { turn, count: () => turns };
}

/** The same ids on every run, in no order. */
function idsOf(count: number, prefix = ''): KeyId[] {
  return Array.from({ length: count }, (_, at) => prefix + ((at * 7919) % 1_000_003).toString(36));
}

function mapOf(ids: readonly KeyId[]): SortedMap<number> {
  const map = new SortedMap<number>();
  ids.forEach((id, at) => {
    map.set(id, at);
  });
  return map;
}

describe('a map whose ids are sorted', () => {
  it('gives them in byte order, however they came', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(fc.string({ unit: 'binary-ascii' }))), async (batches) => {
        const map = new SortedMap<number>();
        const expected = new Set<string>();
        for (const batch of batches) {
          for (const id of batch) {
            map.set(id, 1);
            expected.add(id);
          }
          expect(await map.sortedIds(() => Promise.resolve())).toEqual([...expected].sort());
        }
      }),
    );
  });

  it.each([
    ['of many short ids', 50_000, ''],
    ['of long ids with a common beginning', 1_500, 'x'.repeat(4_000)],
  ])('sorts a full buffer %s in many slices', async (_, count, prefix) => {
    const ids = idsOf(count, prefix);
    const { turn, count: turns } = counted();
    const map = mapOf(ids);
    expect(await map.sortedIds(turn)).toEqual([...ids].sort());
    const bytes = ids.reduce((sum, id) => sum + 64 + id.length, 0);
    // Every slice of the sorting, and several of the merging after it.
    expect(turns()).toBeGreaterThan(bytes / (64 * 1024) + bytes / (256 * 1024));
    // Nothing is left for the next walk, and one id more is only merged.
    const before = turns();
    await map.sortedIds(turn);
    expect(turns()).toBe(before);
    map.set('new', 0);
    expect((await map.sortedIds(turn)).length).toBe(count + 1);
  });

  it('gives walks that begin meanwhile all ids that there are when they begin, and ends beside a steady writer', async () => {
    const map = mapOf(idsOf(20_000));
    let written = 0;
    // A write in each turn, for as long as anybody sorts.
    const turn = async () => {
      written += 1;
      map.set(`new ${written}`, 0);
    };
    const first = map.sortedIds(turn);
    map.set('early', 0);
    const second = map.sortedIds(turn);
    const [one, two] = await Promise.all([first, second]);
    expect(one.length).toBeGreaterThanOrEqual(20_000);
    expect(two).toContain('early');
    const all = await map.sortedIds(() => Promise.resolve());
    expect(all.length).toBe(20_001 + written);
    expect(all).toEqual([...all].sort());
  });
});
