import type { Pair, Scan } from '../storage/ordered-store.js';
import type { KeyId, SortedMap, Turn } from './sorted-map.js';

/** Steps that one read of the disk gives. Each read takes a turn of the event loop, which may be a long one. */
const STEPS_PER_READ = 4;

/** How what lies in buffers and on disk is told apart and read. */
export interface Walked<Value, Found> {
  /** The id under which a pair on disk would stand in a buffer. */
  idOf(pair: Pair): KeyId;
  fromBuffer(id: KeyId, value: Value): Found;
  fromDisk(id: KeyId, pair: Pair): Found;
}

/**
 * What stands under ids with the prefix, or under those of them after another, in byte order and a bounded number at a
 * time: from buffers, the newest first, laid over what a scan gives of the same ids. Closes the scan.
 *
 * Ids in buffers are sorted once for all walks, so the pauses of sorting are `turn`'s. Before each step of `stepSize` ids, a walk
 * waits for `step`.
 */
export async function* mergedWalk<Value, Found>(
  buffers: readonly SortedMap<Value>[],
  scan: Scan,
  {
    prefix,
    after,
    turn,
    step,
    stepSize,
  }: {
    readonly prefix: KeyId;
    readonly after?: KeyId | undefined;
    readonly turn: Turn;
    readonly step: Turn;
    readonly stepSize: number;
  },
  walked: Walked<Value, Found>,
): AsyncGenerator<readonly Found[]> {
  try {
    const buffered = await BufferCursor.over(buffers, prefix, after, turn, walked.fromBuffer);
    for (;;) {
      const pairs = await scan.next(STEPS_PER_READ * stepSize);
      if (pairs.length === 0) break;
      await step();
      let found: Found[] = [];
      for (const pair of pairs) {
        const id = walked.idOf(pair);
        for (;;) {
          buffered.takeBefore(id, stepSize, found);
          if (found.length < stepSize) break;
          yield found;
          found = [];
          await step();
        }
        found.push(buffered.take(id) ?? walked.fromDisk(id, pair));
      }
      if (found.length > 0) yield found;
    }
    while (buffered.peek() !== undefined) {
      await step();
      const found: Found[] = [];
      buffered.takeBefore(undefined, stepSize, found);
      yield found;
    }
  } finally {
    await scan.close();
  }
}

/** Where a cursor is in one buffer. */
interface Place<Value> {
  readonly buffer: SortedMap<Value>;
  readonly ids: readonly KeyId[];
  at: number;
}

/** Walks several buffers in the order of ids; what is in two of them is taken from the newer. */
class BufferCursor<Value, Found> {
  readonly #places: Place<Value>[];
  readonly #prefix: KeyId;
  readonly #toFound: (id: KeyId, value: Value) => Found;

  private constructor(places: Place<Value>[], prefix: KeyId, toFound: (id: KeyId, value: Value) => Found) {
    this.#places = places;
    this.#prefix = prefix;
    this.#toFound = toFound;
  }

  static async over<Value, Found>(
    buffers: readonly SortedMap<Value>[],
    prefix: KeyId,
    after: KeyId | undefined,
    turn: Turn,
    toFound: (id: KeyId, value: Value) => Found,
  ): Promise<BufferCursor<Value, Found>> {
    // The smallest string after another one is that string and a zero character.
    const from = after !== undefined && after >= prefix ? `${after}\0` : prefix;
    const places: Place<Value>[] = [];
    for (const buffer of buffers) {
      const ids = await buffer.sortedIds(turn);
      places.push({ buffer, ids, at: firstAtLeast(ids, from) });
    }
    return new BufferCursor(places, prefix, toFound);
  }

  /** The next id, or undefined at the end. */
  peek(): KeyId | undefined {
    let least: KeyId | undefined;
    for (const { ids, at } of this.#places) {
      const id = ids[at];
      if (id?.startsWith(this.#prefix) && (least === undefined || id < least)) least = id;
    }
    return least;
  }

  /** Takes what stands under the next id if it is this one. */
  take(id: KeyId): Found | undefined {
    let taken: Value | undefined;
    for (const place of this.#places) {
      if (place.ids[place.at] !== id) continue;
      taken ??= place.buffer.get(id);
      place.at += 1;
    }
    return taken && this.#toFound(id, taken);
  }

  /** Takes what stands before `end`, or all, as long as `found` has less than `countMax`. */
  takeBefore(end: KeyId | undefined, countMax: number, found: Found[]): void {
    while (found.length < countMax) {
      const id = this.peek();
      if (id === undefined || (end !== undefined && id >= end)) return;
      const taken = this.take(id);
      if (taken !== undefined) found.push(taken);
    }
  }
}

function firstAtLeast(ids: readonly KeyId[], least: KeyId): number {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ids[middle] ?? least) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
