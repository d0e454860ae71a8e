import type { Caller } from './caller.js';
import { RaftkvClientError } from './errors.js';
import { changeCall, type PageJson, pageOf, patience, readCall } from './key-values.js';
import type { DeletePrefixOptions } from './options.js';
import type { DeleteResult } from './results.js';
import type { TxnResultJson } from './txn.js';
import { type Bytes, toWire } from './wire.js';

/** As many as a page has at most. */
const keysPerPage = 1_000;
/** As many as a transaction takes. */
const keysPerPart = 128;
/** Parts under way at a time: together they take a page. */
const partsAtOnce = 8;

/** Deletes every key with a prefix, at one revision, or in parts where that is allowed and needed. */
export async function deletePrefix(
  caller: Caller,
  prefix: Bytes,
  options: DeletePrefixOptions,
): Promise<DeleteResult> {
  const before = { deleted: 0, parts: 0 };
  for (;;) {
    try {
      const result = await deleteAtOnce(caller, prefix, options);
      if (before.parts === 0) return result;
      // What was put meanwhile and what is left, in one last part.
      const deleted = before.deleted + result.deleted;
      options.onProgress?.(deleted);
      return { revision: result.revision, deleted, parts: before.parts + 1 };
    } catch (error) {
      if (options.inParts !== true || !hasCode(error, 'too_many_keys')) throw error;
    }
    await deleteListed(caller, prefix, options, before);
  }
}

function deleteAtOnce(caller: Caller, prefix: Bytes, options: DeletePrefixOptions): Promise<DeleteResult> {
  return caller.callJson({ ...changeCall(options), method: 'DELETE', path: '/v1/kv', query: { prefix } });
}

/** Deletes the keys that a listing shows, in transactions, until it ends or its revision is not kept any more. */
async function deleteListed(
  caller: Caller,
  prefix: Bytes,
  options: DeletePrefixOptions,
  sum: { deleted: number; parts: number },
): Promise<void> {
  let cursor: string | undefined;
  do {
    let page: PageJson;
    try {
      page = await caller.callJson({
        ...readCall(patience(options)),
        path: '/v1/kv',
        query: { prefix, limit: keysPerPage, cursor, keysOnly: true },
      });
    } catch (error) {
      if (cursor !== undefined && hasCode(error, 'compacted')) return;
      throw error;
    }
    const keys = pageOf(page).items.map((item) => item.keyBytes);
    const parts = Array.from({ length: Math.ceil(keys.length / keysPerPart) }, (_, part) =>
      keys.slice(part * keysPerPart, (part + 1) * keysPerPart),
    );
    for (let first = 0; first < parts.length; first += partsAtOnce) {
      const deleting = parts
        .slice(first, first + partsAtOnce)
        .map((part) => deleteKeys(caller, part, options));
      for (const deleted of await Promise.all(deleting)) {
        sum.deleted += deleted;
        sum.parts += 1;
      }
      options.onProgress?.(sum.deleted);
    }
    cursor = page.nextCursor;
  } while (cursor !== undefined);
}

async function deleteKeys(
  caller: Caller,
  keys: readonly Uint8Array[],
  options: DeletePrefixOptions,
): Promise<number> {
  const { results }: TxnResultJson = await caller.callJson({
    ...changeCall(options),
    method: 'POST',
    path: '/v1/txn',
    body: JSON.stringify(toWire({ success: keys.map((key) => ({ delete: { key } })) })),
  });
  return results.reduce((sum, result) => sum + ('delete' in result ? result.delete.deleted : 0), 0);
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof RaftkvClientError && error.code === code;
}
