/** The vocabulary of the key-value state machine: what a command asks, what it answers, what a read returns. */

/** The store's logical time: it grows by one with every command that changes something. 0 is the empty store. */
export type Revision = number;

/** A condition on the key of a command, checked when the command is applied (HTTP's If-Match and If-None-Match). */
export interface Condition {
  /** The key must exist with exactly this mod revision. */
  readonly ifRevision?: Revision;
  /** The key must not exist. */
  readonly ifAbsent?: boolean;
}

export interface PutCommand extends Condition {
  readonly kind: 'put';
  /** 1 to 4096 bytes. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** The media type to give back; '' for the default, application/octet-stream. */
  readonly contentType: string;
}

export interface DeleteCommand extends Condition {
  readonly kind: 'delete';
  readonly key: Uint8Array;
}

/**
 * How many keys, and bytes of keys, one deletion of a prefix may delete: it is done in one turn of the event loop and held
 * in memory until it is on disk, so without a bound one request could stall or exhaust every member at once, and again at
 * every restart. Part of what replicas agree on, too: the answer to a committed command must be the same everywhere.
 */
export const DELETED_KEYS_MAX = 10_000;
export const DELETED_KEY_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Deletes every key that starts with `prefix`, which is not empty, at one revision; or none, where they are more than one
 * command may delete.
 */
export interface DeletePrefixCommand {
  readonly kind: 'deletePrefix';
  readonly prefix: Uint8Array;
}

export type Command = PutCommand | DeleteCommand | DeletePrefixCommand;

/** What applying a command gave. Equal on every node. */
export type CommandResult =
  | { readonly kind: 'put'; readonly revision: Revision; readonly created: boolean }
  /** `revision` is the store's; it did not grow when `deleted` is 0. */
  | { readonly kind: 'delete'; readonly revision: Revision; readonly deleted: number }
  /** The condition did not hold; nothing changed. `modRevision` is the key's, 0 if it does not exist. */
  | { readonly kind: 'preconditionFailed'; readonly revision: Revision; readonly modRevision: Revision }
  /** The prefix stands for more keys than one command may delete; nothing changed. */
  | { readonly kind: 'tooManyKeys'; readonly revision: Revision };

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
}

export interface ListResult {
  /** The revision that the listing shows. */
  readonly revision: Revision;
  /** In byte order of the keys. */
  readonly items: readonly Item[];
  /** Whether more keys follow the last item. */
  readonly more: boolean;
}
