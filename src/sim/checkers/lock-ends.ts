import { type Command, type CommandResult, RESERVED_PREFIX, type Revision } from '../../kv/types.js';
import type { Index } from '../../raft/types.js';
import type { KnownLog } from '../known-states.js';
import { type Checker, Violation } from './checker.js';

/**
 * A client that was told that it holds a lock keeps it until its time is up or somebody gives it back with its token
 * (docs/http-api.md, locks; rule 21).
 */
export class LockEnds implements Checker {
  readonly property = 'A lock ends only by its token or its time to live (row 21)';
  /** Tokens that clients were told of, and those with which they give locks back. */
  private readonly held = new Set<Revision>();
  private readonly givenBack = new Set<Revision>();
  private revision: Revision = 0;

  constructor(private readonly log: Pick<KnownLog, 'store'>) {}

  /** A client is told that it holds a lock. */
  isTold(token: Revision): void {
    this.held.add(token);
  }

  /** A client asks to give a lock back. */
  givesBack(token: Revision): void {
    this.givenBack.add(token);
  }

  performed(index: Index, command: Command, result: CommandResult): void {
    const { revision } = result;
    // A command that changes nothing names the revision of another one.
    const isChange = revision > this.revision;
    this.revision = Math.max(this.revision, revision);
    if (!isChange || this.held.size === 0 || command.kind === 'leaseExpire') return;
    for (const [key, item] of this.log.store.changesOf(revision)) {
      if (item !== undefined || !key.startsWith(LOCKS)) continue;
      const token = this.log.store.itemAt(key, revision - 1)?.createRevision ?? 0;
      if (!this.held.has(token) || this.givenBack.has(token)) continue;
      throw new Violation(
        this.property,
        `The ${command.kind} at index ${index} ends the lock with token ${token}, whose holder did not give it back.`,
      );
    }
  }
}

const LOCKS = `${RESERVED_PREFIX}locks/`;
