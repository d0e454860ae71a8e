import { randomFillSync } from 'node:crypto';
import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** The file that takes the room. LevelDB's directories stand beside it. */
const FILE = 'RESERVE';
/** What is written in one step. */
const STEP_BYTES = 1024 * 1024;

/**
 * Room on the disk that no other program can take: a file that is deleted when nothing else is left. It is written and not
 * merely extended, and its bytes are random, because a file system may keep neither holes nor zeros.
 */
export class DiskReserve {
  readonly #path: string;
  #bytes: number;

  private constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
  }

  /** Looks at what an earlier process left in a data directory. */
  static async in(dataDirectory: string): Promise<DiskReserve> {
    const path = join(dataDirectory, FILE);
    const bytes = await stat(path).then(
      ({ size }) => size,
      () => 0,
    );
    return new DiskReserve(path, bytes);
  }

  /** What is held, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Brings what is held to this size. Where that fails, nothing is held, and the error is thrown. */
  async take(bytes: number): Promise<void> {
    await this.giveUp();
    const file = await open(this.#path, 'w', 0o600);
    try {
      const step = new Uint8Array(STEP_BYTES);
      for (let written = 0; written < bytes; ) {
        const part = randomFillSync(step).subarray(0, bytes - written);
        written += (await file.write(part)).bytesWritten;
      }
      // A file system may find only now that it has no room for what it took.
      await file.sync();
    } catch (error) {
      await file.close();
      await this.giveUp();
      throw error;
    }
    await file.close();
    this.#bytes = bytes;
  }

  /** Gives the room back to whoever needs it. */
  async giveUp(): Promise<void> {
    await rm(this.#path, { force: true });
    this.#bytes = 0;
  }
}
