import type { Index } from '../raft/types.js';
import { CAUGHT_UP_ENTRIES_MAX, FALLEN_BEHIND_ENTRIES } from './limits.js';

/**
 * Whether this node has caught up with its leader. It has when it applied everything up to the point that the leader was at
 * when it was last found behind, and is close to where the leader is now; entries that come all the time would otherwise
 * keep it from ever being there. It has fallen behind again only at a multiple of that distance.
 */
export class CatchUp {
  private hasCaughtUp = false;
  /** What must be applied for the node to have caught up; 0 while no leader has said. */
  private goal: Index = 0;

  /**
   * Why this node is behind, or '' when it has caught up.
   *
   * @param target What the leader says that its members must have applied; 0 while none has.
   */
  reason(appliedIndex: Index, target: Index): string {
    const behind = target - appliedIndex;
    if (this.hasCaughtUp) {
      if (behind < FALLEN_BEHIND_ENTRIES) return '';
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
    return `catching up, ${appliedIndex} of ${target} entries are applied`;
  }
}
