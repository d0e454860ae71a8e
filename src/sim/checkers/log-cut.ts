import type { DurableView } from '../durable-log.js';
import { type Checker, type NodeView, Violation } from './checker.js';

/**
 * The log is discarded only up to what a snapshot covers that is written (§7), here the state on its own disk (correctness row 23): what is in
 * neither after a crash is lost. Checked against the bytes of both whenever a write named another beginning of the log: a state
 * on disk never goes back.
 */
export class LogCut implements Checker {
  readonly property = 'The log is cut only below the state on disk (§7)';

  private readonly checked = new WeakMap<DurableView, number>();

  persisted(node: NodeView): void {
    const { durable } = node;
    const { startIndex, startCount } = durable;
    if (this.checked.get(durable) === startCount) return;
    this.checked.set(durable, startCount);
    const { stateIndex } = durable;
    if (startIndex <= stateIndex) return;
    throw new Violation(
      this.property,
      `The log of ${node.id} begins after index ${startIndex} on its disk, and the state there ends at ${stateIndex}.`,
    );
  }
}
