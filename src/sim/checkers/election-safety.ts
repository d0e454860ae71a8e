import type { Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/** At most one leader can be elected in a given term (Figure 3, §5.2). */
export class ElectionSafety implements Checker {
  readonly property = 'Election Safety (§5.2)';
  private readonly leaders = new Map<Term, string>();

  stepped(node: NodeView, core: CoreView): void {
    if (core.role !== 'leader') return;
    const known = this.leaders.get(core.term);
    if (known === undefined) this.leaders.set(core.term, node.id);
    else if (known !== node.id) {
      throw new Violation(this.property, `${known} and ${node.id} both lead term ${core.term}.`);
    }
  }

  /** Terms that had a leader. */
  get count(): number {
    return this.leaders.size;
  }
}
