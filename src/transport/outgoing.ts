import { COALESCED_BYTES_MAX, STREAM_BUFFER_BYTES_MAX } from './limits.js';

/**
 * What waits to be written to one stream.
 *
 * Every write to gRPC costs some 50 µs of processor time on either side, whatever its size. So while one is under
 * way, what comes meanwhile gathers and goes out as one: the messages of the streams are lists, and in protobuf the
 * bytes of two lists, one after the other, are the bytes of the joined list. An idle stream is written to when the
 * code that runs has finished, so that what is handed over in one go leaves in one write; nothing waits longer for
 * company.
 */
export class Outgoing {
  readonly #write: (bytes: Buffer, done: () => void) => void;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #writing = false;

  /** @param write Writes to the stream and calls `done` later, when gRPC has passed the bytes on. */
  constructor(write: (bytes: Buffer, done: () => void) => void) {
    this.#write = write;
  }

  /** False when too much waits already; the stream should then be broken off. */
  push(bytes: Buffer): boolean {
    if (this.#waitingBytes + bytes.length > STREAM_BUFFER_BYTES_MAX) return false;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (!this.#writing) {
      this.#writing = true;
      queueMicrotask(() => this.#writeNext());
    }
    return true;
  }

  #writeNext(): void {
    const next = this.#takeNext();
    this.#writing = next !== undefined;
    if (next !== undefined) this.#write(next, () => this.#writeNext());
  }

  /** The oldest of what waits, with as much of the following as is cheaper to copy than to write apart. */
  #takeNext(): Buffer | undefined {
    const [first] = this.#waiting;
    if (first === undefined) return undefined;
    let count = 1;
    let length = first.length;
    for (let next = this.#waiting[1]; next !== undefined; next = this.#waiting[count]) {
      if (length + next.length > COALESCED_BYTES_MAX) break;
      count += 1;
      length += next.length;
    }
    this.#waitingBytes -= length;
    if (count === 1) {
      this.#waiting.shift();
      return first;
    }
    return Buffer.concat(this.#waiting.splice(0, count), length);
  }
}
