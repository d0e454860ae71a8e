import { EntryKind } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * A server always uses the latest configuration in its log, regardless of whether the entry is committed (§6; correctness
 * row 14): a configuration takes effect when it is appended and is taken back when it is overwritten.
 */
export class ConfigurationInForce implements Checker {
  readonly property = 'The latest configuration in the log is in force (§6)';

  stepped(node: NodeView, core: CoreView): void {
    const { firstIndex, lastIndex, configurationIndex } = core;
    const latest = core
      .entries(firstIndex, lastIndex)
      .findLast(({ kind }) => kind === EntryKind.configuration);
    // Without one in the log, the compacted part had it.
    if (latest === undefined ? configurationIndex < firstIndex : configurationIndex === latest.index) return;
    throw new Violation(
      this.property,
      `${node.id} goes by the configuration at index ${configurationIndex}, and the latest in its log is ` +
        `${latest === undefined ? `before index ${firstIndex}` : `at index ${latest.index}`}.`,
    );
  }
}
