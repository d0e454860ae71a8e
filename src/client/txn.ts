import { type Bytes, toMember } from './bytes.js';
import { type Item, type JsonObject, toItem } from './item.js';

/** A comparison of what stands under a key with what is given. A key that is not there has version and revisions 0. */
export type Compare =
  | {
      readonly key: Bytes;
      readonly target: 'value';
      readonly op: '=' | '!=' | '<' | '>';
      readonly value: Bytes;
    }
  | {
      readonly key: Bytes;
      readonly target: 'version' | 'createRevision' | 'modRevision';
      readonly op: '=' | '!=' | '<' | '>';
      readonly value: number;
    }
  | { readonly key: Bytes; readonly target: 'exists'; readonly op: '=' | '!='; readonly value: boolean };

export type Operation =
  | { readonly put: { readonly key: Bytes; readonly value: Bytes; readonly lease?: string } }
  | { readonly get: { readonly key: Bytes } | { readonly prefix: Bytes } }
  | { readonly delete: { readonly key: Bytes } | { readonly prefix: Bytes } };

/** If every comparison holds, `success` is done, else `failure`; all of it at one revision, or nothing. */
export interface Transaction {
  readonly compare?: readonly Compare[];
  readonly success?: readonly Operation[];
  readonly failure?: readonly Operation[];
}

/** What each operation of the branch gave, in its order. */
export type OperationResult =
  | { readonly kind: 'put'; readonly created: boolean }
  | { readonly kind: 'get'; readonly items: readonly Item[] }
  | { readonly kind: 'delete'; readonly deleted: number };

export interface TransactionResult {
  readonly succeeded: boolean;
  readonly revision: number;
  readonly results: readonly OperationResult[];
}

export function encodeTransaction({ compare = [], success = [], failure = [] }: Transaction): string {
  return JSON.stringify({
    compare: compare.map(({ key, target, op, value }) => ({
      ...toMember('key', key),
      target,
      op,
      ...(target === 'value' ? toMember('value', value) : { value }),
    })),
    success: success.map(encodeOperation),
    failure: failure.map(encodeOperation),
  });
}

function encodeOperation(operation: Operation): JsonObject {
  if ('put' in operation) {
    const { key, value, lease } = operation.put;
    return {
      put: {
        ...toMember('key', key),
        ...toMember('value', value),
        ...(lease === undefined ? {} : { lease }),
      },
    };
  }
  if ('get' in operation) return { get: encodeWhich(operation.get) };
  return { delete: encodeWhich(operation.delete) };
}

function encodeWhich(which: { readonly key: Bytes } | { readonly prefix: Bytes }): JsonObject {
  return 'key' in which ? toMember('key', which.key) : toMember('prefix', which.prefix);
}

interface ResultJson {
  readonly succeeded: boolean;
  readonly revision: number;
  readonly results: readonly {
    readonly put?: { readonly created: boolean };
    readonly get?: { readonly items: readonly JsonObject[] };
    readonly delete?: { readonly deleted: number };
  }[];
}

export function decodeTransaction(json: ResultJson): TransactionResult {
  const results = json.results.map(({ put, get, delete: deletion }): OperationResult => {
    if (put !== undefined) return { kind: 'put', created: put.created };
    if (get !== undefined) return { kind: 'get', items: get.items.map(toItem) };
    return { kind: 'delete', deleted: deletion?.deleted ?? 0 };
  });
  return { succeeded: json.succeeded, revision: json.revision, results };
}
