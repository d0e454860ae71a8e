import type { NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';
import { isMajority } from './majority.js';

/**
 * A candidate wins an election with the votes of a majority of the servers in the full cluster (§5.2), in joint consensus of both
 * configurations (§6). A vote counts when it is on the voter's disk (rule 2), and only of the incarnation that is a member
 * (rule 16). Votes are taken from the bytes on the disks, whenever they came there.
 */
export class ElectedByMajority implements Checker {
  readonly property = 'An election is won by votes on the disks of a majority (§5.2, §6)';
  private readonly votes = new Set<string>();
  private readonly leaders = new Map<NodeId, Term>();

  persisted({ id, incarnation, durable }: NodeView): void {
    if (durable.vote !== null) this.votes.add(nameOf(id, incarnation, durable.term, durable.vote));
  }

  stepped(node: NodeView, core: CoreView): void {
    const { role, term, configuration } = core;
    if (role !== 'leader' || this.leaders.get(node.id) === term) return;
    this.leaders.set(node.id, term);
    const incarnations = new Map(configuration.members.map(({ id, incarnation }) => [id, incarnation]));
    const votedForIt = (id: NodeId) => this.votes.has(nameOf(id, incarnations.get(id) ?? '', term, node.id));
    if (isMajority(configuration, votedForIt)) return;
    const { voters, outgoingVoters } = configuration;
    throw new Violation(
      this.property,
      `${node.id} leads term ${term}, with the votes of ${[...new Set([...voters, ...outgoingVoters])].filter(votedForIt).join(', ') || 'nobody'} ` +
        `among the voters ${voters.join(', ')}${outgoingVoters.length > 0 ? ` and the outgoing ${outgoingVoters.join(', ')}` : ''}.`,
    );
  }
}

function nameOf(voter: NodeId, incarnation: string, term: Term, candidate: NodeId): string {
  return `${voter}/${incarnation}/${term}/${candidate}`;
}
