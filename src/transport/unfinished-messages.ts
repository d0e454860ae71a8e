/** A gRPC message begins with one byte for compression and four for the length, big-endian. */
const PREFIX_BYTES = 5;

/** Who holds what. */
export interface Holder {
  /** Bytes of memory that its unfinished messages hold. */
  heldBytes: number;
}

/**
 * The memory that messages hold which have not arrived in full. gRPC keeps the pieces of such a message as they came,
 * each of which keeps the whole block alive that was read from its socket; so blocks are counted and not pieces.
 * A block with pieces for several streams is counted once for each.
 */
export class UnfinishedMessages<Owner extends Holder> {
  readonly #bytesMax: number;
  readonly #owners = new Set<Owner>();
  #heldBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Counts what `owner` holds; a negative number gives it back. */
  count(owner: Owner, bytes: number): void {
    if (bytes === 0) return;
    this.#heldBytes += bytes;
    owner.heldBytes += bytes;
    if (owner.heldBytes > 0) this.#owners.add(owner);
    else this.#owners.delete(owner);
  }

  /** While the bound is passed: whoever holds most. */
  get excess(): Owner | undefined {
    if (this.#heldBytes <= this.#bytesMax) return undefined;
    let largest: Owner | undefined;
    for (const owner of this.#owners) {
      if (largest === undefined || owner.heldBytes > largest.heldBytes) largest = owner;
    }
    return largest;
  }
}

/** Follows the messages of one stream by its bytes. */
export class MessageMeter {
  readonly #messageBytesMax: number;
  /** Bytes of the prefix that have come. */
  #prefixBytes = 0;
  /** What the prefix has told of the length so far. */
  #length = 0;
  /** What is missing of the present message. */
  #missingBytes = 0;
  #block: ArrayBufferLike | undefined;
  #heldBytes = 0;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** What the present message holds. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Takes the next bytes of the stream. False when they announce a message that is too large. */
  take(piece: Uint8Array): boolean {
    let at = 0;
    while (at < piece.length) {
      if (this.#prefixBytes < PREFIX_BYTES) {
        if (this.#prefixBytes > 0) this.#length = this.#length * 256 + (piece[at] ?? 0);
        this.#prefixBytes += 1;
        at += 1;
        if (this.#prefixBytes < PREFIX_BYTES) continue;
        if (this.#length > this.#messageBytesMax) return false;
        this.#missingBytes = this.#length;
      } else {
        const taken = Math.min(this.#missingBytes, piece.length - at);
        this.#missingBytes -= taken;
        at += taken;
      }
      if (this.#missingBytes === 0) this.#begin();
    }
    const isUnfinished = this.#prefixBytes > 0;
    if (isUnfinished && piece.buffer !== this.#block) {
      this.#block = piece.buffer;
      this.#heldBytes += piece.buffer.byteLength;
    }
    return true;
  }

  /** The next message. */
  #begin(): void {
    this.#prefixBytes = 0;
    this.#length = 0;
    this.#block = undefined;
    this.#heldBytes = 0;
  }
}
