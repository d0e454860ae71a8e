import type { CommandResult, Item, ListResult, Revision, TxnCommand } from '../../kv/types.js';
import type { Index, NodeId } from '../../raft/types.js';
import { sameBytes, textOf } from '../bytes.js';
import type { KnownLog } from '../known-states.js';
import { compares } from '../reference-store.js';
import { Violation } from './checker.js';

/**
 * A read may show the past, never another past: what it shows is what the log up to the node's applied index leaves (§5.4.3;
 * docs/http-api.md, Reads). That it is not too old is for other checkers.
 */
export class ShownStates {
  readonly property = 'A read shows the state at some index (§5.4.3)';

  constructor(private readonly log: Pick<KnownLog, 'store' | 'itemAt' | 'revisionAt'>) {}

  /** The newest item under a key, of a state that has applied so much. */
  newest(node: NodeId, key: Uint8Array, item: Item | undefined, appliedIndex: Index): void {
    const expected = this.log.itemAt(textOf(key), appliedIndex);
    if (!isSame(item, expected))
      this.fail(`${node} has applied index ${appliedIndex} and`, key, item, expected);
  }

  /** The item under a key as of a revision that the node has reached. */
  past(node: NodeId, key: Uint8Array, item: Item | undefined, revision: Revision): void {
    const expected = this.log.store.itemAt(textOf(key), revision);
    if (!isSame(item, expected)) this.fail(`${node} reads revision ${revision} and`, key, item, expected);
  }

  /** What was asked for is at least of this revision. */
  reaches(node: NodeId, minRevision: Revision, appliedIndex: Index): void {
    const revision = this.log.revisionAt(appliedIndex);
    if (revision >= minRevision) return;
    throw new Violation(
      this.property,
      `${node} was asked for revision ${minRevision} at least, and shows revision ${revision}.`,
    );
  }

  /** How many keys there are, of a state that has applied so much. */
  counted(node: NodeId, count: number, appliedIndex: Index): void {
    const expected = this.log.store.list('', this.log.revisionAt(appliedIndex)).length;
    if (count === expected) return;
    throw new Violation(
      this.property,
      `${node} has applied index ${appliedIndex} and counts ${count} keys, where the log leaves ${expected}.`,
    );
  }

  /** A page of a listing. */
  page(node: NodeId, prefix: Uint8Array, { revision, items, more }: ListResult, after?: Uint8Array): void {
    const listed = this.log.store.list(textOf(prefix), revision);
    const all = after === undefined ? listed : listed.filter(({ key }) => textOf(key) > textOf(after));
    items.forEach((item, at) => {
      const expected = all[at];
      if (!isSame(item, expected))
        this.fail(`${node} lists revision ${revision} and`, item.key, item, expected);
    });
    if (more === all.length > items.length) return;
    throw new Violation(
      this.property,
      `${node} lists revision ${revision}: ${items.length} of ${all.length} keys, and says that ${more ? 'more' : 'none'} follow.`,
    );
  }

  /** What a transaction that only reads found, all of it at the one revision that it names. */
  together(node: NodeId, { compare, success, failure }: TxnCommand, result: CommandResult): void {
    if (result.kind !== 'txn')
      throw new Violation(this.property, `${node} answers a transaction that reads with ${result.kind}.`);
    const { store } = this.log;
    const { revision, succeeded, results } = result;
    const holds = compare.every((one) => compares(store.itemAt(textOf(one.key), revision), one));
    if (holds !== succeeded)
      throw new Violation(this.property, `${node} compares otherwise than revision ${revision} has it.`);
    (succeeded ? success : failure).forEach((operation, at) => {
      const one = results[at];
      const shown = one?.kind === 'get' ? one.items : [];
      if (operation.kind === 'get') {
        this.past(node, operation.key, shown[0], revision);
      } else if (operation.kind === 'getPrefix') {
        this.page(node, operation.prefix, { revision, items: shown, more: false });
      }
    });
  }

  /**
   * A revision was refused because it is not kept any more.
   *
   * @param oldest What the node says is the oldest that it keeps.
   */
  compacted(node: NodeId, revision: Revision, oldest: Revision): void {
    if (revision < this.log.store.compactedRevision && revision < oldest) return;
    throw new Violation(this.property, `${node} has dropped revision ${revision}, which must be kept.`);
  }

  private fail(who: string, key: Uint8Array, item: Item | undefined, expected: Item | undefined): never {
    const name = (shown: Item | undefined) =>
      shown === undefined ? 'nothing' : `revision ${shown.modRevision}`;
    throw new Violation(
      this.property,
      `${who} shows ${name(item)} of ${textOf(key)}, where the log leaves ${name(expected)}.`,
    );
  }
}

/** Whether two items are the same in everything. */
export function isSame(a: Item | undefined, b: Item | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    sameBytes(a.key, b.key) &&
    sameBytes(a.value, b.value) &&
    a.createRevision === b.createRevision &&
    a.modRevision === b.modRevision &&
    a.version === b.version &&
    a.contentType === b.contentType &&
    (a.lease ?? 0) === (b.lease ?? 0)
  );
}
