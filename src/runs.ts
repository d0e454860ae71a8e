/** One run of a node: from its start, or from a full disk, to the next full disk or the end of the process. */
export interface Run {
  /** Resolves once the node listens. */
  start(): Promise<void>;
  /** Finishes what was accepted and closes everything. */
  stop(reason: string): Promise<void>;
  /** Closes everything as a crash would leave it: nothing more is written. */
  abandon(): Promise<void>;
}

/** How a run ends that nobody stopped. */
export interface RunEnds {
  failed(): void;
  diskFull(): void;
}

/**
 * Follows a run that a full disk ended with another one, in the same process, once there is room. What a failed write has left on
 * disk is unknown (correctness rule 30), so nothing of the earlier run is relied on: the next one reads the disk as a new process
 * would. That also makes durable what it reads, because LevelDB writes what it finds in its log to a synced table before anything
 * else; a sync that failed is never followed by a claim that rests on it.
 */
export class Runs {
  /** Resolves with the exit code of the process, when a run has failed. */
  readonly failed: Promise<number>;
  #fail: (code: number) => void = () => {};
  #run: Run | undefined;
  /** Resolves when the next run has begun, or was not to begin. */
  #changing: Promise<void> = Promise.resolve();
  readonly #stopping = new AbortController();

  constructor(
    private readonly parts: {
      readonly newRun: (ends: RunEnds) => Run;
      /** Resolves when there is room for another run, or at once when the signal is aborted. */
      readonly room: (signal: AbortSignal) => Promise<void>;
      /** A run after the first could not start; returns whether that was for want of room. */
      readonly couldNotStart: (error: unknown) => boolean;
    },
  ) {
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
  }

  /** Begins the first run. Rejects where it cannot start. */
  start(): Promise<void> {
    return this.#begin().start();
  }

  async stop(reason: string): Promise<void> {
    this.#stopping.abort();
    await this.#changing;
    await this.#run?.stop(reason);
  }

  #begin(): Run {
    const run: Run = this.parts.newRun({
      failed: () => this.#fail(1),
      diskFull: () => {
        this.#changing = this.#changing.then(() => this.#replace(run));
      },
    });
    this.#run = run;
    return run;
  }

  async #replace(run: Run): Promise<void> {
    // One that is being stopped closes itself.
    if (this.#stopping.signal.aborted || run !== this.#run) return;
    let ended = run;
    for (;;) {
      this.#run = undefined;
      try {
        await ended.abandon();
        await this.parts.room(this.#stopping.signal);
        if (this.#stopping.signal.aborted) return;
        ended = this.#begin();
        await ended.start();
        return;
      } catch (error) {
        if (this.parts.couldNotStart(error)) continue;
        this.#fail(1);
        return;
      }
    }
  }
}
