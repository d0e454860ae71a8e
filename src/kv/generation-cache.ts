import type { KeyId } from './sorted-map.js';

/** What an entry takes besides its key and its value, roughly. */
const ENTRY_BYTES = 350;

/**
 * A bounded memory of what was used lately, in two generations. When the younger is full it takes the place of the older,
 * whose entries are dropped. An entry that is used again moves to the younger; that is all the bookkeeping there is.
 */
export class GenerationCache<Value> {
  readonly #bytesMax: number;
  readonly #valueBytes: (value: Value) => number;
  #younger = new Map<KeyId, Value>();
  #older = new Map<KeyId, Value>();
  /** Of the younger; an entry that was set twice counts twice. */
  #bytes = 0;

  /**
   * @param bytesMax What the entries of one generation may take together, roughly and the last one excepted.
   * @param valueBytes What of a value is not counted for every entry.
   */
  constructor(bytesMax: number, valueBytes: (value: Value) => number = () => 0) {
    this.#bytesMax = bytesMax;
    this.#valueBytes = valueBytes;
  }

  get(id: KeyId): Value | undefined {
    const value = this.#younger.get(id);
    if (value !== undefined) return value;
    const older = this.#older.get(id);
    if (older !== undefined) this.set(id, older);
    return older;
  }

  set(id: KeyId, value: Value): void {
    if (this.#bytes >= this.#bytesMax) {
      this.#older = this.#younger;
      this.#younger = new Map();
      this.#bytes = 0;
    }
    this.#younger.set(id, value);
    this.#bytes += id.length + ENTRY_BYTES + this.#valueBytes(value);
  }
}
