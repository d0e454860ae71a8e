import type { OptionNames } from './check-options.js';
import type { Bytes } from './wire.js';

/** What every method takes. */
export interface CallOptions {
  /** How long the call may take, with all its attempts; the client's own `timeoutMs` unless given. */
  readonly timeoutMs?: number | undefined;
  /** Gives the call up. Of a change it is then not known whether it was made. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * `linearizable` sees everything that was acknowledged before the read; `lease` the same, for clocks that run at about the
 * same speed; `stale` what the node that is asked has.
 */
export type Consistency = 'linearizable' | 'lease' | 'stale';

export interface ReadOptions extends CallOptions {
  /** `linearizable` unless given. */
  readonly consistency?: Consistency | undefined;
  /** Waits until the node that answers has this revision: a stale read then sees what was written at it. */
  readonly minRevision?: number | undefined;
  /** Reads the store as it was at this revision. Fails with `compacted` where that is gone. */
  readonly revision?: number | undefined;
}

/** At most one of them. The call fails with `precondition_failed` where it does not hold. */
export interface ConditionOptions extends CallOptions {
  /** Only if the last change of the key was at this revision. */
  readonly ifRevision?: number | undefined;
  /** Only if there is no such key. */
  readonly ifAbsent?: boolean | undefined;
}

export interface PutOptions extends ConditionOptions {
  /** A media type that is kept with the value and given back with it. */
  readonly contentType?: string | undefined;
  /** The key goes when so many seconds have passed, by a lease of its own. Not together with `lease`. */
  readonly ttlSeconds?: number | undefined;
  /** The key goes with this lease. */
  readonly lease?: string | undefined;
}

export interface AddOptions extends CallOptions {
  /** What a key that does not exist counts as; 0 unless given. */
  readonly initial?: number | undefined;
}

export interface CompactOptions extends CallOptions {
  /** The oldest revision that is kept; the newest unless given. */
  readonly revision?: number | undefined;
}

export interface DeleteOptions extends ConditionOptions {
  /** Fails with `key_not_found` where there is no such key, rather than saying that nothing was deleted. */
  readonly mustExist?: boolean | undefined;
}

export interface ListOptions extends ReadOptions {
  /** Only keys that start with it. */
  readonly prefix?: Bytes | undefined;
  /** Leaves the values out. */
  readonly keysOnly?: boolean | undefined;
  /** At most so many items: in `list` of this page, 1 to 1,000; in `listAll` of all pages together. */
  readonly limit?: number | undefined;
}

export interface DeletePrefixOptions extends CallOptions {
  /**
   * Deletes the keys in several changes where they are too many for one. Other clients may see some keys gone and others still
   * there; where the call fails, what is deleted stays deleted. `timeoutMs` then bounds each part.
   */
  readonly inParts?: boolean | undefined;
  /** With `inParts`: called after each part with the number of keys that are gone so far. */
  readonly onProgress?: ((deleted: number) => void) | undefined;
}

const call = { timeoutMs: true, signal: true } as const;
const read = { ...call, consistency: true, minRevision: true, revision: true } as const;
const condition = { ...call, ifRevision: true, ifAbsent: true } as const;

/** Transactions that only read take the options of a read. */
export const txnOptionNames: OptionNames<ReadOptions> = read;
export const callOptionNames: OptionNames<CallOptions> = call;
export const readOptionNames: OptionNames<ReadOptions & { readonly mustExist?: boolean }> = {
  ...read,
  mustExist: true,
};
export const putOptionNames: OptionNames<PutOptions> = {
  ...condition,
  contentType: true,
  ttlSeconds: true,
  lease: true,
};
export const addOptionNames: OptionNames<AddOptions> = { ...call, initial: true };
export const compactOptionNames: OptionNames<CompactOptions> = { ...call, revision: true };
export const deleteOptionNames: OptionNames<DeleteOptions> = { ...condition, mustExist: true };
export const deletePrefixOptionNames: OptionNames<DeletePrefixOptions> = {
  ...call,
  inParts: true,
  onProgress: true,
};
export const listOptionNames: OptionNames<ListOptions> = {
  ...read,
  prefix: true,
  keysOnly: true,
  limit: true,
};
