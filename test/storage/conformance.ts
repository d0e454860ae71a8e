import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type {
  KeyRange,
  Operation,
  OrderedStore,
  Pair,
  Scan,
  StoreDirectory,
} from '../../src/storage/ordered-store.js';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const text = (value: Uint8Array | undefined): string | undefined =>
  value && Buffer.from(value).toString('latin1');
const put = (key: string, value: string): Operation => ({
  kind: 'put',
  key: bytes(key),
  value: bytes(value),
});
const remove = (key: string): Operation => ({ kind: 'delete', key: bytes(key) });

async function drain(scan: Scan, countMax = 3): Promise<string[]> {
  const pairs: Pair[] = [];
  for (;;) {
    const next = await scan.next(countMax);
    expect(next.length).toBeLessThanOrEqual(countMax);
    if (next.length === 0) break;
    pairs.push(...next);
  }
  await scan.close();
  return pairs.map((pair) => `${text(pair.key)}=${text(pair.value)}`);
}

/** What a directory for the suite needs: made anew for each test, and taken away after it. */
export interface TestDirectory {
  readonly directory: StoreDirectory;
  dispose(): Promise<void>;
}

/** The one suite for all implementations of `OrderedStore` and `StoreDirectory`. */
export function testOrderedStore(name: string, make: () => Promise<TestDirectory>): void {
  describe(`an ordered store in ${name}`, () => {
    let place: TestDirectory;
    let store: OrderedStore;

    beforeEach(async () => {
      place = await make();
      store = await place.directory.open('state');
    });

    afterEach(async () => {
      await store.close();
      await place.dispose();
    });

    it('gives back what was put, and nothing for what was not', async () => {
      await store.write([put('a', '1'), put('empty', '')]);
      expect(text(store.get(bytes('a')))).toBe('1');
      expect(text(store.get(bytes('empty')))).toBe('');
      expect(store.get(bytes('b'))).toBeUndefined();
    });

    it('performs the operations of a batch in their order', async () => {
      await store.write([put('a', '1'), remove('a'), put('b', '1'), put('b', '2'), remove('nothing')]);
      expect(await drain(store.scan({}))).toEqual(['b=2']);
      await store.write([remove('b'), put('b', '3')]);
      expect(await drain(store.scan({}))).toEqual(['b=3']);
      await store.write([]);
    });

    it('orders keys by their bytes', async () => {
      const keys = ['\xff', 'b', 'a\x00', '', 'a', '\x00', 'a\xff', 'aa', '\x7f', '\x80'].filter(
        (key) => key !== '',
      );
      await store.write(keys.map((key) => put(key, '')));
      expect(await drain(store.scan({}))).toEqual([...keys].sort().map((key) => `${key}=`));
    });

    it('scans from the lower bound to before the upper one, in steps', async () => {
      await store.write(['a', 'b', 'c', 'd', 'e', 'f'].map((key) => put(key, key)));
      expect(await drain(store.scan({ gte: bytes('b'), lt: bytes('e') }), 2)).toEqual(['b=b', 'c=c', 'd=d']);
      expect(await drain(store.scan({ gte: bytes('bb') }))).toEqual(['c=c', 'd=d', 'e=e', 'f=f']);
      expect(await drain(store.scan({ lt: bytes('b') }))).toEqual(['a=a']);
      expect(await drain(store.scan({ gte: bytes('e'), lt: bytes('b') }))).toEqual([]);
      expect(await drain(store.scan({ gte: bytes('x') }))).toEqual([]);
    });

    it('row 25: shows a scan what was there when it was made', async () => {
      await store.write([put('a', '1'), put('b', '1')]);
      const scan = store.scan({});
      await store.write([put('a', '2'), remove('b'), put('c', '2')]);
      expect(await drain(scan, 1)).toEqual(['a=1', 'b=1']);
    });

    it('row 25: freezes a snapshot, however many writes follow', async () => {
      await store.write([put('a', '1'), put('b', '1')]);
      const snapshot = store.snapshot();
      await store.write([put('a', '2'), remove('b')]);
      await store.write([put('c', '3')]);
      expect(text(snapshot.get(bytes('a')))).toBe('1');
      expect(snapshot.get(bytes('c'))).toBeUndefined();
      expect(await drain(snapshot.scan({}))).toEqual(['a=1', 'b=1']);
      expect(await drain(store.scan({}))).toEqual(['a=2', 'c=3']);
      await snapshot.close();
      await snapshot.close();
    });

    it('lets a scan be closed early and twice', async () => {
      await store.write([put('a', '1'), put('b', '1')]);
      const scan = store.scan({});
      await scan.next(1);
      await scan.close();
      await scan.close();
    });

    it('keeps what was written when it is closed and opened again', async () => {
      await store.write([put('a', '1')]);
      await store.write([put('b', '2'), remove('a')]);
      await store.close();
      store = await place.directory.open('state');
      expect(await drain(store.scan({}))).toEqual(['b=2']);
    });

    it('waits at close for a write in flight and for open scans', async () => {
      const second = await place.directory.open('second');
      const order: string[] = [];
      const written = second.write([put('a', '1')]).then(() => order.push('written'));
      const scan = second.scan({});
      const closed = second.close().then(() => order.push('closed'));
      await written;
      order.push('scan closes');
      await scan.close();
      await closed;
      expect(order).toEqual(['written', 'scan closes', 'closed']);
    });

    it('keeps stores apart, lists them and removes them', async () => {
      const { directory } = place;
      const other = await directory.open('state-2');
      await other.write([put('a', 'other')]);
      expect(store.get(bytes('a'))).toBeUndefined();
      await other.close();
      expect(await directory.list()).toEqual(['state', 'state-2']);
      await directory.remove('state-2');
      await directory.remove('never-there');
      expect(await directory.list()).toEqual(['state']);
      const again = await directory.open('state-2');
      expect(again.get(bytes('a'))).toBeUndefined();
      await again.close();
    });

    it('refuses to open a store twice', async () => {
      await expect(place.directory.open('state')).rejects.toMatchObject({ code: 'storage_unusable' });
    });

    it('is what a plain sorted map is, over any batches', async () => {
      const key = fc.constantFrom('a', 'b', 'c', 'ab', '\x00', '\xff', 'a\x00');
      const batch = fc.array(fc.tuple(key, fc.option(fc.string({ maxLength: 3 }))), {
        maxLength: 8,
        size: 'max',
      });
      const bound = fc.option(key, { nil: undefined });
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(batch, bound, bound), { maxLength: 8, size: 'max' }),
          async (rounds) => {
            await store.write((await allKeys(store)).map((one) => ({ kind: 'delete', key: one })));
            const model = new Map<string, string>();
            for (const [operations, gte, lt] of rounds) {
              for (const [one, value] of operations) {
                if (value === null) model.delete(one);
                else model.set(one, text(bytes(value)) ?? '');
              }
              await store.write(
                operations.map(([one, value]) => (value === null ? remove(one) : put(one, value))),
              );
              const range: KeyRange = { ...(gte && { gte: bytes(gte) }), ...(lt && { lt: bytes(lt) }) };
              const expected = [...model]
                .filter(([one]) => (gte === undefined || one >= gte) && (lt === undefined || one < lt))
                .sort(([a], [b]) => (a < b ? -1 : 1));
              expect(await drain(store.scan(range))).toEqual(
                expected.map(([one, value]) => `${one}=${value}`),
              );
            }
          },
        ),
        { numRuns: 30 },
      );
    });
  });
}

async function allKeys(store: OrderedStore): Promise<Uint8Array[]> {
  const scan = store.scan({});
  const pairs = await scan.next(1000);
  await scan.close();
  return pairs.map((pair) => pair.key);
}
