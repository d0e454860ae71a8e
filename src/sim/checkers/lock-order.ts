import { RESERVED_PREFIX, type Revision } from '../../kv/types.js';
import type { Index, NodeId } from '../../raft/types.js';
import type { KnownLog } from '../known-states.js';
import { Violation } from './checker.js';

/**
 * Whoever is told that it holds a lock was the first in line at some moment of its request, and no two are told the same token
 * (correctness row 21; docs/http-api.md, locks).
 */
export class LockOrder {
  readonly property = 'A lock has one holder, the first in line (row 21)';
  private readonly tokens = new Set<Revision>();

  constructor(private readonly log: Pick<KnownLog, 'store' | 'revisionAt'>) {}

  /** @param fromIndex What was applied by anybody when the lock was asked for. */
  held(node: NodeId, name: string, token: Revision, fromIndex: Index): void {
    if (this.tokens.has(token))
      throw new Violation(
        this.property,
        `Token ${token} of lock ${name} was given to two, the second by ${node}.`,
      );
    this.tokens.add(token);
    for (let revision = this.log.revisionAt(fromIndex); revision <= this.log.store.revision; revision += 1) {
      if (this.firstInLine(name, revision) === token) return;
    }
    throw new Violation(
      this.property,
      `${node} says that ${token} holds lock ${name}, and it was never the first in line.`,
    );
  }

  private firstInLine(name: string, revision: Revision): Revision | undefined {
    const line = this.log.store.list(`${RESERVED_PREFIX}locks/${name}\0`, revision);
    return line.length === 0 ? undefined : Math.min(...line.map(({ createRevision }) => createRevision));
  }
}
