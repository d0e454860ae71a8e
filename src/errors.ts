/**
 * The one catalogue of errors that a client or an operator can meet. `code` is stable: programs read it. The HTTP
 * status is part of the catalogue so that the contract can be read in one place; the mapping to a problem document
 * is in `http/problem.ts`.
 */
export const errorCatalogue = {
  // Requests that are wrong.
  bad_request: { status: 400, title: 'The request is malformed' },
  origin_not_allowed: { status: 403, title: 'A web page of another origin may not do that' },
  key_not_found: { status: 404, title: 'No such key' },
  secret_not_proven: { status: 403, title: 'A node did not prove that it knows the cluster secret' },
  member_not_found: { status: 404, title: 'No such member' },
  lease_not_found: { status: 404, title: 'No such lease' },
  not_found: { status: 404, title: 'No such resource' },
  method_not_allowed: { status: 405, title: 'This resource does not know that method' },
  request_timeout: { status: 408, title: 'The request did not arrive in time' },
  member_exists: { status: 409, title: 'The member exists already, with other properties' },
  change_in_progress: { status: 409, title: 'Another membership change is under way' },
  cluster_not_upgraded: { status: 409, title: 'The cluster has not moved to the version that this needs' },
  member_not_ready: { status: 409, title: 'A new member is not ready to vote' },
  quorum_at_risk: { status: 409, title: 'The change would leave no live quorum' },
  too_many_learners: { status: 409, title: 'Too many learners do not answer' },
  too_many_keys: { status: 409, title: 'Too many keys for one change' },
  too_many_leases: { status: 409, title: 'There are too many leases' },
  not_a_number: { status: 409, title: 'The value is no whole number' },
  sum_out_of_range: { status: 409, title: 'The sum is too large or too small' },
  lock_held: { status: 409, title: 'Somebody else holds the lock' },
  lock_not_held: { status: 409, title: 'The lock is not held' },
  revision_in_future: { status: 409, title: 'The cluster has not reached that revision' },
  other_cluster: { status: 409, title: 'This node belongs to another cluster' },
  compacted: { status: 410, title: 'That revision is not kept any more' },
  precondition_failed: { status: 412, title: 'The condition does not hold' },
  value_too_large: { status: 413, title: 'The value is too large' },
  answer_too_large: { status: 413, title: 'The answer would be too large' },
  host_not_allowed: { status: 421, title: 'The host is not one of this node' },
  idempotency_mismatch: { status: 422, title: 'The idempotency key belongs to another request' },
  transfer_coding_unsupported: { status: 501, title: 'The body has a transfer coding that is not supported' },
  // Requests that met the cluster at a bad time.
  unavailable: { status: 503, title: 'The read could not be confirmed' },
  no_leader: { status: 503, title: 'No leader is known' },
  overloaded: { status: 503, title: 'Too much is waiting already' },
  not_ready: { status: 503, title: 'This node is not ready' },
  shutting_down: { status: 503, title: 'This node is shutting down' },
  outcome_unknown: { status: 504, title: 'It is not known whether the change was made' },
  no_space: { status: 507, title: 'Too little room is left on the disks' },
  internal: { status: 500, title: 'The server made a mistake' },
  // What a node says when it cannot start or go on; these never reach a client.
  usage: { status: 500, title: 'The command line or the configuration is wrong' },
  address_in_use: { status: 500, title: 'An address is in use' },
  storage_unusable: { status: 500, title: 'The data directory cannot be used' },
  storage_damaged: { status: 500, title: 'The data directory is damaged' },
  not_checked: { status: 500, title: 'The data directory could not be checked' },
  identity_conflict: { status: 500, title: 'This node is not who the cluster expects' },
} as const;

export type ErrorCode = keyof typeof errorCatalogue;

/** An operating error: expected, handled, and explained to whoever caused it or can mend it. */
export class RaftkvError extends Error {
  override readonly name = 'RaftkvError';
  readonly code: ErrorCode;
  /** Further members of the problem document, such as the current revision: plain JSON values. */
  readonly data: Readonly<Record<string, unknown>>;

  /** @param detail A sentence that says what is wrong and what to do next. */
  constructor(code: ErrorCode, detail: string, data: Readonly<Record<string, unknown>> = {}) {
    // Where an expected error was made is of no use to anybody, and finding it out costs more than the rest of a request.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(detail);
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
    this.data = data;
  }
}

/** What damage is in. A snapshot of another member can take the place of a state; nothing can take that of a log. */
export type DamagedStore = 'log' | 'state' | 'other';

/** What whoever meets the damage is told to do, in sentences. */
const damageAdvice: Readonly<Record<DamagedStore, string>> = {
  log:
    "This member's disk is damaged: remove the member from the cluster, wipe its data directory and start it with --join. " +
    'If no other member has a copy, wipe nothing, and restore a backup. Nothing was changed.',
  state:
    'The state of this member is damaged; its log says what it does about that. Nothing was changed; ask another member.',
  other: 'Nothing was changed.',
};

/** Something on the disk of this node is not as it was written. What another node says of its own disk is no such error. */
export class StorageDamaged extends RaftkvError {
  readonly advice: string;

  /**
   * @param what A sentence that says what is damaged, for callers that know better than the advice what becomes of it.
   * @param parts.advice Sentences that say what to do, where that is not what is done about most damage to this store.
   */
  constructor(
    readonly store: DamagedStore,
    readonly what: string,
    parts: { readonly advice?: string; readonly data?: Readonly<Record<string, unknown>> } = {},
  ) {
    const { advice = damageAdvice[store], data = {} } = parts;
    super('storage_damaged', `${what} ${advice}`, data);
    this.advice = advice;
  }
}
