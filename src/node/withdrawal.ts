import type { Clock } from '../clock.js';
import type { Raft } from '../raft/raft.js';
import { handOver } from './graceful-stop.js';
import { WITHDRAWAL_HANDOVER_MS } from './limits.js';

/**
 * What a node does when its disk is found damaged while it runs: nothing is read here any more from that moment on, a leader hands
 * over, and then the node goes into quarantine. It leads until then, because what it proposes and counts comes from memory.
 */
export class Withdrawal {
  /** Why nothing is read here any more; null while nothing is wrong. */
  reason: string | null = null;

  constructor(
    private readonly parts: {
      readonly raft: Raft;
      readonly clock: Clock;
      change<Value>(task: (raft: Raft) => Value): Value;
      isDead(): boolean;
      /** Ends what is being read. */
      readonly endReads: (reason: string) => void;
    },
  ) {}

  /** Resolves when this node is in quarantine. Where the state can be repaired, this run of the node ends then, and the next one does it. */
  async begin(reason: string): Promise<void> {
    if (this.reason !== null) return;
    this.reason = reason;
    const { clock, change, isDead, endReads } = this.parts;
    endReads(reason);
    await handOver(this.parts, clock.now() + WITHDRAWAL_HANDOVER_MS);
    if (!isDead()) change((raft) => raft.enterQuarantine(reason));
  }
}
