import type { Pair, Scan } from '../storage/ordered-store.js';

/** Two scans as one, in the order of what follows the first byte of their keys: their keys differ in a tag. */
export class JoinedScan implements Scan {
  readonly #sides: readonly [Side, Side];

  constructor(one: Scan, other: Scan) {
    this.#sides = [new Side(one), new Side(other)];
  }

  async next(countMax: number): Promise<readonly Pair[]> {
    const [one, other] = this.#sides;
    const joined: Pair[] = [];
    while (joined.length < countMax) {
      const first = await one.peek(countMax);
      const second = await other.peek(countMax);
      if (first === undefined && second === undefined) break;
      const isFirst = second === undefined || (first !== undefined && compare(first, second) < 0);
      joined.push((isFirst ? one : other).take());
    }
    return joined;
  }

  async close(): Promise<void> {
    for (const side of this.#sides) await side.scan.close();
  }
}

/** One of the scans, and what was read of it and not given out. */
class Side {
  #pairs: readonly Pair[] = [];
  #at = 0;
  #isAtEnd = false;

  constructor(readonly scan: Scan) {}

  /** The next pair; undefined at the end. */
  async peek(countMax: number): Promise<Pair | undefined> {
    if (this.#at === this.#pairs.length && !this.#isAtEnd) {
      this.#pairs = await this.scan.next(countMax);
      this.#at = 0;
      this.#isAtEnd = this.#pairs.length === 0;
    }
    return this.#pairs[this.#at];
  }

  take(): Pair {
    const pair = this.#pairs[this.#at] as Pair;
    this.#at += 1;
    return pair;
  }
}

function compare(one: Pair, other: Pair): number {
  return Buffer.compare(one.key.subarray(1), other.key.subarray(1));
}
