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

/** Deletes every key that starts with `prefix`, which is not empty, at one revision. */
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
  | { readonly kind: 'preconditionFailed'; readonly revision: Revision; readonly modRevision: Revision };

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
