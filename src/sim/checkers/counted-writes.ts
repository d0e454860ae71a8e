import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * What a node takes to be on its disk is there, as it stands in its log (rule 3). A write from before a truncation or a snapshot
 * says nothing about the entries that came after it, although they may have the same indexes.
 */
export class CountedWrites implements Checker {
  readonly property = 'Writes from before a truncation or a snapshot do not count as durable (row 3)';

  stepped(node: NodeView, core: CoreView): void {
    const { durableIndex } = core;
    const { durable } = node;
    // What was compacted in memory may still be on the disk, and the other way round after a snapshot was installed.
    if (durableIndex <= durable.startIndex || durableIndex < core.firstIndex - 1) return;
    const onDisk = durable.termAt(durableIndex);
    if (onDisk === core.termAt(durableIndex)) return;
    throw new Violation(
      this.property,
      `${node.id} takes its log to be on disk up to index ${durableIndex} of term ${core.termAt(durableIndex)}, and the disk has ` +
        `${onDisk === undefined ? 'nothing' : `term ${onDisk}`} there.`,
    );
  }
}
