import { encodeCommand } from '../../kv/command-codec.js';
import type { Command, CommandResult } from '../../kv/types.js';
import type { Index } from '../../raft/types.js';
import { sameBytes } from '../bytes.js';
import { type Checker, type NodeView, Violation } from './checker.js';

/**
 * What was acknowledged to a client is never lost (§8; correctness row 26): the change stands in the replicated log, under
 * the revision that the client was told, and at the end every member has applied it.
 */
export class Acknowledged implements Checker {
  readonly property = 'Nothing acknowledged is lost (§8)';
  /** What each revision and each lease came from. */
  private readonly changes = new Map<string, { readonly index: Index; readonly command: Command }>();
  /** The last index whose change a client was told of. */
  highestIndex: Index = 0;

  performed(index: Index, command: Command, result: CommandResult): void {
    const name = changeOf(result);
    // A repeat is answered with what its first time came to.
    if (name !== undefined && !this.changes.has(name)) this.changes.set(name, { index, command });
  }

  /** A client was told that its command was done, with this result. */
  acknowledged(command: Command, result: CommandResult): void {
    const name = changeOf(result);
    if (name === undefined) return;
    const change = this.changes.get(name);
    if (change === undefined || !sameBytes(askedFor(change.command), askedFor(command))) {
      throw new Violation(
        this.property,
        `A client was told that its ${command.kind} is ${name}, and the log has ` +
          `${change === undefined ? 'nothing' : `another ${change.command.kind}`} there.`,
      );
    }
    this.highestIndex = Math.max(this.highestIndex, change.index);
  }

  /** Everything has come to rest: this member must have all of it. */
  finished(node: NodeView, appliedIndex: Index): void {
    if (appliedIndex >= this.highestIndex) return;
    throw new Violation(
      this.property,
      `${node.id} ends at index ${appliedIndex}, and index ${this.highestIndex} was acknowledged.`,
    );
  }
}

/** The bytes of what a client asks for. Nodes add to a transaction that members bound it when they apply it. */
function askedFor(command: Command): Uint8Array {
  if (command.kind !== 'txn') return encodeCommand(command);
  const { isBounded: _, ...asked } = command;
  return encodeCommand(asked);
}

/** What a result says was changed, by a name of its own; undefined where nothing was, or where many may have the same name. */
function changeOf(result: CommandResult): string | undefined {
  switch (result.kind) {
    case 'put':
    case 'added':
      return `revision ${result.revision}`;
    case 'delete':
      return result.deleted > 0 ? `revision ${result.revision}` : undefined;
    case 'txn': {
      const isChange = result.results.some(
        (one) => one.kind === 'put' || one.kind === 'add' || (one.kind === 'delete' && one.deleted > 0),
      );
      return isChange ? `revision ${result.revision}` : undefined;
    }
    case 'leaseRevoked':
      return `the end of lease ${result.lease}`;
    default:
      return undefined;
  }
}
