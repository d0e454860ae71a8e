import type { Index } from '../raft/types.js';
import { CAUGHT_UP_ENTRIES_MAX, FALLEN_BEHIND_ENTRIES, STANDSTILL_MS } from './limits.js';

/**
 * Whether this node has caught up with its leader. It has when it applied everything up to the point that the leader was at
 * when it was last found behind, and is close to where the leader is now; entries that come all the time would otherwise
 * keep it from ever being there. It has fallen behind again only at a multiple of that distance, or when it applies nothing of
 * what is missing, as one whose disk is full.
 */
export class CatchUp {
  private hasCaughtUp = false;
  /** What must be applied for the node to have caught up; 0 while no leader has said. */
  private goal: Index = 0;
  /** Where it was found behind, and since when it is there; null while nothing is missing. */
  private place: { readonly appliedIndex: Index; readonly sinceMs: number } | null = null;

  /**
   * Why this node is behind, or '' when it has caught up.
   *
   * @param target What the leader says that its members must have applied; 0 while none has.
   * @param nowMs A reading of the node's clock.
   */
  reason(appliedIndex: Index, target: Index, nowMs: number): string {
    const behind = target - appliedIndex;
    if (behind <= 0) this.place = null;
    else if (this.place?.appliedIndex !== appliedIndex) this.place = { appliedIndex, sinceMs: nowMs };
    const standsStill = this.place !== null && nowMs - this.place.sinceMs >= STANDSTILL_MS;
    if (this.hasCaughtUp) {
      if (behind < FALLEN_BEHIND_ENTRIES && !standsStill) return '';
      this.hasCaughtUp = false;
      this.goal = target;
    }
    if (target === 0) return 'the leader has not said yet how far it is';
    if (this.goal === 0) this.goal = target;
    if (appliedIndex >= Math.min(this.goal, target)) {
      if (behind <= CAUGHT_UP_ENTRIES_MAX) {
        this.hasCaughtUp = true;
        return '';
      }
      this.goal = target;
    }
    const pace = standsStill ? ', and no more for some seconds; its log says why' : '';
    return `catching up, ${appliedIndex} of ${target} entries are applied${pace}`;
  }
}
