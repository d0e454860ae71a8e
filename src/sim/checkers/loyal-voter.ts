import { ELECTION_TIMEOUT_TICKS, TICK_MS } from '../../node/limits.js';
import type { Message, NodeId, RequestVote, RequestVoteResponse } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';
import type { TrueTime } from './lease-time.js';

/** The first tick may be part over, a tick may be made up for, and a timer may be early: see `LEASE_MS` in limits.ts. */
const PATIENCE_MS = (ELECTION_TIMEOUT_TICKS - 2.5) * TICK_MS;

/**
 * A node that heard a leader, and so may have answered it, gives nobody its vote or its pre-vote within an election timeout
 * (thesis §4.2.3 and §6.4.1; rules 6 and 19), not even after a restart. The leases of leaders rest on it. The leader itself
 * may wish for the election.
 */
export class LoyalVoter implements Checker {
  readonly property = 'No vote within an election timeout of hearing from a leader (thesis §6.4.1)';
  private readonly heardAt = new Map<NodeId, { readonly nowMs: number; readonly leaptMs: number }>();
  /**
   * What each node was asked for when it was free to give it. The answer may wait for the disk, and the node may hear a leader
   * meanwhile.
   */
  private readonly askedWhenFree = new Set<string>();

  constructor(private readonly time: TrueTime) {}

  received(node: NodeView, core: CoreView, message: Message): void {
    switch (message.type) {
      case 'requestVote':
        if (message.leadershipTransfer || this.isFree(node))
          this.askedWhenFree.add(voteOf(node, message, message.from));
        return;
      case 'appendEntries':
      case 'heartbeat':
      case 'installSnapshot': {
        const { nowMs, leaptMs } = this.time;
        if (message.term === core.term) this.heardAt.set(nameOf(node), { nowMs, leaptMs });
        return;
      }
      default:
    }
  }

  sending(node: NodeView, _core: CoreView, message: Message): void {
    if (message.type !== 'requestVoteResponse' || !message.granted) return;
    if (this.askedWhenFree.has(voteOf(node, message, message.to))) return;
    // A late request for what the candidate has already changes nothing.
    const { term, vote } = node.durable;
    if (message.preVote && term === message.term && vote === message.to) return;
    throw new Violation(
      this.property,
      `${node.id} gives ${message.to} its ${message.preVote ? 'pre-vote' : 'vote'} for term ${message.term}, and was asked for it ` +
        'within an election timeout of hearing a leader.',
    );
  }

  private isFree(node: NodeView): boolean {
    const heard = this.heardAt.get(nameOf(node));
    const { nowMs, leaptMs, clockDrift } = this.time;
    // A clock that leaps ahead takes its part of the time away.
    if (heard === undefined || heard.leaptMs !== leaptMs) return true;
    return (nowMs - heard.nowMs) * (1 + clockDrift) >= PATIENCE_MS;
  }
}

function nameOf({ id, incarnation }: NodeView): string {
  return `${id}/${incarnation}`;
}

function voteOf(
  node: NodeView,
  { preVote, term }: RequestVote | RequestVoteResponse,
  candidate: NodeId,
): string {
  return `${nameOf(node)} ${preVote ? 'pre-votes' : 'votes'} for ${candidate} in ${term}`;
}
