import { StorageDamaged } from './errors.js';
import type { Logger } from './logger.js';

/**
 * What a running node does when its disk proves to be damaged (rule 29). It goes out of service, and says so in its log, its
 * warnings and its metrics. Where the state is damaged and another member has a copy, the next run of the node replaces the state.
 */
export class DiskDamage {
  /** What is damaged and what becomes of it, in a sentence or more; null while nothing was found. */
  sentence: string | null = null;

  constructor(
    private readonly parts: {
      readonly logger: Logger;
      /** Why no other member can send its state, and what to do then, in sentences; null where one can. */
      readonly obstacle: () => string | null;
      /** Takes the node out of service. Resolves when it has handed over what it led. */
      readonly withdraw: (reason: string) => Promise<void>;
      /** Ends this run, and has the next one replace the state. `what` is a sentence that says what is damaged. */
      readonly repair: (what: string) => void;
      readonly fail: (error: unknown) => void;
    },
  ) {}

  /** Called by all that read the disk. What is found after the first damage changes nothing, and is not told of. */
  found(error: StorageDamaged): void {
    if (this.sentence !== null) return;
    const { logger, withdraw, repair, fail } = this.parts;
    const { code, data, store, what, advice } = error;
    const obstacle = store === 'state' ? this.parts.obstacle() : advice;
    this.sentence = `${what} ${obstacle ?? 'This node starts again, to have its state replaced by a snapshot of the leader.'}`;
    logger.error({ code, ...data }, this.sentence);
    withdraw(this.sentence)
      .then(() => {
        if (obstacle === null) repair(what);
      })
      .catch(fail);
  }

  /** Passes on what comes of `work`. Damage that it fails for is noted. */
  async noting<Value>(work: Promise<Value>): Promise<Value> {
    try {
      return await work;
    } catch (error) {
      if (error instanceof StorageDamaged) this.found(error);
      throw error;
    }
  }
}
