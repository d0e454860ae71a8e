import type { StoreSnapshot } from '../storage/ordered-store.js';
import { stateDamaged } from './damage.js';
import { differenceOf, type LiveTotals } from './live-sums.js';
import { LiveWalk, type LiveWalkParts, PIECE_RECORDS } from './live-walk.js';
import type { WriteBuffer } from './write-buffer.js';

/** Called after each piece of a walk, with how much was read; the next piece begins when it resolves. */
export type Rest = (records: number, bytes: number) => Promise<void>;

/**
 * The number of the keys on disk and the sums of their records, known without reading the keys. Every change says what it adds, and
 * each flush writes the totals into the state's first record, where the next start finds them. A state that was flushed below
 * cluster version 2 has none; its keys are counted once, when somebody asks.
 */
export class LiveRecords {
  #onDisk: LiveTotals | undefined;
  #isCounting = false;
  readonly #walks = new Set<LiveWalk>();
  readonly #freeze: (begun: () => void) => Promise<StoreSnapshot | undefined>;

  /**
   * @param onDisk What the state's first record says; undefined where it says nothing.
   * @param freeze See the walk.
   */
  constructor(
    onDisk: LiveTotals | undefined,
    freeze: (begun: () => void) => Promise<StoreSnapshot | undefined>,
  ) {
    this.#onDisk = onDisk;
    this.#freeze = freeze;
  }

  /** As of the last flush that has ended; undefined where it is not known. Never changed in place. */
  get onDisk(): LiveTotals | undefined {
    return this.#onDisk;
  }

  /** A flush has ended. */
  flushed(buffer: WriteBuffer): void {
    this.#onDisk = this.#onDisk?.plus(buffer.added);
    for (const walk of this.#walks) walk.flushed(buffer);
  }

  /** Reads all keys once, unless the totals are known. */
  async count(): Promise<void> {
    if (this.#isCounting || this.#onDisk !== undefined) return;
    this.#isCounting = true;
    const parts = { checksVersions: false, pieceRecords: PIECE_RECORDS, rest: async () => {} };
    await this.#walk(parts, (walked) => {
      this.#onDisk = walked;
    });
  }

  /**
   * Reads all records of keys and their versions, and compares them with each other and with the totals, where these are known. Throws
   * `storage_damaged`.
   *
   * @param pieceRecords Records of a piece; only tests have fewer.
   */
  check(rest: Rest, pieceRecords = PIECE_RECORDS): Promise<void> {
    return this.#walk({ checksVersions: true, pieceRecords, rest }, (walked) => {
      const difference = this.#onDisk && differenceOf(walked, this.#onDisk);
      if (difference !== undefined) throw stateDamaged(difference);
    });
  }

  async #walk(parts: Omit<LiveWalkParts, 'freeze'>, compare: (walked: LiveTotals) => void): Promise<void> {
    const walk = new LiveWalk({ ...parts, freeze: this.#freeze });
    this.#walks.add(walk);
    try {
      await walk.run(compare);
    } finally {
      this.#walks.delete(walk);
    }
  }
}
