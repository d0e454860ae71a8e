import type { OrderedStore, Scan, StoreDirectory } from '../../src/storage/ordered-store.js';

export interface StoreObserver {
  /** Called for each record that is looked up in a frozen view. */
  readonly viewRead?: () => void;
  /** Takes the place of each scan, of a store or of a frozen view of it. */
  readonly scan?: (scan: Scan) => Scan;
}

/** The same stores, with an observer between them and whoever opens them. */
export function observedStores(
  directory: StoreDirectory,
  { viewRead = () => {}, scan = (made) => made }: StoreObserver,
): StoreDirectory {
  const observed = (store: OrderedStore): OrderedStore => ({
    get: (key) => store.get(key),
    scan: (range) => scan(store.scan(range)),
    write: (operations) => store.write(operations),
    compact: (range, garbageBytes) => store.compact(range, garbageBytes),
    close: () => store.close(),
    snapshot: () => {
      const view = store.snapshot();
      return {
        get: (key) => {
          viewRead();
          return view.get(key);
        },
        scan: (range) => scan(view.scan(range)),
        close: () => view.close(),
      };
    },
  });
  return {
    list: () => directory.list(),
    remove: (name) => directory.remove(name),
    open: async (name) => observed(await directory.open(name)),
  };
}
