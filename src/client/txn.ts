import { Item, type ItemJson } from './item.js';
import type { Bytes } from './wire.js';

/** Compares, then does one branch, all at one revision. */
export interface Txn {
  /** All of them must hold for `success` to be done; none always hold. */
  readonly compare?: readonly TxnCompare[];
  readonly success?: readonly TxnOperation[];
  readonly failure?: readonly TxnOperation[];
}

export type TxnCompare =
  | (TxnKey & { readonly target: 'value'; readonly op: CompareOp; readonly value: Bytes })
  | (TxnKey & {
      readonly target: 'version' | 'createRevision' | 'modRevision';
      readonly op: CompareOp;
      readonly value: number;
    })
  | (TxnKey & { readonly target: 'exists'; readonly op: '=' | '!='; readonly value: boolean });

export type CompareOp = '=' | '!=' | '<' | '>';

export type TxnOperation =
  | {
      readonly put: TxnKey & {
        readonly value: Bytes;
        /** A media type that is kept with the value. */
        readonly contentType?: string;
        readonly lease?: string;
        /** Gives the key a lease of its own, which the result names: it is deleted after this time. */
        readonly ttlSeconds?: number;
      };
    }
  | {
      /** Adds to a counter, as {@link RaftkvClient.add} does; where it cannot be added, nothing of the transaction is done. */
      readonly add: TxnKey & {
        readonly delta: number;
        /** What a key that does not exist counts as; 0 unless given. */
        readonly initial?: number;
      };
    }
  | { readonly get: TxnKey | TxnPrefix }
  | { readonly delete: TxnKey | TxnPrefix };

export interface TxnKey {
  readonly key: Bytes;
}

export interface TxnPrefix {
  /** The empty one stands for all keys; only a get takes it. */
  readonly prefix: Bytes;
}

export interface TxnResult {
  /** Whether the comparisons held. */
  readonly succeeded: boolean;
  /** The revision that the changes took, or the store's revision where there were none. */
  readonly revision: number;
  /** In the order of the branch that was done. */
  readonly results: readonly TxnOperationResult[];
}

export type TxnOperationResult =
  | {
      readonly put: {
        readonly key?: string;
        readonly keyBase64?: string;
        readonly created: boolean;
        /** The lease of its own that `ttlSeconds` made. */
        readonly lease?: string;
      };
    }
  | {
      readonly add: {
        readonly key?: string;
        readonly keyBase64?: string;
        /** What the key holds after it. */
        readonly value: number;
        readonly created: boolean;
      };
    }
  | { readonly get: { readonly items: readonly Item[] } }
  | { readonly delete: { readonly deleted: number } };

/** A result as the server writes it. */
export interface TxnResultJson extends Omit<TxnResult, 'results'> {
  readonly results: readonly (
    | Exclude<TxnOperationResult, { readonly get: unknown }>
    | { readonly get: { readonly items: readonly ItemJson[] } }
  )[];
}

/** Whether it changes nothing, whichever branch is done. */
export function onlyReads({ success = [], failure = [] }: Txn): boolean {
  return [...success, ...failure].every((operation) => 'get' in operation);
}

export function txnResult(json: TxnResultJson): TxnResult {
  const results = json.results.map((result) =>
    'get' in result ? { get: { items: result.get.items.map((item) => new Item(item)) } } : result,
  );
  return { ...json, results };
}
