import { ARRIVALS_BURST, ARRIVALS_PER_SECOND } from './limits.js';

/** Addresses that are remembered; past it, all are forgotten and may burst again. */
const ADDRESSES_MAX = 1_000;

/**
 * How often each address connects: so many times at once, and then at a steady pace. Accepting a connection and looking
 * at its first bytes costs far more than ending it, so this comes before everything else.
 */
export class Arrivals {
  readonly #left = new Map<string, { connections: number; atMs: number }>();

  /** Whether one more connection of this address may be looked at. */
  admits(address: string, nowMs: number): boolean {
    const left = this.#left.get(address);
    if (left === undefined) {
      if (this.#left.size >= ADDRESSES_MAX) this.#left.clear();
      this.#left.set(address, { connections: ARRIVALS_BURST - 1, atMs: nowMs });
      return true;
    }
    const regained = ((nowMs - left.atMs) / 1000) * ARRIVALS_PER_SECOND;
    left.connections = Math.min(ARRIVALS_BURST, left.connections + regained);
    left.atMs = nowMs;
    if (left.connections < 1) return false;
    left.connections -= 1;
    return true;
  }
}
