import type { Item, Revision } from '../kv/types.js';
import type { Index } from '../raft/types.js';

/** Changes of one revision: what each key became, undefined for a deletion. */
export type Changes = ReadonlyMap<string, Item | undefined>;

/** The states that a store was in, one after the other, as somebody knows them who is none of the nodes. */
export interface KnownStates {
  /** The last one that is known. */
  readonly revision: Revision;
  /** This one and those before need not be kept by nodes. */
  readonly compactedRevision: Revision;
  itemAt(key: string, revision: Revision): Item | undefined;
  /** In byte order. */
  list(prefix: string, revision: Revision): readonly Item[];
  /** Between the revision before and this one. */
  changesOf(revision: Revision): Changes;
}

/** Those states, and which of them each index of the log led to. */
export interface KnownLog {
  readonly store: KnownStates;
  /** The newest revision after an index. */
  revisionAt(index: Index): Revision;
  /** What stands under a key after an index. */
  itemAt(key: string, index: Index): Item | undefined;
}
