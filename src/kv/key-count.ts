import type { StoreSnapshot } from '../storage/ordered-store.js';
import { currentRange, decodeCurrent } from './record-codec.js';

/** Records that are read in one step, between which the event loop gets a turn. */
const RECORDS_PER_STEP = 512;

/**
 * How many keys exist on disk. Every change says how many keys it adds, and each flush writes the number into the state's first
 * record, where the next start finds it. A state that was flushed below cluster version 2 has no such number. Its keys are
 * counted once, when somebody asks: on a frozen view of the disk, while flushes go on.
 */
export class KeyCount {
  #onDisk: number | undefined;
  /** Keys that flushes have added since the state was loaded, less those that they deleted. */
  #added = 0;
  #isCounting = false;

  /** @param onDisk What the state's first record says; undefined where it says nothing. */
  constructor(onDisk: number | undefined) {
    this.#onDisk = onDisk;
  }

  /** As of the last flush that has ended; undefined where it is not known. */
  get onDisk(): number | undefined {
    return this.#onDisk;
  }

  /** A flush has ended that added so many keys. */
  flushed(added: number): void {
    this.#added += added;
    if (this.#onDisk !== undefined) this.#onDisk += added;
  }

  /**
   * Counts the keys once, unless the number is known.
   *
   * @param freeze A view of the disk, and how many keys it has from a flush that has not ended.
   * @param hasEnded Whether the state is closed or abandoned: then the counting ends.
   */
  async count(
    freeze: () => { readonly disk: StoreSnapshot; readonly addedAhead: number },
    hasEnded: () => boolean,
  ): Promise<void> {
    if (this.#isCounting || this.#onDisk !== undefined) return;
    this.#isCounting = true;
    const { disk, addedAhead } = freeze();
    const addedInView = this.#added + addedAhead;
    try {
      const counted = await countIn(disk, hasEnded);
      if (counted !== undefined) this.#onDisk = counted + this.#added - addedInView;
    } finally {
      await disk.close();
    }
  }
}

async function countIn(disk: StoreSnapshot, hasEnded: () => boolean): Promise<number | undefined> {
  const scan = disk.scan(currentRange(new Uint8Array(0), undefined));
  try {
    let count = 0;
    while (!hasEnded()) {
      const pairs = await scan.next(RECORDS_PER_STEP);
      if (pairs.length === 0) return count;
      // Below cluster version 2 tombstones stand among the keys that exist.
      for (const { value } of pairs) if (!decodeCurrent(value).deleted) count += 1;
    }
    return undefined;
  } finally {
    await scan.close();
  }
}
