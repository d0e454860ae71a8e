import type { Configuration, Index, Member, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * A configuration names as members those who are a voter, an outgoing voter or a learner in it, and nobody else (§6), and no
 * learner has a vote. Who stays a member from one configuration to the next stays the same server. When a joint one ends,
 * only the outgoing voters go.
 */
export class ExactMembers implements Checker {
  readonly property = 'A configuration has exactly the right members (§6)';
  private readonly known = new Map<
    NodeId,
    { readonly term: Term; readonly index: Index; readonly configuration: Configuration }
  >();

  stepped(node: NodeView, core: CoreView): void {
    const { role, term, configurationIndex: index, configuration } = core;
    const before = this.known.get(node.id);
    if (before?.configuration === configuration && before.term === term) return;
    this.known.set(node.id, { term, index, configuration });
    const problem = problemIn(configuration) ?? null;
    if (problem !== null) this.fail(node, index, problem);
    // Only a leader goes from each configuration to the next one; others may take several at once, or take some back.
    if (role !== 'leader' || before === undefined || before.term !== term) return;
    const change = problemBetween(before.configuration, configuration);
    if (change !== null) this.fail(node, index, change);
  }

  ended(node: NodeView): void {
    this.known.delete(node.id);
  }

  private fail(node: NodeView, index: Index, what: string): never {
    throw new Violation(this.property, `The configuration of ${node.id} at index ${index} ${what}.`);
  }
}

function problemIn({ members, voters, outgoingVoters, learners }: Configuration): string | null {
  const named = new Set([...voters, ...outgoingVoters, ...learners]);
  const ids = members.map(({ id }) => id);
  const missing = [...named].filter((id) => !ids.includes(id));
  if (missing.length > 0) return `does not say who ${missing.join(', ')} is`;
  const surplus = ids.filter((id) => !named.has(id));
  if (surplus.length > 0)
    return `has the member ${surplus.join(', ')}, which is neither a voter nor a learner`;
  const both = learners.filter((id) => voters.includes(id) || outgoingVoters.includes(id));
  return both.length > 0 ? `has ${both.join(', ')} as a learner and as a voter` : null;
}

function problemBetween(before: Configuration, after: Configuration): string | null {
  for (const member of after.members) {
    const known = before.members.find(({ id }) => id === member.id);
    if (known !== undefined && !isSameServer(known, member))
      return `makes ${member.id} another server, ${member.incarnation} in place of ${known.incarnation}`;
  }
  if (before.outgoingVoters.length === 0) return null;
  const staying = before.members
    .map(({ id }) => id)
    .filter((id) => before.voters.includes(id) || before.learners.includes(id));
  const left = staying.filter((id) => !after.members.some((member) => member.id === id));
  return left.length > 0 ? `ends a joint one and is without ${left.join(', ')}` : null;
}

function isSameServer(before: Member, after: Member): boolean {
  return before.incarnation === '' || before.incarnation === after.incarnation;
}
