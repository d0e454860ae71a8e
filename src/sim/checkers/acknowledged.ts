import { decodeCommand } from '../../kv/command-codec.js';
import type { Command, CommandResult, Revision } from '../../kv/types.js';
import { type Entry, EntryKind, type Index } from '../../raft/types.js';
import { sameBytes } from '../bytes.js';
import { type Checker, type NodeView, Violation } from './checker.js';

/**
 * What was acknowledged to a client is never lost (§8; correctness row 26): the change stands in the replicated log, under
 * the revision that the client was told, and at the end every member has applied it.
 */
export class Acknowledged implements Checker {
  readonly property = 'Nothing acknowledged is lost (§8)';
  private readonly changes = new Map<Revision, { readonly index: Index; readonly command: Command }>();
  /** The last index whose change a client was told of. */
  highestIndex: Index = 0;
  private appliedThrough: Index = 0;

  applied(_node: NodeView, entry: Entry, result: CommandResult | undefined): void {
    if (entry.kind !== EntryKind.command || entry.index <= this.appliedThrough) return;
    this.appliedThrough = entry.index;
    if (result === undefined || !tellsOfChange(result)) return;
    const { command } = decodeCommand(entry.payload);
    this.changes.set(result.revision, { index: entry.index, command });
  }

  /** A client was told that its command was done, with this result. */
  acknowledged(command: Command, result: CommandResult): void {
    if (!tellsOfChange(result)) return;
    const change = this.changes.get(result.revision);
    if (change === undefined || !sameTarget(change.command, command)) {
      throw new Violation(
        this.property,
        `A client was told that its ${command.kind} is revision ${result.revision}, and the log has ` +
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

/** The workload puts and deletes; other commands change none of the keys that it writes. */
function tellsOfChange(result: CommandResult): boolean {
  return result.kind === 'put' || (result.kind === 'delete' && result.deleted > 0);
}

function sameTarget(a: Command, b: Command): boolean {
  if (a.kind === 'put' && b.kind === 'put') return sameBytes(a.key, b.key) && sameBytes(a.value, b.value);
  if (a.kind === 'delete' && b.kind === 'delete') return sameBytes(a.key, b.key);
  if (a.kind === 'deletePrefix' && b.kind === 'deletePrefix') return sameBytes(a.prefix, b.prefix);
  return false;
}
