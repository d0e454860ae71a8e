import type { Message, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * From the moment at which a leader is elected, no leader of an earlier term holds a lease, and none comes to hold one (thesis
 * §6.4.1; rule 19): a read by that lease could miss what the new leader has committed. Each lease is judged by the clock of the
 * node that holds it, as the node itself does.
 */
export class LeaseAlone implements Checker {
  readonly property = 'A leader with a lease is the only leader (thesis §6.4.1)';
  private highestTerm: Term = 0;
  private highestLeader: NodeId = '';

  constructor(private readonly nodes: () => ReadonlyMap<NodeId, NodeView>) {}

  stepped(node: NodeView, core: CoreView): void {
    if (core.role !== 'leader' || core.term <= this.highestTerm) return;
    this.highestTerm = core.term;
    this.highestLeader = node.id;
    for (const other of this.nodes().values()) if (other !== node) this.check(other, other.core);
  }

  received(node: NodeView, core: CoreView, message: Message): void {
    if (message.type === 'heartbeatResponse') this.check(node, core);
  }

  private check(node: NodeView, core: CoreView | null): void {
    if (core === null || core.role !== 'leader' || core.term >= this.highestTerm) return;
    if (node.clockMs === null || !core.holdsLease(node.clockMs)) return;
    throw new Violation(
      this.property,
      `${node.id} holds the lease of term ${core.term}, and ${this.highestLeader} leads term ${this.highestTerm}.`,
    );
  }
}
