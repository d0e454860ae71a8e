import { totalmem } from 'node:os';
import process from 'node:process';
import { getHeapStatistics } from 'node:v8';
import { RaftkvError } from '../errors.js';

/** What is smaller is not counted: it is bounded by the number of connections, and counting it would cost small requests. */
export const COUNTED_BYTES_MIN = 4_096;

const mebibyte = 1024 * 1024;
/** Room for the largest value that any node accepts, both ways; below that, a node could not work at all. */
const budgetBytesMin = 32 * mebibyte;
/** Enough for a hundred clients that are slow to take large answers. */
const budgetBytesMax = 256 * mebibyte;
/** The rest is for the log, the state, the heap and what the kernel holds. */
const memoryShare = 1 / 8;
/** What making one large answer takes at its peak: what was read, its JSON and the copy that is sent. */
const productionBytes = 4 * mebibyte;
const productionsMin = 4;

/**
 * A share of the memory that this process may use: the smallest of what the machine has, what its container is given and what
 * the heap may take.
 */
function shareOfMemory(): number {
  const constrained = process.constrainedMemory?.() ?? 0;
  const limits = [totalmem(), getHeapStatistics().heap_size_limit, constrained || Number.POSITIVE_INFINITY];
  const share = Math.floor(Math.min(...limits) * memoryShare);
  return Math.min(Math.max(share, budgetBytesMin), budgetBytesMax);
}

/**
 * Bytes that this node holds for all its clients together: bodies that have begun and not been worked off, and answers that
 * were made and not taken. Past the bound, whatever would hold more is refused as overloaded, before memory runs out.
 */
export class ByteBudget {
  readonly #bytesMax: number;
  readonly #productionsMax: number;
  /** In the order of asking. */
  readonly #waiting = new Set<() => void>();
  #productions = 0;
  #held = 0;
  #refusals = 0;

  constructor(bytesMax = shareOfMemory()) {
    this.#bytesMax = bytesMax;
    this.#productionsMax = Math.max(productionsMin, Math.floor(bytesMax / productionBytes));
  }

  get heldBytes(): number {
    return this.#held;
  }

  /** How often something was refused for want of bytes. */
  get refusals(): number {
    return this.#refusals;
  }

  /** Counts these bytes until {@link give}. Throws `overloaded` where they are too many; then none of them are counted. */
  take(bytes: number): void {
    if (this.#held + bytes > this.#bytesMax) {
      this.#refusals += 1;
      throw new RaftkvError(
        'overloaded',
        'This node holds as many bytes as it can for clients that have not sent all of their request or not taken all of their ' +
          'answer. Nothing was done; try again shortly, or ask another node.',
      );
    }
    this.#held += bytes;
  }

  /** Counts bytes that are held already, however many there are. */
  add(bytes: number): void {
    this.#held += bytes;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }

  /**
   * Makes a large answer. As many are made at a time as there is memory for; the others wait in the order of asking. When the signal
   * aborts, an answer that waits rejects with its reason and leaves the line.
   */
  async produce<Value>(signal: AbortSignal, task: () => Promise<Value>): Promise<Value> {
    if (this.#productions >= this.#productionsMax) await this.#turn(signal);
    else this.#productions += 1;
    try {
      signal.throwIfAborted();
      return await task();
    } finally {
      // The place goes to the next in line, if there is one.
      const [next] = this.#waiting;
      if (next === undefined) this.#productions -= 1;
      else next();
    }
  }

  /** Resolves when it has the place of an answer that was made. */
  async #turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const leaveLine = (): void => {
        this.#waiting.delete(begin);
        signal.removeEventListener('abort', abort);
      };
      const begin = (): void => {
        leaveLine();
        resolve();
      };
      const abort = (): void => {
        leaveLine();
        reject(signal.reason);
      };
      this.#waiting.add(begin);
      signal.addEventListener('abort', abort);
    });
  }
}
