import { ELECTION_TIMEOUT_TICKS, TICK_MS, TICKS_AT_ONCE_MAX } from '../../node/limits.js';
import type { Configuration, Index, Message, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/** A leader counts no more ticks than these at a time, however long it stood still. */
const GAP_MS_MAX = (TICKS_AT_ONCE_MAX + 1) * TICK_MS;
/** The round that shows that a learner keeps up, the one after it, and until the leader looks again. */
const BEHIND_MS_MAX = (2 * ELECTION_TIMEOUT_TICKS + 4 * TICKS_AT_ONCE_MAX) * TICK_MS;

interface Leader {
  readonly term: Term;
  configuration: Configuration;
  seenAtMs: number;
  /** How long it has led, without the time in which it stood still. */
  ledMs: number;
  /** Where its log ended, and when that was. */
  ends: { readonly ledMs: number; readonly lastIndex: Index }[];
}

/**
 * A learner becomes a voter when it is so close to the end of the log that it does not hold up commits (thesis §4.2.1): its disk
 * has everything that the leader's log had some election timeouts ago.
 */
export class PromotedInTime implements Checker {
  readonly property = 'A promoted learner is near the end of the log (thesis §4.2.1)';
  private readonly leaders = new Map<NodeId, Leader>();

  constructor(
    private readonly nodes: () => ReadonlyMap<NodeId, NodeView>,
    private readonly time: { readonly nowMs: number },
  ) {}

  received(node: NodeView, core: CoreView): void {
    if (core.role === 'leader') this.follow(node, core);
  }

  sending(node: NodeView, core: CoreView, _message: Message): void {
    if (core.role === 'leader') this.follow(node, core);
  }

  stepped(node: NodeView, core: CoreView): void {
    if (core.role !== 'leader') {
      this.leaders.delete(node.id);
      return;
    }
    const leader = this.follow(node, core);
    const { configuration } = core;
    if (leader.configuration === configuration) return;
    const { learners } = leader.configuration;
    leader.configuration = configuration;
    for (const id of learners) if (configuration.voters.includes(id)) this.check(node, leader, id);
  }

  ended(node: NodeView): void {
    this.leaders.delete(node.id);
  }

  private follow(node: NodeView, { term, lastIndex, configuration }: CoreView): Leader {
    const { nowMs } = this.time;
    let leader = this.leaders.get(node.id);
    if (leader?.term !== term) {
      leader = { term, configuration, seenAtMs: nowMs, ledMs: 0, ends: [] };
      this.leaders.set(node.id, leader);
    }
    leader.ledMs += Math.min(nowMs - leader.seenAtMs, GAP_MS_MAX);
    leader.seenAtMs = nowMs;
    if (leader.ends.at(-1)?.lastIndex !== lastIndex) leader.ends.push({ ledMs: leader.ledMs, lastIndex });
    // The end before the one that counts still did when that came.
    while ((leader.ends[1]?.ledMs ?? Number.POSITIVE_INFINITY) < leader.ledMs - BEHIND_MS_MAX)
      leader.ends.shift();
    return leader;
  }

  private check(node: NodeView, { term, ledMs, ends }: Leader, id: NodeId): void {
    const learner = this.nodes().get(id);
    if (learner === undefined || learner.isDamaged) return;
    const needed = ends.findLast((end) => end.ledMs < ledMs - BEHIND_MS_MAX)?.lastIndex ?? 0;
    const { lastIndex, startIndex } = learner.durable;
    if (Math.max(lastIndex, startIndex) >= needed) return;
    throw new Violation(
      this.property,
      `${node.id} leads term ${term} and makes ${id} a voter, whose disk ends at index ${lastIndex}; the log was at index ${needed} ` +
        `${BEHIND_MS_MAX} ms before.`,
    );
  }
}
