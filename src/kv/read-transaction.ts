import { AssertionError } from '../assert.js';
import { valueBytesOf } from './changes.js';
import { type Compared, holdAll } from './comparisons.js';
import { PrefixWalks } from './prefix-walks.js';
import { currentVersion, findKey, itemAt, type Layers, readItem } from './reader.js';
import {
  type CommandResult,
  type Item,
  type Revision,
  TXN_ANSWER_BYTES_MAX,
  TXN_ITEM_BYTES,
  type TxnCommand,
  type TxnOperation,
  type TxnResult,
} from './types.js';

/** Whether the answer needs a walk, which takes many turns of the event loop. */
export function walksAhead({ success, failure }: TxnCommand): boolean {
  return [success, failure].some((branch) => branch.some(({ kind }) => kind === 'getPrefix'));
}

/**
 * Answers a transaction that only reads, as of a revision that is at least the compacted one. It gives what the log would
 * give at that revision. Throws the reason of `signal` once that is aborted.
 *
 * @param layers Frozen, where a prefix is walked.
 */
export async function readTransaction(
  layers: Layers,
  { compare, success, failure }: TxnCommand,
  revision: Revision,
  signal: AbortSignal | undefined,
): Promise<CommandResult> {
  // Here the bound holds always: what only reads is not in the log, so no other program has to agree.
  const succeeded = holdAll(compare, true, (key) => compared(layers, key, revision));
  if (succeeded === undefined) return { kind: 'answerTooLarge', revision };
  const walks = new PrefixWalks(layers, revision);
  const results: TxnResult[] = [];
  let bytes = 0;
  for (const operation of succeeded ? success : failure) {
    const items: Item[] = [];
    for await (const item of found(layers, walks, operation, revision, signal)) {
      items.push(item);
      bytes += TXN_ITEM_BYTES + item.key.length + item.value.length + item.contentType.length;
      if (bytes > TXN_ANSWER_BYTES_MAX) return { kind: 'answerTooLarge', revision };
    }
    results.push({ kind: 'get', items });
  }
  return { kind: 'txn', revision, succeeded, results };
}

function compared(layers: Layers, key: Uint8Array, revision: Revision): Compared | undefined {
  const found = findKey(layers, key);
  if (found === undefined) return undefined;
  const { current } = found;
  const isNewest = current.modRevision <= revision;
  const state = itemAt(layers, found, revision, isNewest);
  if (state === undefined) return undefined;
  if (!isNewest) {
    const { value } = state;
    return { state, valueBytes: value.length, readBytes: value.length, readValue: () => value };
  }
  const readValue = () => currentVersion(layers, found).value;
  return { state, valueBytes: valueBytesOf(key, current), readBytes: 0, readValue };
}

async function* found(
  layers: Layers,
  walks: PrefixWalks,
  operation: TxnOperation,
  revision: Revision,
  signal: AbortSignal | undefined,
): AsyncGenerator<Item> {
  if (operation.kind === 'get') {
    const item = readItem(layers, operation.key, revision);
    if (item !== undefined) yield item;
    return;
  }
  if (operation.kind !== 'getPrefix') throw new AssertionError(`A read does not ${operation.kind}.`);
  for await (const keys of walks.under(operation.prefix)) {
    signal?.throwIfAborted();
    for (const key of keys) {
      const item = itemAt(layers, key, revision, false);
      if (item !== undefined) yield item;
    }
  }
}
