import type { Configuration, Index, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';
import { isMajority } from './majority.js';

/**
 * A log entry is committed once the leader that created the entry has replicated it on a majority of the servers (§5.3),
 * where replicated means on disk (correctness row 2), the leader's own disk included; and a leader counts replicas only
 * for entries from its current term (§5.4.2, Figure 8). Checked against the bytes on everybody's disk at the moment when
 * a leader moves its commit index.
 */
export class CommitOnMajority implements Checker {
  readonly property = 'An entry is committed only when a majority has it on disk (§5.3, §5.4.2)';
  private readonly seen = new Map<
    NodeId,
    { readonly term: Term; readonly commitIndex: Index; readonly configuration: Configuration }
  >();

  constructor(private readonly nodes: () => ReadonlyMap<NodeId, NodeView>) {}

  stepped(node: NodeView, core: CoreView): void {
    const { role, term, commitIndex, configuration } = core;
    const before = this.seen.get(node.id);
    if (role !== 'leader') {
      if (before !== undefined) this.seen.delete(node.id);
      return;
    }
    if (before?.term === term && before.commitIndex === commitIndex && before.configuration === configuration)
      return;
    this.seen.set(node.id, { term, commitIndex, configuration });
    if (before?.term !== term || before.commitIndex === commitIndex) return;
    const entryTerm = core.termAt(commitIndex);
    if (entryTerm !== term) {
      this.fail(node, core, `whose term is ${entryTerm}`);
    }
    // The same step may have gone on to the next configuration after it committed.
    if (this.isHeld(configuration, commitIndex, term) || this.isHeld(before.configuration, commitIndex, term))
      return;
    const { voters, outgoingVoters } = configuration;
    const groups = [voters, outgoingVoters].filter((group) => group.length > 0);
    this.fail(
      node,
      core,
      `which no majority of ${groups.map((group) => group.join(', ')).join(' and of ')} has on disk`,
    );
  }

  ended(node: NodeView): void {
    this.seen.delete(node.id);
  }

  private isHeld(configuration: Configuration, index: Index, term: Term): boolean {
    return isMajority(configuration, (id) => {
      const durable = this.nodes().get(id)?.durable;
      if (durable === undefined) return false;
      return index < durable.startIndex || durable.termAt(index) === term;
    });
  }

  private fail(node: NodeView, core: CoreView, what: string): never {
    throw new Violation(
      this.property,
      `${node.id} leads term ${core.term} and committed entry ${core.commitIndex}, ${what}.`,
    );
  }
}
