import type { AnswerRecord } from './answer-records.js';

/** How large an index may become. */
export interface IndexBounds {
  /** Past so many tables, the answers in the oldest are to be filed: see {@link AnswerIndex.surplus}. */
  readonly tablesMax: number;
  /** Slots of a table, a power of two. The first has a quarter. */
  readonly slotsMax: number;
}

/**
 * Tables of 4 MiB for 780,000 answers each, or for as many records, where those are large: all of them take 28 MiB, for nearly five
 * million answers. Few large tables, because a key that is new is looked for in each, and nearly every look is a miss of the processor's
 * caches.
 */
export const INDEX_BOUNDS: IndexBounds = { tablesMax: 6, slotsMax: 2 ** 20 };

/** A table is full at this many records, too, whose places in it take the lower half of a slot. */
const RECORDS_MAX = 2 ** 16;
const FIRST_SHARE = 1 / 4;
const SLOTS_MIN = 4;
/** With more keys the search for one that is not there would be long. */
const FILLED_SHARE = 3 / 4;
const NOTHING: readonly AnswerRecord[] = [];

/** Some records that follow one another, and in which of them each key is. */
class Table {
  /** Open addressing: the upper half of a slot is a part of the key's hash, the lower one its record. 0 is empty. */
  readonly slots: Uint32Array;
  readonly records: AnswerRecord[] = [];
  #newest: AnswerRecord | undefined;
  #free: number;

  constructor(slotCount: number) {
    this.slots = new Uint32Array(slotCount);
    this.#free = FILLED_SHARE * slotCount;
  }

  /** Whether there was room. */
  add(place: number, tag: number, record: AnswerRecord): boolean {
    if (this.#free === 0) return false;
    const { slots, records } = this;
    if (record !== this.#newest) {
      if (records.length === RECORDS_MAX) return false;
      records.push(record);
      this.#newest = record;
    }
    const mask = slots.length - 1;
    let at = place & mask;
    while (slots[at] !== 0) at = (at + 1) & mask;
    slots[at] = (tag << 16) | (records.length - 1);
    this.#free -= 1;
    return true;
  }

  get lastNumber(): number {
    return this.#newest?.lastNumber ?? 0;
  }
}

/**
 * In which record of the journal of answers a key may be: in the one that holds it, and once in some hundred times or less
 * in another, since only a part of a hash is kept, in 5 to 6 bytes a key. Records come and go in the order of the journal, so
 * keys are in tables that fill one after the other and are dropped as a whole.
 */
export class AnswerIndex {
  readonly #bounds: IndexBounds;
  /** The oldest first. */
  #tables: Table[] = [];
  /** Different in every process, so that keys that collide cannot be prepared. What is found does not depend on it. */
  readonly #seed = Math.floor(Math.random() * 2 ** 32) | 0;
  /** Of the key that was hashed last. */
  #place = 0;
  #tag = 0;

  constructor(bounds: IndexBounds) {
    this.#bounds = bounds;
  }

  /** Adds a key of the newest record. */
  add(key: string, record: AnswerRecord): void {
    this.#hash(key);
    const newest = this.#tables.at(-1);
    if (newest?.add(this.#place, this.#tag, record)) return;
    const { slotsMax } = this.#bounds;
    const table = new Table(newest === undefined ? Math.max(SLOTS_MIN, slotsMax * FIRST_SHARE) : slotsMax);
    table.add(this.#place, this.#tag, record);
    this.#tables.push(table);
  }

  /** The records in which a key may be, the newest first. */
  find(key: string): readonly AnswerRecord[] {
    this.#hash(key);
    const tag = this.#tag;
    let found: Set<AnswerRecord> | undefined;
    for (const { slots, records } of this.#tables) {
      const mask = slots.length - 1;
      let at = this.#place & mask;
      for (let slot = slots[at] ?? 0; slot !== 0; slot = slots[at] ?? 0) {
        const record = slot >>> 16 === tag ? records[slot & 0xffff] : undefined;
        if (record !== undefined) found = (found ?? new Set()).add(record);
        at = (at + 1) & mask;
      }
    }
    return found === undefined ? NOTHING : [...found].sort((a, b) => b.lastNumber - a.lastNumber);
  }

  /** When all answers up to this number have left, the index is within its bounds; 0 when it is. */
  get surplus(): number {
    return this.#tables[this.#tables.length - 1 - this.#bounds.tablesMax]?.lastNumber ?? 0;
  }

  /** Forgets records up to this number, as soon as nothing newer is in one table with them. */
  drop(through: number): void {
    this.#tables = this.#tables.filter(({ lastNumber }) => lastNumber > through);
  }

  /** Two hashes side by side, of 32 and 16 bits. */
  #hash(key: string): void {
    let first = this.#seed;
    let second = ~this.#seed;
    for (let at = 0; at < key.length; at += 1) {
      const code = key.charCodeAt(at);
      first = Math.imul(first ^ code, 0x9e3779b1);
      second = Math.imul(second ^ code, 0x5f356495);
    }
    first = Math.imul(first ^ (first >>> 16), 0x85ebca77) ^ second;
    second = Math.imul(second ^ (second >>> 15), 0xc2b2ae3d);
    this.#place = first ^ (first >>> 13);
    // 0 is for an empty slot.
    this.#tag = second >>> 16 || 1;
  }
}
