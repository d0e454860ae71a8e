import type { Message, NodeId } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * Leadership is handed to a server whose log is as long as the leader's own (thesis §3.10, step 2; correctness row 8), or it would lose the
 * election that it begins. A leader that was removed, and has stepped down, only asks the best that is there.
 */
export class TransferTarget implements Checker {
  readonly property = 'Leadership is transferred only to a node with the whole log (thesis §3.10)';

  constructor(private readonly nodes: () => ReadonlyMap<NodeId, NodeView>) {}

  sending(node: NodeView, core: CoreView, message: Message): void {
    if (message.type !== 'timeoutNow' || core.role !== 'leader') return;
    const target = this.nodes().get(message.to);
    if (target === undefined || target.isDamaged) return;
    const { durable } = target;
    const { lastIndex } = core;
    if (lastIndex < durable.startIndex || durable.termAt(lastIndex) === core.termAt(lastIndex)) return;
    throw new Violation(
      this.property,
      `${node.id} hands term ${core.term} to ${message.to}, whose disk ends at index ${durable.lastIndex}, not ${lastIndex}.`,
    );
  }
}
