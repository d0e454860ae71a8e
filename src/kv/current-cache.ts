import type { Current } from './record-codec.js';
import type { KeyId } from './write-buffer.js';

/**
 * Keys in each of the two generations. When the younger is full it takes the place of the older, whose keys are
 * dropped: they are read from disk again when they are asked for. A key takes about 300 bytes.
 */
const GENERATION_KEYS = 32_768;

/**
 * What is on disk for keys that were changed lately, because those are changed again: reading a record takes longer
 * than all the rest of an apply. What was never there is not remembered, nor what was removed since (a tombstone that
 * is found here and not on disk says the same as none).
 */
export class CurrentCache {
  #younger = new Map<KeyId, Current>();
  #older = new Map<KeyId, Current>();

  get(id: KeyId): Current | undefined {
    const current = this.#younger.get(id);
    if (current !== undefined) return current;
    const older = this.#older.get(id);
    if (older !== undefined) this.set(id, older);
    return older;
  }

  /** Notes what is on disk under a key. */
  set(id: KeyId, current: Current): void {
    if (this.#younger.size >= GENERATION_KEYS) {
      this.#older = this.#younger;
      this.#younger = new Map();
    }
    this.#younger.set(id, current);
  }
}
