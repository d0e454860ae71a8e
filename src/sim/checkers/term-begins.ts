import type { NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * A leader begins its term with an entry of its own (§8, "a blank no-op entry"): by committing that it learns what is committed,
 * and until then it can answer no read and commit nothing that earlier terms left, however quiet its clients are.
 */
export class TermBegins implements Checker {
  readonly property = 'A leader begins its term with a no-op (§8)';
  private readonly seen = new Map<NodeId, Term>();

  stepped(node: NodeView, core: CoreView): void {
    if (core.role !== 'leader' || this.seen.get(node.id) === core.term) return;
    this.seen.set(node.id, core.term);
    if (core.termAt(core.lastIndex) === core.term) return;
    throw new Violation(
      this.property,
      `${node.id} leads term ${core.term}, and its log ends in term ${core.termAt(core.lastIndex)}.`,
    );
  }
}
