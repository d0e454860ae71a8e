/**
 * The ordered key-value store that lies under both the log and the state: LevelDB in production, an in-memory
 * twin in tests and in the simulator. One conformance suite (test/storage/conformance.ts) runs on both.
 *
 * Keys and values are bytes; keys are ordered bytewise. The caller never changes bytes that it has handed in or
 * was handed out.
 */
export type Operation =
  | { readonly kind: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: Uint8Array };

/** Bounds of a scan; an absent bound is open. */
export interface KeyRange {
  readonly gte?: Uint8Array;
  readonly lt?: Uint8Array;
}

export interface Pair {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A forward cursor over one consistent view of the store, taken when the scan was made. */
export interface Scan {
  /** The next pairs in key order: at least one and at most `countMax`, or none at the end. */
  next(countMax: number): Promise<readonly Pair[]>;
  /** Frees the view; may be called at any time and more than once. */
  close(): Promise<void>;
}

/** A frozen view of the store, unaffected by later writes. */
export interface StoreSnapshot {
  get(key: Uint8Array): Uint8Array | undefined;
  scan(range: KeyRange): Scan;
  close(): Promise<void>;
}

export interface OrderedStore {
  /**
   * The value under `key`, or undefined. Synchronous: the state machine reads while it applies, and a LevelDB
   * read that is served from memory costs less than a turn through the thread pool.
   */
  get(key: Uint8Array): Uint8Array | undefined;
  scan(range: KeyRange): Scan;
  snapshot(): StoreSnapshot;
  /**
   * Writes all operations as one atomic batch and resolves when they are on disk (always synced). They may be made
   * while they are read, over several turns of the event loop, so what they are made of must not change. After a
   * rejection the batch may or may not be on disk, so the caller must end the process, or close the store and read anew what it
   * holds (correctness rule 30). Rejects with `no_space` where the disk is full.
   */
  write(operations: Iterable<Operation>): Promise<void>;
  /**
   * Gives the room back that deleted records of a range take on disk, where they are a good part of it. Reads and writes go on
   * meanwhile.
   *
   * @param garbageBytes About what the deleted records take.
   */
  compact(range: Required<KeyRange>, garbageBytes: number): Promise<void>;
  /** Waits for a write in flight and for open scans to be freed. The store cannot be used afterwards. */
  close(): Promise<void>;
}

/** The data directory of one node: a place for named stores. */
export interface StoreDirectory {
  /** Opens the store, making it when it is not there. Throws `storage_unusable`, or `no_space` where the disk is full. */
  open(name: string): Promise<OrderedStore>;
  /** The names of the stores that exist. */
  list(): Promise<readonly string[]>;
  /** Deletes a store that is not open; does nothing when it does not exist. */
  remove(name: string): Promise<void>;
}
