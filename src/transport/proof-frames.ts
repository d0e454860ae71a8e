import type { Socket } from 'node:net';
import { systemClock, type Timer } from '../clock.js';
import { type WireParty, type WireProofFrame, wire } from './wire.js';

/** Every frame begins with it. HTTP/2 begins with `PRI ` on one side and with a zero byte on the other. */
const MAGIC = Buffer.from('RKVP');
const VERSION = 1;
const HEADER_BYTES = MAGIC.length + 3;
/** The largest frame has two names of 63 characters and two proofs; a larger one is not read. */
export const PROOF_FRAME_BYTES_MAX = 1024;

/** Why an exchange of proofs did not succeed. */
export type ProofFailureKind =
  /** The other side does not speak this exchange. */
  | 'foreign'
  /** The connection ended, or took too long, before it was over. */
  | 'broken'
  /** A frame that is none, or the wrong one. */
  | 'malformed'
  /** The other side holds no secret. */
  | 'no_secret'
  /** The two sides hold no secret in common. */
  | 'unknown_secret'
  /** Another node answers than the one that was meant. */
  | 'wrong_peer';

export class ProofFailure extends Error {
  override readonly name = 'ProofFailure';

  constructor(
    readonly kind: ProofFailureKind,
    /** For `wrong_peer`, who answered. */
    readonly answering?: WireParty,
  ) {
    super(`The proof failed: ${kind}.`);
  }
}

/**
 * The bytes of a connection before HTTP/2 begins on it. Takes exactly the bytes of the frames it reads from the socket,
 * so what follows them is left for HTTP/2. Everything fails with a {@link ProofFailure} once the deadline has passed or
 * the connection has ended.
 */
export class Preamble {
  readonly #socket: Socket;
  readonly #deadline: Timer;
  #hasEnded = false;
  /** Lets whoever waits for more bytes look again. */
  #wake: () => void = () => {};

  constructor(socket: Socket, timeoutMs: number) {
    this.#socket = socket;
    this.#deadline = systemClock.after(timeoutMs, this.#onEnd);
    socket.on('error', this.#onEnd).on('close', this.#onEnd).on('end', this.#onEnd);
    // Once for all: a stream tells each new listener at once of what it holds, however little that is.
    socket.on('readable', this.#onReadable);
  }

  /** The first `count` bytes, which stay to be read. */
  async peek(count: number): Promise<Buffer> {
    const bytes = await this.#take(count);
    this.#socket.unshift(bytes);
    return bytes;
  }

  /** The next frame; fails as `foreign` when what comes is none. */
  async read(): Promise<WireProofFrame> {
    const magic = await this.#take(MAGIC.length);
    if (!magic.equals(MAGIC)) throw new ProofFailure('foreign');
    const header = await this.#take(HEADER_BYTES - MAGIC.length);
    const length = header.readUInt16BE(1);
    if (header[0] !== VERSION || length > PROOF_FRAME_BYTES_MAX) throw new ProofFailure('malformed');
    try {
      return wire.proofFrame.decode(length === 0 ? Buffer.alloc(0) : await this.#take(length));
    } catch (error) {
      throw error instanceof ProofFailure ? error : new ProofFailure('malformed');
    }
  }

  write(frame: WireProofFrame): void {
    this.#socket.write(frameBytes(frame));
  }

  /** Lets go of the socket; HTTP/2 or nobody reads on. */
  release(): void {
    this.#deadline.cancel();
    this.#onEnd();
    const socket = this.#socket;
    socket.off('error', this.#onEnd).off('close', this.#onEnd).off('end', this.#onEnd);
    socket.off('readable', this.#onReadable);
  }

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    this.#wake();
  };

  readonly #onReadable = (): void => this.#wake();

  async #take(count: number): Promise<Buffer> {
    for (;;) {
      const bytes: Buffer | null = this.#hasEnded ? null : this.#socket.read(count);
      // At its end a stream gives what is left, however little.
      if (bytes !== null && bytes.length === count) return bytes;
      if (bytes !== null || this.#hasEnded) throw new ProofFailure('broken');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

export function frameBytes(frame: WireProofFrame): Buffer {
  const body = wire.proofFrame.encode(frame);
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt8(VERSION, MAGIC.length);
  header.writeUInt16BE(body.length, MAGIC.length + 1);
  return Buffer.concat([header, body]);
}

/** Whether a connection that begins with these bytes begins with a frame. */
export function startsAsFrame(first: Buffer): boolean {
  return first.subarray(0, MAGIC.length).equals(MAGIC.subarray(0, first.length));
}
