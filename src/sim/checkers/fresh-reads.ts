import type { Index, NodeId } from '../../raft/types.js';
import { Violation } from './checker.js';

/**
 * Linearizable reads must not return stale data (§8): what a read shows includes every change that any client was told of
 * before the read began, under any key. The search over histories looks at each key alone; here all of them count.
 */
export class FreshReads {
  readonly property = 'A read shows everything that was acknowledged before it (§8)';

  /**
   * @param acknowledgedIndex The highest index that was acknowledged when the read began.
   * @param appliedIndex What the state held when the read was answered.
   */
  read(node: NodeId, acknowledgedIndex: Index, appliedIndex: Index): void {
    if (appliedIndex >= acknowledgedIndex) return;
    throw new Violation(
      this.property,
      `${node} answers from index ${appliedIndex}, and index ${acknowledgedIndex} was acknowledged before the read began.`,
    );
  }
}
