import type { Configuration, Index, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * Membership changes by one server at a time (thesis §4.1): the voters before and after differ by at most one, a leader
 * begins no change before the last one is committed, and none before it has committed an entry of its own term (Ongaro,
 * "bug in single-server membership changes", raft-dev 2015; correctness row 13).
 */
export class OneChangeAtATime implements Checker {
  readonly property = 'One membership change at a time (thesis §4.1)';
  private readonly known = new Map<
    NodeId,
    { readonly term: Term; readonly index: Index; readonly configuration: Configuration }
  >();

  stepped(node: NodeView, core: CoreView): void {
    const { role, term, configurationIndex: index, configuration, commitIndex } = core;
    const before = this.known.get(node.id);
    if (role !== 'leader') {
      if (before !== undefined) this.known.delete(node.id);
      return;
    }
    if (before?.term === term && before.index === index) return;
    this.known.set(node.id, { term, index, configuration });
    if (before?.term !== term) return;
    if (before.index > commitIndex) {
      this.fail(node, term, index, `while the one at index ${before.index} was not committed`);
    }
    if (core.termAt(commitIndex) !== term) this.fail(node, term, index, 'before it had committed anything');
    const left = before.configuration.voters.filter((id) => !configuration.voters.includes(id));
    const came = configuration.voters.filter((id) => !before.configuration.voters.includes(id));
    if (left.length + came.length > 1) {
      this.fail(node, term, index, `in which ${[...left, ...came].join(', ')} all change`);
    }
  }

  ended(node: NodeView): void {
    this.known.delete(node.id);
  }

  private fail(node: NodeView, term: Term, index: Index, what: string): never {
    throw new Violation(
      this.property,
      `${node.id} leads term ${term} and began the configuration at index ${index} ${what}.`,
    );
  }
}
