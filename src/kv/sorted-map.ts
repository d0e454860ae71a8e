/** A key as a string of one character a byte: it can be looked up, and its order is the order of the bytes. */
export type KeyId = string;

/** What is sorted or merged in one turn of the event loop: about 2 ms, where sorting a full write buffer takes 30 to 100 ms. */
const SORTED_PER_TURN = 64 * 1024;
const MERGED_PER_TURN = 256 * 1024;
/** What handling an id costs beside its characters, which are compared: long ones with a common beginning take longest. */
const ID_COST = 64;

/** Resolves in another turn of the event loop. */
export type Turn = () => Promise<void>;

/** A map that only grows, and whose ids can also be read in byte order. */
export class SortedMap<Value> {
  readonly #values = new Map<KeyId, Value>();
  #sorted: readonly KeyId[] = [];
  /** Ids that came since they were last sorted. */
  #unsorted: KeyId[] = [];
  /** While ids are sorted. */
  #sorting: Promise<void> | undefined;

  get(id: KeyId): Value | undefined {
    return this.#values.get(id);
  }

  set(id: KeyId, value: Value): void {
    const { size } = this.#values;
    this.#values.set(id, value);
    if (this.#values.size > size) this.#unsorted.push(id);
  }

  entries(): IterableIterator<[KeyId, Value]> {
    return this.#values.entries();
  }

  values(): IterableIterator<Value> {
    return this.#values.values();
  }

  /**
   * All ids that are there when it is called, and perhaps some that came since, in byte order. The array does not change when more
   * are added. Many ids are sorted over several turns of the event loop.
   */
  async sortedIds(turn: Turn): Promise<readonly KeyId[]> {
    const { size } = this.#values;
    // Each round takes all ids that have come by then, so two are enough.
    while (this.#sorted.length < size) {
      this.#sorting ??= this.#sort(turn);
      await this.#sorting;
    }
    return this.#sorted;
  }

  async #sort(turn: Turn): Promise<void> {
    const added = this.#unsorted;
    this.#unsorted = [];
    let runs: (readonly KeyId[])[] = [];
    for (let at = 0; at < added.length; ) {
      const end = endOfSlice(added, at);
      runs.push(added.slice(at, end).sort());
      at = end;
      if (at < added.length) await turn();
    }
    const merger = new Merger(turn);
    while (runs.length > 1) {
      const merged: (readonly KeyId[])[] = [];
      for (let at = 0; at < runs.length; at += 2)
        merged.push(await merger.merge(runs[at] ?? [], runs[at + 1] ?? []));
      runs = merged;
    }
    this.#sorted = await merger.merge(this.#sorted, runs[0] ?? []);
    this.#sorting = undefined;
  }
}

/** Where the ids end, of those from `start` on, that are sorted in one turn: one at least. */
function endOfSlice(ids: readonly KeyId[], start: number): number {
  let cost = 0;
  let at = start;
  for (let id = ids[at]; id !== undefined && cost < SORTED_PER_TURN; id = ids[at]) {
    cost += ID_COST + id.length;
    at += 1;
  }
  return at;
}

/** Merges sorted ids, with turns of the event loop after so many, over all merges. */
class Merger {
  readonly #turn: Turn;
  #cost = 0;

  constructor(turn: Turn) {
    this.#turn = turn;
  }

  async merge(left: readonly KeyId[], right: readonly KeyId[]): Promise<readonly KeyId[]> {
    const merged: KeyId[] = [];
    let leftAt = 0;
    let rightAt = 0;
    for (;;) {
      const one = left[leftAt];
      const other = right[rightAt];
      if (one === undefined) return merged.concat(right.slice(rightAt));
      if (other === undefined) return merged.concat(left.slice(leftAt));
      const isFirst = one < other;
      if (isFirst) leftAt += 1;
      else rightAt += 1;
      const next = isFirst ? one : other;
      merged.push(next);
      this.#cost += ID_COST + next.length;
      if (this.#cost >= MERGED_PER_TURN) {
        this.#cost = 0;
        await this.#turn();
      }
    }
  }
}
