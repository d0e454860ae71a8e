import { StorageDamaged } from './errors.js';
import type { Logger } from './logger.js';

/** Follows what is damaged. */
export const REPAIRED_NEXT =
  'This node starts again, to have its state replaced by a snapshot of the leader.';

/**
 * What a running node does when its disk proves to be damaged (rule 29). It goes out of service, and says so in its log, its
 * warnings and its metrics. Where the state is damaged and another member has a copy, the next run of the node replaces the state.
 */
export class DiskDamage {
  /** Says what is damaged, and what the node or its operator does about it; null while the disk is whole. */
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

  /** Takes note of damage, wherever a read of the disk met it. Only the first damage counts: the node withdraws once. */
  found(error: StorageDamaged): void {
    if (this.sentence !== null) return;
    const { logger, withdraw, repair, fail } = this.parts;
    const { code, data, what } = error;
    const final = this.judge(error);
    this.sentence = final?.message ?? `${what} ${REPAIRED_NEXT}`;
    logger.error({ code, ...data }, this.sentence);
    withdraw(this.sentence)
      .then(() => {
        if (final === null) repair(what);
      })
      .catch(fail);
  }

  /** Null where the next run replaces what is damaged; otherwise the damage with the advice that helps. */
  judge(error: StorageDamaged): StorageDamaged | null {
    const { store, what, data } = error;
    if (store !== 'state') return error;
    const obstacle = this.parts.obstacle();
    return obstacle === null ? null : new StorageDamaged(store, what, { advice: obstacle, data });
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
