/** One run of a node: from its start to a full disk, to damage that another run repairs, or to the end of the process. */
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
  /** Another run is to follow once there is room for it: the disk was full, or the state is to be repaired. */
  again(): void;
}

/**
 * Follows a run that ended for want of room, or for a state to be repaired, with another one in the same process, once there is
 * room. What a failed write has left on disk is unknown (correctness rule 30), so nothing of the earlier run is relied on: the next
 * one reads the disk as a new process would. That also makes durable what it reads, because LevelDB writes what it finds in its log
 * to a synced table before anything else; a sync that failed is never followed by a claim that rests on it.
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
      /** Whether a run could not start for want of room; says so. */
      readonly lacksRoom: (error: unknown) => boolean;
      /** Says that the process ends, because a run after the first could not start for another reason. */
      readonly couldNotContinue: (error: unknown) => Promise<void>;
      /** Says that the process stops while there is no run that would say it. */
      readonly stopsWithoutRun: (reason: string) => void;
    },
  ) {
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
  }

  /**
   * Begins the first run, once there is room for it. Rejects where it cannot start for another reason. Resolves without one
   * when `stopping` is aborted before; {@link stop} is to follow.
   */
  start(stopping: AbortSignal): Promise<void> {
    if (stopping.aborted) this.#stopping.abort();
    else stopping.addEventListener('abort', () => this.#stopping.abort(), { once: true });
    const started = this.#begin();
    this.#changing = started.catch(() => {});
    return started;
  }

  async stop(reason: string): Promise<void> {
    this.#stopping.abort();
    if (this.#run === undefined) this.parts.stopsWithoutRun(reason);
    await this.#changing;
    await this.#run?.stop(reason);
  }

  /** Follows the run that has ended, if there was one, with the next one that starts, unless the process is to stop. */
  async #begin(ended?: Run): Promise<void> {
    const { signal } = this.#stopping;
    for (let earlier = ended; ; earlier = this.#run) {
      this.#run = undefined;
      await earlier?.abandon();
      if (earlier !== undefined) await this.parts.room(signal);
      if (signal.aborted) return;
      const run = this.#newRun();
      this.#run = run;
      try {
        await run.start();
        return;
      } catch (error) {
        if (!this.parts.lacksRoom(error)) throw error;
      }
    }
  }

  #newRun(): Run {
    const run: Run = this.parts.newRun({
      failed: () => this.#fail(1),
      again: () => {
        this.#changing = this.#changing.then(() => this.#replace(run));
      },
    });
    return run;
  }

  async #replace(run: Run): Promise<void> {
    // One that is being stopped closes itself.
    if (this.#stopping.signal.aborted || run !== this.#run) return;
    try {
      await this.#begin(run);
    } catch (error) {
      await this.parts.couldNotContinue(error);
      this.#fail(1);
    }
  }
}
