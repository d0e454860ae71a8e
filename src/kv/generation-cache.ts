import type { KeyId } from './write-buffer.js';

/**
 * A bounded memory of what was used lately, in two generations. When the younger is full it takes the place of the older,
 * whose entries are dropped. An entry that is used again moves to the younger; that is all the bookkeeping there is.
 */
export class GenerationCache<Value> {
  readonly #weightMax: number;
  #younger = new Map<KeyId, Entry<Value>>();
  #older = new Map<KeyId, Entry<Value>>();
  /** Of the younger; an entry that was set twice counts twice. */
  #weight = 0;

  /** @param weightMax What the entries of one generation may weigh together, the last one excepted. */
  constructor(weightMax: number) {
    this.#weightMax = weightMax;
  }

  get(id: KeyId): Value | undefined {
    const entry = this.#younger.get(id);
    if (entry !== undefined) return entry.value;
    const older = this.#older.get(id);
    if (older === undefined) return undefined;
    this.set(id, older.value, older.weight);
    return older.value;
  }

  set(id: KeyId, value: Value, weight: number): void {
    if (this.#weight >= this.#weightMax) {
      this.#older = this.#younger;
      this.#younger = new Map();
      this.#weight = 0;
    }
    this.#younger.set(id, { value, weight });
    this.#weight += weight;
  }
}

interface Entry<Value> {
  readonly value: Value;
  readonly weight: number;
}
