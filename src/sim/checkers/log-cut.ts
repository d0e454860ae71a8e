import { type Checker, type NodeView, Violation } from './checker.js';

/**
 * The log is discarded only up to what a snapshot covers that is written (§7), here the state on its own disk (correctness row 23): what is in
 * neither after a crash is lost. Checked against the bytes of both whenever a write reached the log.
 */
export class LogCut implements Checker {
  readonly property = 'The log is cut only below the state on disk (§7)';

  persisted(node: NodeView): void {
    const { startIndex, stateIndex } = node.durable;
    if (startIndex <= stateIndex) return;
    throw new Violation(
      this.property,
      `The log of ${node.id} begins after index ${startIndex} on its disk, and the state there ends at ${stateIndex}.`,
    );
  }
}
