import type { Index, Message, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';
import { isMajority } from './majority.js';

/**
 * Rounds of heartbeats in two election timeouts are ten: that long may a leader go without a majority at most, because it looks once an
 * election timeout. A few more rounds may come from reads.
 */
const ROUNDS_MAX = 14;

interface Leader {
  readonly term: Term;
  configurationIndex: Index;
  /** The round from which on these voters count. */
  begunIn: number;
  round: number;
  readonly heardIn: Map<NodeId, number>;
}

/**
 * A leader steps down if an election timeout elapses without a successful round of heartbeats to a majority (thesis §6.2; correctness row 6).
 * Clients of a leader that is cut off would wait for ever, and its followers could not be loyal to it. Time is counted
 * in rounds of heartbeats, because a process that stands still cannot step down.
 */
export class LeaderContact implements Checker {
  readonly property = 'A leader that hears from no majority steps down (thesis §6.2)';
  private readonly leaders = new Map<NodeId, Leader>();

  received(node: NodeView, core: CoreView, message: Message): void {
    const leader = this.leaders.get(node.id);
    if (core.role === 'leader' && leader?.term === core.term) leader.heardIn.set(message.from, leader.round);
  }

  sending(node: NodeView, core: CoreView, message: Message): void {
    if (message.type !== 'heartbeat' || core.role !== 'leader' || message.term !== core.term) return;
    let leader = this.leaders.get(node.id);
    if (leader?.term !== core.term) {
      leader = {
        term: core.term,
        configurationIndex: core.configurationIndex,
        begunIn: 0,
        round: 0,
        heardIn: new Map(),
      };
      this.leaders.set(node.id, leader);
    }
    if (message.round <= leader.round) return;
    leader.round = message.round;
    if (leader.configurationIndex !== core.configurationIndex) {
      // Rounds that others confirmed may have been many in a short time.
      leader.configurationIndex = core.configurationIndex;
      leader.begunIn = message.round;
    }
    const { heardIn } = leader;
    const isHeard = (id: NodeId) => id === node.id || (heardIn.get(id) ?? 0) >= message.round - ROUNDS_MAX;
    if (message.round <= leader.begunIn + ROUNDS_MAX || isMajority(core.configuration, isHeard)) return;
    throw new Violation(
      this.property,
      `${node.id} leads term ${core.term} and sends round ${message.round}; of ${core.configuration.voters.join(', ')} it has heard ` +
        `${core.configuration.voters.filter(isHeard).join(', ')} within ${ROUNDS_MAX} rounds.`,
    );
  }

  ended(node: NodeView): void {
    this.leaders.delete(node.id);
  }
}
