import type { Index, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

interface Committed {
  readonly index: Index;
  readonly term: Term;
  /** The term of the node that was first seen to know it: at least the term in which it was committed. */
  readonly knownInTerm: Term;
}

/**
 * If a log entry is committed in a given term, then that entry will be present in the logs of the leaders for all
 * higher-numbered terms (Figure 3, §5.4). Checked when somebody becomes leader, against everything committed so far, and
 * when something is committed, against everybody who leads a higher term by then.
 */
export class LeaderCompleteness implements Checker {
  readonly property = 'Leader Completeness (§5.4)';
  private readonly committed: Committed[] = [];
  private readonly commitIndexes = new Map<NodeId, Index>();
  private readonly leaders = new Map<NodeId, { readonly term: Term; readonly core: CoreView }>();

  /** The highest index that any node knew to be committed. */
  get commitIndexMax(): Index {
    return this.committed.length;
  }

  stepped(node: NodeView, core: CoreView): void {
    this.followCommit(node, core);
    if (core.role !== 'leader') {
      this.leaders.delete(node.id);
    } else if (this.leaders.get(node.id)?.term !== core.term) {
      this.leaders.set(node.id, { term: core.term, core });
      // A gap is possible where whoever committed died in the same step; `forEach` passes over it.
      this.committed.forEach((entry) => {
        this.check(node.id, core, entry);
      });
    }
  }

  ended(node: NodeView): void {
    this.leaders.delete(node.id);
    this.commitIndexes.delete(node.id);
  }

  private followCommit(node: NodeView, core: CoreView): void {
    const known = this.commitIndexes.get(node.id) ?? 0;
    const { commitIndex } = core;
    if (commitIndex === known) return;
    this.commitIndexes.set(node.id, commitIndex);
    for (let index = known + 1; index <= commitIndex; index += 1) {
      const term = core.termAt(index);
      // What came with a snapshot was committed, and seen, elsewhere.
      if (term === undefined) continue;
      const first = this.committed[index - 1];
      if (first === undefined) this.add({ index, term, knownInTerm: core.term });
      else if (first.term !== term) {
        throw new Violation(
          this.property,
          `Entry ${index} is committed with term ${term} on ${node.id}, and with term ${first.term} elsewhere.`,
        );
      }
    }
  }

  private add(entry: Committed): void {
    this.committed[entry.index - 1] = entry;
    for (const [id, { core }] of this.leaders) this.check(id, core, entry);
  }

  private check(leader: NodeId, core: CoreView, { index, term, knownInTerm }: Committed): void {
    if (core.term <= knownInTerm || index < core.firstIndex - 1) return;
    const held = core.termAt(index);
    if (held === term) return;
    throw new Violation(
      this.property,
      `${leader} leads term ${core.term}, and entry ${index} of term ${term}, committed by term ${knownInTerm}, is ` +
        `${held === undefined ? 'not in its log' : `of term ${held} there`}.`,
    );
  }
}
