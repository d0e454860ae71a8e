import type { Index, Message, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * What a leader knows to be replicated on a server increases monotonically (Figure 2, `matchIndex`; correctness row 9),
 * and never beyond its own log. Looked at when an answer to an append or a snapshot came, the only thing that moves it.
 */
export class MatchIndex implements Checker {
  readonly property = 'The match index never goes back (Figure 2)';
  private readonly known = new Map<
    NodeId,
    { readonly term: Term; readonly matches: ReadonlyMap<NodeId, Index> }
  >();

  received(node: NodeView, core: CoreView, message: Message): void {
    if (core.role !== 'leader' || message.type !== 'appendEntriesResponse') return;
    const matches = new Map(core.status().followers.map(({ id, match }) => [id, match]));
    const before = this.known.get(node.id);
    this.known.set(node.id, { term: core.term, matches });
    for (const [id, match] of matches) {
      const known = before?.term === core.term ? (before.matches.get(id) ?? 0) : 0;
      if (match >= known && match <= core.lastIndex) continue;
      throw new Violation(
        this.property,
        `${node.id} leads term ${core.term} with a log up to ${core.lastIndex}, and its match index for ${id} went from ` +
          `${known} to ${match}.`,
      );
    }
  }

  ended(node: NodeView): void {
    this.known.delete(node.id);
  }
}
