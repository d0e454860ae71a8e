import type { Configuration, Index, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * Membership changes by one server at a time (thesis §4.1), where the voters before and after differ by at most one, or
 * through joint consensus (§6), whose outgoing voters are those from before and which only its end follows. A leader
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
    const what = problemOf(before.configuration, configuration);
    if (what !== null) this.fail(node, term, index, what);
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

/** What is wrong with one configuration right after another; null for nothing. */
function problemOf(before: Configuration, after: Configuration): string | null {
  if (before.outgoingVoters.length > 0) {
    const isFinal = after.outgoingVoters.length === 0 && isSame(after.voters, before.voters);
    return isFinal ? null : 'which is not what the joint one before it leads to';
  }
  if (after.outgoingVoters.length > 0) {
    return isSame(after.outgoingVoters, before.voters)
      ? null
      : 'whose outgoing voters are not the voters before it';
  }
  const left = before.voters.filter((id) => !after.voters.includes(id));
  const came = after.voters.filter((id) => !before.voters.includes(id));
  return left.length + came.length > 1 ? `in which ${[...left, ...came].join(', ')} all change` : null;
}

function isSame(one: readonly NodeId[], other: readonly NodeId[]): boolean {
  return one.length === other.length && one.every((id) => other.includes(id));
}
