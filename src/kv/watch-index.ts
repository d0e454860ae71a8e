import type { KeyId } from './sorted-map.js';

/**
 * Who waits for a change of which key. A change looks up its key, and those of its beginnings that have the length of some
 * watched prefix: its cost grows with the number of different lengths, and not with the number of watches.
 */
export class WatchIndex<Waiter> {
  readonly #byKey = new Map<KeyId, Set<Waiter>>();
  readonly #byPrefix = new Map<KeyId, Set<Waiter>>();
  /** How many different prefixes have each length. */
  readonly #lengths = new Map<number, number>();

  add(id: KeyId, isPrefix: boolean, waiter: Waiter): void {
    const group = isPrefix ? this.#byPrefix : this.#byKey;
    const waiters = group.get(id);
    if (waiters !== undefined) {
      waiters.add(waiter);
      return;
    }
    group.set(id, new Set([waiter]));
    if (isPrefix) this.#lengths.set(id.length, (this.#lengths.get(id.length) ?? 0) + 1);
  }

  remove(id: KeyId, isPrefix: boolean, waiter: Waiter): void {
    const group = isPrefix ? this.#byPrefix : this.#byKey;
    const waiters = group.get(id);
    if (waiters === undefined || !waiters.delete(waiter) || waiters.size > 0) return;
    group.delete(id);
    if (!isPrefix) return;
    const left = (this.#lengths.get(id.length) ?? 1) - 1;
    if (left === 0) this.#lengths.delete(id.length);
    else this.#lengths.set(id.length, left);
  }

  /** Those who wait for a change of this key, each once. */
  *waitersOf(id: KeyId): Generator<Waiter> {
    const exact = this.#byKey.get(id);
    if (exact !== undefined) yield* exact;
    for (const length of this.#lengths.keys()) {
      if (length > id.length) continue;
      const waiters = this.#byPrefix.get(id.slice(0, length));
      if (waiters !== undefined) yield* waiters;
    }
  }
}
