import { BackgroundTask } from '../background-task.js';
import type { Clock } from '../clock.js';
import { StorageDamaged } from '../errors.js';
import type { KvStateMachine } from './state-machine.js';

/** The first pass begins soon after a start, which reads much itself. */
const FIRST_PASS_MS = 5_000;
/** From the beginning of one pass over all keys to the next at least. */
const PASS_MS_MIN = 60_000;
/** A pass takes no longer than this, however many keys there are; see below. */
const PASS_MS_MAX = 5 * 60 * 60 * 1000;
/** Records a second, and where a pass would take longer, more. A thousand records take a few milliseconds of processor time. */
const RECORDS_PACE_MIN = 500;
/** Bytes a second, and where the last pass shows that one would take longer, more. */
const BYTES_PACE_MIN = 1024 ** 2;

/**
 * Checks the records of all keys in the background, again and again: each record alone, a key's record against its values, and all
 * of them against the sums that the state keeps (live-sums.ts). The check of table files finds bits that changed in a file. This one
 * finds what a compaction wrote anew from damaged memory or a damaged file, and records that are missing or older than they should be.
 */
export class LiveWatch {
  /** Records that were read since the start. */
  readRecords = 0;
  readonly #task: BackgroundTask;
  /** Of the pass before. */
  #lastBytes = 0;

  constructor(
    private readonly parts: {
      readonly clock: Clock;
      readonly state: Pick<KvStateMachine, 'checkLive' | 'countKeys' | 'revision' | 'compactedRevision'>;
      /** Called once; nothing is checked after it. */
      readonly onDamage: (error: StorageDamaged) => void;
      /** The records cannot be read for another reason. */
      readonly onError: (error: unknown) => void;
    },
  ) {
    this.#task = new BackgroundTask(parts.clock);
  }

  start(): void {
    this.#task.start(() => this.#run());
  }

  /** Resolves when nothing is read any more. */
  stop(): Promise<void> {
    return this.#task.stop();
  }

  async #run(): Promise<void> {
    const { clock, state } = this.parts;
    await this.#task.pause(FIRST_PASS_MS);
    while (!this.#task.isStopped) {
      const begunAt = clock.now();
      try {
        const keys = state.countKeys();
        // Counted in the background meanwhile, where a program of before cluster version 2 wrote the state.
        if (keys !== undefined) await this.#pass(keys);
      } catch (error) {
        if (this.#task.isStopped) return;
        if (error instanceof StorageDamaged) {
          this.#task.isStopped = true;
          this.parts.onDamage(error);
          return;
        }
        this.parts.onError(error);
      }
      await this.#task.pause(begunAt + PASS_MS_MIN - clock.now());
    }
  }

  async #pass(keys: number): Promise<void> {
    const { revision, compactedRevision } = this.parts.state;
    // A key has a record, a value, and what it was at each revision that can be read.
    const records = 2 * keys + (revision - compactedRevision);
    const recordsPace = Math.max(RECORDS_PACE_MIN, records / (PASS_MS_MAX / 1000));
    const bytesPace = Math.max(BYTES_PACE_MIN, this.#lastBytes / (PASS_MS_MAX / 1000));
    let bytes = 0;
    await this.parts.state.checkLive(async (recordsRead, bytesRead) => {
      this.readRecords += recordsRead;
      bytes += bytesRead;
      await this.#task.pause(1000 * Math.max(recordsRead / recordsPace, bytesRead / bytesPace));
      if (this.#task.isStopped) throw new Error('The check has ended.');
    });
    this.#lastBytes = bytes;
  }
}
