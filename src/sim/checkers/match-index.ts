import type { Index, Message, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * What a leader knows to be replicated on a server increases monotonically (Figure 2, `matchIndex`; correctness row 9), and it is on the
 * disk of that very incarnation of the server (correctness rows 2 and 16): an answer of somebody else who had its name, or to something
 * that was no append, says nothing about it. Looked at when any answer came.
 */
export class MatchIndex implements Checker {
  readonly property = 'The match index never goes back, and is on disk (Figure 2)';
  private readonly known = new Map<
    NodeId,
    {
      readonly term: Term;
      readonly matches: Map<NodeId, { readonly incarnation: string; readonly match: Index }>;
    }
  >();

  constructor(private readonly nodes: () => ReadonlyMap<NodeId, NodeView>) {}

  received(node: NodeView, core: CoreView, message: Message): void {
    if (core.role !== 'leader') return;
    if (message.type !== 'appendEntriesResponse' && message.type !== 'heartbeatResponse') return;
    let leader = this.known.get(node.id);
    if (leader?.term !== core.term) {
      leader = { term: core.term, matches: new Map() };
      this.known.set(node.id, leader);
    }
    const match = core.follower(message.from)?.match ?? 0;
    const before = leader.matches.get(message.from);
    if (before?.match === match) return;
    const incarnation = core.configuration.members.find(({ id }) => id === message.from)?.incarnation;
    if (incarnation === undefined) {
      leader.matches.delete(message.from);
      return;
    }
    const known = before?.incarnation === incarnation ? before.match : 0;
    leader.matches.set(message.from, { incarnation, match });
    if (match < known) this.fail(node, core, message.from, `went from ${known} to ${match}`);
    if (match > known) this.checkDisk(node, core, message.from, incarnation, match);
  }

  ended(node: NodeView): void {
    this.known.delete(node.id);
  }

  private checkDisk(node: NodeView, core: CoreView, id: NodeId, incarnation: string, match: Index): void {
    if (match > core.lastIndex) this.fail(node, core, id, `is ${match}, beyond its own log`);
    const follower = this.nodes().get(id);
    if (follower === undefined || follower.incarnation !== incarnation || follower.isDamaged) return;
    const { durable } = follower;
    const isCompacted = match < durable.startIndex || match < core.firstIndex - 1;
    // What it held in this leader's time may have been replaced since, by a leader of a later term.
    if (isCompacted || durable.termAt(match) === core.termAt(match) || durable.term > core.term) return;
    this.fail(node, core, id, `is ${match}, where the disk of ${id} has term ${durable.termAt(match)}`);
  }

  private fail(node: NodeView, core: CoreView, id: NodeId, what: string): never {
    throw new Violation(
      this.property,
      `${node.id} leads term ${core.term} with a log up to ${core.lastIndex}, and its match index for ${id} ${what}.`,
    );
  }
}
