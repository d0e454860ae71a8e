import { type FileHandle, open } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';

/** What is read from a file at a time, at most. */
const PIECE_BYTES = 1024 * 1024;
/** After this much computing, the event loop gets a turn. */
const COMPUTING_MS = 2;

/** How fast files are read for a check, and what hears of it. */
export interface ReadPace {
  /** Called after each piece. Whoever wants a pace resolves later, and rejects to end the check. */
  readonly afterPiece?: (bytes: number) => Promise<void> | undefined;
}

/**
 * Reads one file after the other, a piece at a time, so that a check of files of any size takes a bounded piece of memory and
 * never holds up the event loop. {@link ensure} reads what {@link view} then gives without waiting.
 */
export class PieceReader {
  readonly #pace: ReadPace;
  #buffer: Buffer;
  #file: FileHandle | undefined;
  #size = 0;
  #start = 0;
  #end = 0;
  #computingSince = performance.now();

  /** @param pieceBytes At most 1 MiB; what is asked for at once may exceed it only for what has to be held as a whole. */
  constructor(pace: ReadPace = {}, pieceBytes = PIECE_BYTES) {
    this.#pace = pace;
    this.#buffer = Buffer.allocUnsafeSlow(Math.min(pieceBytes, PIECE_BYTES));
  }

  /** Opens a file in place of the one before it. */
  async open(path: string): Promise<void> {
    await this.close();
    const file = await open(path, 'r');
    this.#file = file;
    this.#size = (await file.stat()).size;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#start = 0;
    this.#end = 0;
    await file?.close();
  }

  /** Bytes of the file, as of its opening. */
  get size(): number {
    return this.#size;
  }

  /** What {@link view} can give at once. */
  get pieceBytes(): number {
    return this.#buffer.length;
  }

  /** Makes a range of the file viewable. Undefined, which is the rule, where there is nothing to wait for. */
  ensure(offset: number, length: number): Promise<void> | undefined {
    const isThere = offset >= this.#start && offset + length <= this.#end;
    if (isThere && performance.now() - this.#computingSince < COMPUTING_MS) return undefined;
    return isThere ? this.#turn() : this.#read(offset, length);
  }

  /** Bytes that were ensured; valid until the next call of {@link ensure}. */
  view(offset: number, length: number): Buffer {
    const from = offset - this.#start;
    return this.#buffer.subarray(from, from + length);
  }

  /** A copy of some bytes, of any number. */
  async copy(offset: number, length: number): Promise<Buffer> {
    const copied = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, this.pieceBytes);
      await this.ensure(offset + done, part);
      copied.set(this.view(offset + done, part), done);
      done += part;
    }
    return copied;
  }

  async #turn(): Promise<void> {
    await setImmediate();
    this.#computingSince = performance.now();
  }

  async #read(offset: number, length: number): Promise<void> {
    const file = this.#file;
    const wanted = Math.min(this.#buffer.length, this.#size - offset);
    if (file === undefined || length > wanted) throw new EndOfFile(offset);
    this.#start = offset;
    this.#end = offset;
    while (this.#end < offset + wanted) {
      const at = this.#end - offset;
      const { bytesRead } = await file.read(this.#buffer, at, wanted - at, this.#end);
      // It has become shorter since it was opened.
      if (bytesRead === 0) break;
      this.#end += bytesRead;
    }
    await this.#pace.afterPiece?.(this.#end - offset);
    if (offset + length > this.#end) throw new EndOfFile(this.#end);
    this.#computingSince = performance.now();
  }
}

/** Something was to be read beyond the end of a file. */
export class EndOfFile extends Error {
  override readonly name = 'EndOfFile';

  constructor(readonly offset: number) {
    super(`The file ends at byte ${offset}.`);
  }
}
