/** The vocabulary of the key-value state machine: what a command asks, what it answers, what a read returns. */

import type { ClusterVersion } from '../cluster-version.js';

/** The sums of the live records after an entry, one a bucket, each of 32 bits; see live-sums.ts. */
export interface IndexedSums {
  readonly index: number;
  readonly sums: readonly number[];
}

/** The store's logical time: it grows by one with every command that changes something. 0 is the empty store. */
export type Revision = number;

/** A lease's id: 1, 2, 3 … in the order of granting; decimal text in the HTTP API. 0 stands for none. */
export type LeaseId = number;

/**
 * Milliseconds of log time, a whole number: how long leaders have measured, together, since the cluster began. It never
 * goes back, and what a wall clock does is nothing to it.
 */
export type LogTime = number;

/** How long the answer to a command with an idempotency key is kept, in milliseconds of log time. Replicas agree on it. */
export const IDEMPOTENCY_MS = 24 * 60 * 60 * 1000;
/** The longest key, in bytes. A longer one is refused before it is proposed (400). */
export const KEY_BYTES_MAX = 4096;
/** The longest value that a node can be told to accept, in bytes: one has to fit into a message between peers. */
export const VALUE_BYTES_LIMIT = 16 * 1024 * 1024;
/** The longest media type that is kept with a value, in characters. */
export const CONTENT_TYPE_LENGTH_MAX = 256;
/** A media type stands in a header of HTTP as it is, so it has no line breaks. */
export const mediaTypeText = /^[\t\x20-\x7e]*$/;

/** More than a cluster can reach, in about 4,500 years; with a time to live it still fits into 48 bits. */
export const LOG_TIME_MS_MAX = 2 ** 47;
/** How many revisions the condition of a write may name. */
export const CONDITION_REVISIONS_MAX = 100;

/** The longest idempotency key, in characters. */
export const IDEMPOTENCY_KEY_LENGTH_MAX = 128;
/** How many bytes tell one request from another. */
export const FINGERPRINT_BYTES = 16;

/** A client's promise that a repeat of this request is the same request (correctness row 27). */
export interface Idempotency {
  /** 1 to 128 characters. */
  readonly key: string;
  /** 16 bytes: a hash of the method, path, query, conditions, content type and body. */
  readonly fingerprint: Uint8Array;
}

/** What every command may carry. */
interface Repeatable {
  /** The first command under this key is performed; a repeat of it gets the same result. Absent: no such promise. */
  readonly idempotency?: Idempotency;
}

/** A condition on the key of a command, checked when the command is applied (HTTP's If-Match and If-None-Match): one at most. */
export interface Condition {
  /** The key must exist with exactly this mod revision. */
  readonly ifRevision?: Revision;
  /** The key must exist with one of these mod revisions; none of them never holds. */
  readonly ifRevisionIn?: readonly Revision[];
  /** The key must not exist with one of these mod revisions. */
  readonly ifRevisionNotIn?: readonly Revision[];
  /** The key must exist. */
  readonly ifPresent?: boolean;
  /** The key must not exist. */
  readonly ifAbsent?: boolean;
}

export interface PutCommand extends Repeatable, Condition {
  readonly kind: 'put';
  /** 1 to 4096 bytes. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** The media type to give back; '' for the default, application/octet-stream. */
  readonly contentType: string;
  /**
   * Attaches the key to this lease, which must exist. A put without lease and time to live detaches the key from the one
   * that it had.
   */
  readonly lease?: LeaseId;
  /**
   * Grants a lease of the key's own, of so many milliseconds, and attaches it. It goes when the key is overwritten or
   * deleted. Not together with `lease`.
   */
  readonly ttlMs?: number;
}

/**
 * Adds to a whole number in decimal text, and keeps the key's content type and lease. A key that does not exist counts as
 * `initial` and is created. From cluster version 2 on.
 */
export interface AddCommand extends Repeatable {
  readonly kind: 'add';
  readonly key: Uint8Array;
  /** A safe integer. */
  readonly delta: number;
  /** A safe integer. */
  readonly initial: number;
}

/** Drops the history before a revision, or all of it. From cluster version 2 on. */
export interface CompactCommand extends Repeatable {
  readonly kind: 'compact';
  /** The oldest revision that can be read from then on; the newest where it is absent or beyond that. */
  readonly revision?: Revision;
}

export interface DeleteCommand extends Repeatable, Condition {
  readonly kind: 'delete';
  readonly key: Uint8Array;
}

/**
 * How many keys, and bytes of keys, one command may delete by prefix or with a lease: it is done in one turn of the event
 * loop and held in memory until it is on disk, so without a bound one request could stall or exhaust every member at once,
 * and again at every restart. Part of what replicas agree on, too: the answer to a committed command must be the same
 * everywhere.
 */
export const DELETED_KEYS_MAX = 10_000;
export const DELETED_KEY_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Deletes every key that starts with `prefix`, which is not empty, at one revision; or none, where they are more than one
 * command may delete.
 */
export interface DeletePrefixCommand extends Repeatable {
  readonly kind: 'deletePrefix';
  readonly prefix: Uint8Array;
}

/** How many comparisons a transaction may make, and how many operations each of its branches may have. */
export const TXN_OPERATIONS_MAX = 128;
/**
 * How many bytes the gets of a transaction may return together: keys, values, content types, and {@link TXN_ITEM_BYTES} for
 * each item, so that very many small ones are not taken for little. Replicas agree on it.
 */
export const TXN_ANSWER_BYTES_MAX = 1024 * 1024;
export const TXN_ITEM_BYTES = 64;

/**
 * How many bytes of values the comparisons of a transaction may look at before they look at one more. Replicas agree on it, from
 * cluster version 2 on.
 */
export const TXN_COMPARED_BYTES_MAX = 1024 * 1024;

/**
 * How many keys that exist the gets and deletions by prefix of a branch may pass over together, each as often as it is under
 * one of their prefixes: applying a command holds up every write. Replicas agree on it, from cluster version 2 on.
 */
export const PASSED_KEYS_MAX = 20_000;
/**
 * How many tombstones a transaction, or a deletion by prefix, may pass over in the state of the node that looks at it before it is
 * proposed. Members prune tombstones each in its own time, so this cannot be judged again where the command is applied. Only before cluster version
 * 2, and for a moment after deletions, do walks pass over tombstones at all.
 */
export const DELETED_KEYS_PASSED_MAX = 200_000;

/** How many keys a branch may pass over: those that exist, and those that were deleted. */
export interface WalkBounds {
  readonly existing: number;
  readonly deleted: number;
}

/**
 * Does the first branch if every comparison holds, and the second otherwise, all of it at one revision or not at all.
 * Operations are done in order, and each sees what those before it did. Where a branch changes a key more than once, the
 * last change is the key's one version of that revision.
 */
export interface TxnCommand extends Repeatable {
  readonly kind: 'txn';
  readonly compare: readonly Compare[];
  readonly success: readonly TxnOperation[];
  readonly failure: readonly TxnOperation[];
  /** Whether {@link PASSED_KEYS_MAX} and {@link TXN_COMPARED_BYTES_MAX} hold; from cluster version 2 on. */
  readonly isBounded?: boolean;
}

export type CompareOperator = '=' | '!=' | '<' | '>';

/** A comparison of what stands under a key, on the left, with what is given, on the right. */
export type Compare =
  /** Byte by byte. For a key that does not exist only '!=' holds. */
  | {
      readonly key: Uint8Array;
      readonly target: 'value';
      readonly op: CompareOperator;
      readonly value: Uint8Array;
    }
  /** A key that does not exist counts as 0. */
  | {
      readonly key: Uint8Array;
      readonly target: 'version' | 'createRevision' | 'modRevision';
      readonly op: CompareOperator;
      readonly value: number;
    }
  | {
      readonly key: Uint8Array;
      readonly target: 'exists';
      readonly op: '=' | '!=';
      readonly value: boolean;
    };

export type TxnOperation =
  | {
      readonly kind: 'put';
      readonly key: Uint8Array;
      readonly value: Uint8Array;
      /** '' for the default. */
      readonly contentType: string;
      /** As in {@link PutCommand}. */
      readonly lease?: LeaseId;
      /** As in {@link PutCommand}; from cluster version 2 on. */
      readonly ttlMs?: number;
    }
  /** As in {@link AddCommand}. */
  | {
      readonly kind: 'add';
      readonly key: Uint8Array;
      readonly delta: number;
      readonly initial: number;
    }
  | { readonly kind: 'get' | 'delete'; readonly key: Uint8Array }
  /** The prefix is not empty. */
  | { readonly kind: 'getPrefix' | 'deletePrefix'; readonly prefix: Uint8Array };

/** How many leases there may be. They are in memory, about 200 bytes each. Replicas agree on it. */
export const LEASES_MAX = 200_000;
/** The longest time to live: a year. */
export const TTL_MS_MAX = 365 * 24 * 60 * 60 * 1000;

/** Grants a lease: when it expires, the keys that are attached to it are deleted. */
export interface LeaseGrantCommand extends Repeatable {
  readonly kind: 'leaseGrant';
  readonly ttlMs: number;
}

/** Lets the lease begin anew. */
export interface LeaseKeepAliveCommand extends Repeatable {
  readonly kind: 'leaseKeepAlive';
  readonly lease: LeaseId;
  /** Takes the place of the lease's time to live. */
  readonly ttlMs?: number;
}

/** Ends a lease and deletes its keys, at most {@link DELETED_KEYS_MAX} of them; while more remain, the lease does too. */
export interface LeaseRevokeCommand extends Repeatable {
  readonly kind: 'leaseRevoke';
  readonly lease: LeaseId;
}

/** The same, by the leader when it finds that the lease has run out; nothing if it was renewed (correctness row 20). */
export interface LeaseExpireCommand extends Repeatable {
  readonly kind: 'leaseExpire';
  readonly lease: LeaseId;
  /** Of the lease when the leader looked. */
  readonly generation: number;
}

/** Carries nothing but log time, so that a new leader knows about how much of it has passed. */
export interface TickCommand extends Repeatable {
  readonly kind: 'tick';
}

/**
 * Raises the cluster version, see src/cluster-version.ts; nothing where it is as high already. Only a leader proposes it, once
 * every member reported that it speaks the version.
 */
export interface RaiseVersionCommand extends Repeatable {
  readonly kind: 'raiseVersion';
  readonly version: ClusterVersion;
  /** Not while {@link HOLD_KEY} exists, which an operator may have put just before. */
  readonly unlessHeld?: boolean;
}

export type Command =
  | PutCommand
  | AddCommand
  | CompactCommand
  | DeleteCommand
  | DeletePrefixCommand
  | TxnCommand
  | LeaseGrantCommand
  | LeaseKeepAliveCommand
  | LeaseRevokeCommand
  | LeaseExpireCommand
  | TickCommand
  | RaiseVersionCommand;

export type CommandKind = Command['kind'];

/** What applying a command gave. Equal on every node. `revision` is the store's when the command was done. */
export type CommandResult =
  /** `lease`: the one that was granted, where the put gave a time to live. */
  | {
      readonly kind: 'put';
      readonly revision: Revision;
      readonly created: boolean;
      readonly lease?: LeaseId;
    }
  /** `value`: what the key holds from then on. */
  | {
      readonly kind: 'added';
      readonly revision: Revision;
      readonly created: boolean;
      readonly value: number;
    }
  /** `compactedRevision`: the oldest that can be read. */
  | { readonly kind: 'compacted'; readonly revision: Revision; readonly compactedRevision: Revision }
  /** The revision did not grow when `deleted` is 0. */
  | { readonly kind: 'delete'; readonly revision: Revision; readonly deleted: number }
  /** The revision did not grow when the branch changed nothing. The results are in the order of the branch. */
  | {
      readonly kind: 'txn';
      readonly revision: Revision;
      readonly succeeded: boolean;
      readonly results: readonly TxnResult[];
    }
  /** A lease was granted or kept alive. */
  | {
      readonly kind: 'lease';
      readonly revision: Revision;
      readonly lease: LeaseId;
      readonly ttlMs: number;
    }
  /** A lease was revoked or has expired. `remaining`: there are more keys, and the lease is still there; do it again. */
  | {
      readonly kind: 'leaseRevoked';
      readonly revision: Revision;
      readonly lease: LeaseId;
      readonly deleted: number;
      readonly remaining: boolean;
    }
  /** Log time was taken note of. */
  | { readonly kind: 'ticked'; readonly revision: Revision }
  /** `clusterVersion`: the one that is in force from now on. */
  | {
      readonly kind: 'versionRaised';
      readonly revision: Revision;
      readonly clusterVersion: ClusterVersion;
    }
  | UnchangedResult;

/** What is answered where nothing changed because it could not. */
export type UnchangedResult =
  /** The condition did not hold. `modRevision` is the key's, 0 if it does not exist. */
  | { readonly kind: 'preconditionFailed'; readonly revision: Revision; readonly modRevision: Revision }
  /** What is to be added to is no whole number in decimal text, or none that is exact. */
  | { readonly kind: 'notANumber'; readonly revision: Revision }
  /** The sum would be no safe integer. */
  | { readonly kind: 'sumOutOfRange'; readonly revision: Revision }
  | { readonly kind: 'leaseNotFound'; readonly revision: Revision; readonly lease: LeaseId }
  /** History was to be dropped up to a revision that is not there yet. */
  | { readonly kind: 'revisionInFuture'; readonly revision: Revision }
  /** There are more keys than one command may delete. */
  | { readonly kind: 'tooManyKeys'; readonly revision: Revision }
  /** There are {@link LEASES_MAX} leases. */
  | { readonly kind: 'tooManyLeases'; readonly revision: Revision }
  /** The gets of a transaction found more than {@link TXN_ANSWER_BYTES_MAX}, or its comparisons {@link TXN_COMPARED_BYTES_MAX}. */
  | { readonly kind: 'answerTooLarge'; readonly revision: Revision }
  /** The expiry of a lease came too late, or too early: it was renewed. */
  | { readonly kind: 'leaseKept'; readonly revision: Revision }
  /** Another request was done under this idempotency key. */
  | { readonly kind: 'idempotencyMismatch'; readonly revision: Revision };

/** What one operation of a transaction gave. */
export type TxnResult =
  /** `lease`: the one that was granted, where the put gave a time to live. */
  | {
      readonly kind: 'put';
      readonly key: Uint8Array;
      readonly created: boolean;
      readonly lease?: LeaseId;
    }
  /** `value`: what the key held after the operation. */
  | {
      readonly kind: 'add';
      readonly key: Uint8Array;
      readonly created: boolean;
      readonly value: number;
    }
  /** In byte order of the keys. */
  | { readonly kind: 'get'; readonly items: readonly Item[] }
  | { readonly kind: 'delete'; readonly deleted: number };

/** What is known of a lease. */
export interface LeaseInfo {
  readonly lease: LeaseId;
  readonly ttlMs: number;
  /** By the log time that this node has applied; 0 when it has run out and nobody has said so yet. */
  readonly remainingMs: number;
  /** Raised by each keepalive; 1 at first. */
  readonly generation: number;
  /** Granted by a put with a time to live. */
  readonly own: boolean;
}

/** One key with its newest value at some revision. */
export interface Item {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** The revision at which the key came to be (again, if it had been deleted). */
  readonly createRevision: Revision;
  /** The revision of the last change. */
  readonly modRevision: Revision;
  /** How often the key was put since it was created; 1 for a new key. */
  readonly version: number;
  /** '' for the default, application/octet-stream. */
  readonly contentType: string;
  /** The lease that the key is attached to; absent for none. */
  readonly lease?: LeaseId;
}

/** How a transaction that only reads is answered. */
export interface TxnReadOptions {
  /** As of this revision; the newest unless given. */
  readonly revision?: Revision | undefined;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal?: AbortSignal;
}

export interface ListRequest {
  /** Empty for all keys. */
  readonly prefix: Uint8Array;
  /** Only keys after this one; undefined to start at the beginning. */
  readonly after: Uint8Array | undefined;
  /** 1 to 1,000. */
  readonly limit: number;
  /** Leave the values out (they come back empty). */
  readonly keysOnly: boolean;
  /** As of this revision; undefined for the newest. */
  readonly revision: Revision | undefined;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal?: AbortSignal;
}

export interface ListResult {
  /** The revision that the listing shows. */
  readonly revision: Revision;
  /** In byte order of the keys. */
  readonly items: readonly Item[];
  /** Whether more keys follow the last item. */
  readonly more: boolean;
}

/** Keys below it are kept by the server itself, such as those of locks; clients read them and never write them. */
export const RESERVED_PREFIX = '.raftkv/';
/**
 * While this key exists, the leader does not raise the cluster version by itself. An ordinary key, because a cluster that is to
 * be held at version 1 may have members that know no other way to say it.
 */
export const HOLD_KEY = `${RESERVED_PREFIX}cluster-version/hold`;

/** What to watch: one key, or every key with a prefix (which may be empty). */
export interface WatchRequest {
  readonly key: Uint8Array;
  readonly isPrefix: boolean;
  /** Events that follow this one. */
  readonly after: WatchPosition;
  /**
   * Whether the reader calls {@link Watcher.taken}. A read of the past then occupies one of few places until the reader has taken
   * its events, so that many readers that are far behind do not pile up events in memory.
   */
  readonly reportsTaken?: boolean;
}

/** A place among all events: the events of one revision are counted from 0. */
export interface WatchPosition {
  readonly revision: Revision;
  /** Infinity for the end of the revision. */
  readonly number: number;
}

/** One key changed at one revision. Equal on all members. */
export interface WatchEvent extends WatchPosition {
  readonly kind: 'put' | 'delete';
  readonly key: Uint8Array;
  /** What the key is from then on; undefined for a deletion. */
  readonly item: Item | undefined;
  /** The revision of the value that the key had before; 0 where it did not exist. */
  readonly previousRevision: Revision;
}

/** Events one after the other, as fast as whoever watches takes them (correctness row 28). */
export interface Watcher {
  /**
   * Resolves with the events that follow, once there are any: a bounded number of them, none of which was given before.
   * Empty at times, when many were looked through in vain. Throws `compacted` when some that should follow are gone. One
   * call at a time.
   */
  read(): Promise<readonly WatchEvent[]>;
  /**
   * The reader has let go of the events of its last `read`, or accounts for their memory itself. The next `read` and `close` imply
   * it. Does nothing for a watch without {@link WatchRequest.reportsTaken}.
   */
  taken(): void;
  /**
   * Whether the events of the last `read` were read from the past, for this reader alone, and are not {@link taken} yet. Recent
   * events are shared by all readers. Always false for a watch without {@link WatchRequest.reportsTaken}.
   */
  readonly holdsPast: boolean;
  /** What the key was before the event; undefined if it was not there, or is not kept any more. */
  previousOf(event: WatchEvent): Item | undefined;
  /** Everything up to this revision was given; undefined while there may be more. */
  readonly settledThrough: Revision | undefined;
  /** Nothing is read any more; a call under way never resolves. */
  close(): void;
}
