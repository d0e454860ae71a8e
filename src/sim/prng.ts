/**
 * Randomness that is a function of a seed: sfc32 (Chris Doty-Humphrey, PractRand), started with splitmix32 (after
 * Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). Every concern draws from a stream of
 * its own, so that one more draw for the network does not change what the disks do.
 */
export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** The stream called `name` of `seed`. */
  constructor(
    private readonly seed: number,
    private readonly name: string,
  ) {
    let state = hashText(name, Math.trunc(seed % 2 ** 32) ^ Math.trunc(seed / 2 ** 32));
    const splitmix = () => {
      state = (state + 0x9e3779b9) | 0;
      let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return mixed ^ (mixed >>> 15);
    };
    this.#a = splitmix();
    this.#b = splitmix();
    this.#c = splitmix();
    for (let round = 0; round < 12; round += 1) this.#next();
  }

  /** A stream that depends on this one's name and not on how much was drawn from it. */
  fork(name: string): Prng {
    return new Prng(this.seed, `${this.name}/${name}`);
  }

  /** Uniform in [0, 1). */
  real(): number {
    return this.#next() / 2 ** 32;
  }

  /** Uniform in [min, max). */
  between(min: number, max: number): number {
    return min + this.real() * (max - min);
  }

  /** A whole number, uniform from `min` to `max`, both included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.real() * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.real() < probability;
  }

  /** One of the list, or undefined of an empty one. */
  pick<Value>(list: readonly Value[]): Value | undefined {
    return list[this.integer(0, list.length - 1)];
  }

  /** The same values in another order. */
  shuffled<Value>(list: readonly Value[]): Value[] {
    const left = [...list];
    const result: Value[] = [];
    while (left.length > 0) result.push(...left.splice(this.integer(0, left.length - 1), 1));
    return result;
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }
}

/** FNV-1a over the characters (Fowler, Noll and Vo). */
export function hashText(text: string, start = 0): number {
  let hash = start ^ 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash | 0;
}
