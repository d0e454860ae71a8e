/**
 * How much deleted records must take before their room is given back: less is not worth a compaction, and LevelDB's own comes to
 * it in time. It is much less than the bound of history, so that what is over that bound does not stay.
 */
const GARBAGE_BYTES_MIN = 4 * 1024 * 1024;

/** A part of the store that holds deleted records. */
export interface GarbageRange {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
  /** Of deleted records, about. */
  readonly bytes: number;
}

/**
 * Records that were deleted and take room on disk until LevelDB compacts what is around them, by their tag, which is the first
 * byte of their keys. LevelDB looks at sizes alone, so many small deletions, or a few of large records, may stay for long: the
 * room is not given back, and walks pass over them.
 */
export class Garbage {
  readonly #byTag = new Map<number, { least: Uint8Array; most: Uint8Array; bytes: number }>();

  /** A record was deleted that took about so much. */
  add(key: Uint8Array, bytes: number): void {
    const tag = key[0] ?? 0;
    const known = this.#byTag.get(tag);
    if (known === undefined) {
      this.#byTag.set(tag, { least: key, most: key, bytes });
      return;
    }
    known.bytes += bytes;
    if (Buffer.compare(key, known.least) < 0) known.least = key;
    else if (Buffer.compare(key, known.most) > 0) known.most = key;
  }

  /** Those parts of the store that are worth a compaction; they are forgotten here. */
  take(): readonly GarbageRange[] {
    const taken: GarbageRange[] = [];
    for (const [tag, { least, most, bytes }] of this.#byTag) {
      if (bytes < GARBAGE_BYTES_MIN) continue;
      this.#byTag.delete(tag);
      taken.push({ gte: least, lt: Buffer.concat([most, Buffer.of(0)]), bytes });
    }
    return taken;
  }
}
