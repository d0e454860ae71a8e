import type { ClusterVersion } from '../cluster-version.js';
import type { Histogram } from '../histogram.js';
import type {
  Command,
  CommandResult,
  Idempotency,
  Item,
  LeaseId,
  LeaseInfo,
  ListRequest,
  ListResult,
  Revision,
  TxnCommand,
  TxnReadOptions,
  Watcher,
  WatchRequest,
} from '../kv/types.js';
import type { NodeId, Term } from '../raft/types.js';

/**
 * What the HTTP layer needs of a node; the node's client service implements it. Every method that can fail throws
 * a `RaftkvError` whose code is in the catalogue.
 *
 * A method that may wait takes a `signal`, which is aborted when the client has left: then the wait ends and its place is
 * free. What was proposed is not undone; nothing more is begun.
 */
export interface NodePort {
  readonly id: NodeId;
  /** Who can do the leader's work, as this node knows it now. Cheap: asked for every request. */
  route(): Route;
  /** Calls back whenever {@link NodePort.route} may give something else than before, or this node begins to serve its cluster. */
  onRouteChange(listener: () => void): void;
  /** The cluster's id ('' until this node knows it), the store's revision and the current term, for the headers of every answer. Cheap. */
  position(): { readonly cluster: string; readonly revision: Revision; readonly term: Term };
  /** Where the members are, as this node knows it now; itself at least. */
  locations(): readonly MemberLocation[];
  status(): NodeStatus;
  measures(): NodeMeasures;
  /**
   * How many keys exist in the local store. Where that is not known it is undefined, and the call has them counted in the
   * background.
   */
  countKeys(): number | undefined;
  readiness(): Readiness;

  /**
   * Proposes a command and resolves when it is committed and applied. On a node that is not the leader the command
   * is forwarded to it. Throws no_leader, overloaded, shutting_down (nothing happened) or outcome_unknown.
   */
  write(command: Command, timeoutMs: number, signal?: AbortSignal): Promise<CommandResult>;
  /**
   * Resolves when a read of the local store is linearizable: leadership was confirmed after the call (ReadIndex) and
   * everything committed before is applied here. On a follower the leader is asked. Throws no_leader or unavailable.
   */
  confirmRead(timeoutMs: number, signal?: AbortSignal): Promise<void>;
  /**
   * Whether a read of the local store is linearizable at this very moment without asking anybody, because this node leads
   * and holds a lease. That relies on clocks that run at about the same speed, which {@link NodePort.confirmRead} does not.
   */
  readsByLease(): boolean;
  /** Resolves when the local store has reached the revision. Throws unavailable after `timeoutMs`. */
  waitForRevision(revision: Revision, timeoutMs: number, signal?: AbortSignal): Promise<void>;
  /** The key's item in the local store, or undefined; `revision` reads the past (throws compacted, bad_request). */
  get(key: Uint8Array, revision: Revision | undefined): Item | undefined;
  list(request: ListRequest): Promise<ListResult>;
  /** Answers a transaction that changes nothing from the local store (throws compacted, bad_request). */
  readTxn(command: TxnCommand, options: TxnReadOptions): Promise<CommandResult>;
  /** Begins a watch on the local store. Throws compacted when events that it should have are gone. */
  watch(request: WatchRequest): Watcher;

  /** What this node knows of a lease; on the leader the remaining time is that of this very moment. */
  lease(id: LeaseId): LeaseInfo | undefined;
  /** Leases with greater ids than `after`, in the order of their ids. */
  leases(after: LeaseId, limit: number): readonly LeaseInfo[];
  /** Keys that are attached to a lease, in byte order. */
  leaseKeys(id: LeaseId, limit: number): Promise<readonly Uint8Array[]>;

  /** Takes a lock, waiting for it in line. Throws what a write throws, and lock_not_held when its place ran out. */
  acquireLock(request: LockRequest, timeoutMs: number): Promise<LockResult>;
  /** Gives a lock back. */
  releaseLock(request: UnlockRequest, timeoutMs: number, signal?: AbortSignal): Promise<UnlockResult>;
  /** Who holds a lock, as this node has it applied. */
  lockState(name: Uint8Array): Promise<LockState>;

  /** How far the cluster is on its way to the next cluster version, as the leader sees it, or else this node. */
  clusterVersionStatus(timeoutMs: number, signal?: AbortSignal): Promise<ClusterVersionStatus>;
  /**
   * Raises the cluster version now, held or not, and resolves with the version in force. Throws cluster_not_upgraded while a
   * member does not speak it, and what a write throws.
   */
  raiseClusterVersion(
    version: ClusterVersion,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<ClusterVersion>;
  /** Stops the automatic raise, or lets it go on. Throws what a write throws. */
  holdClusterVersion(hold: boolean, timeoutMs: number, signal?: AbortSignal): Promise<void>;

  members(timeoutMs: number, signal?: AbortSignal): Promise<readonly MemberStatus[]>;
  /** Adds a learner that is promoted by itself. Harmless when repeated. `incarnation` is '' when added by hand. */
  addMember(request: AddMemberRequest, timeoutMs: number, signal?: AbortSignal): Promise<AddMemberResult>;
  removeMember(id: NodeId, force: boolean, timeoutMs: number, signal?: AbortSignal): Promise<void>;
  promoteMember(id: NodeId, timeoutMs: number, signal?: AbortSignal): Promise<void>;
  /**
   * Makes these the voters and removes all others: adds who is missing as a learner, waits until all keep up, and changes the
   * voters at once. Throws member_not_ready when they do not in time. Harmless when repeated.
   */
  setMembers(
    members: readonly MemberAddress[],
    force: boolean,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<SetMembersResult>;
  /** What a change of the membership would do; nothing is changed. Throws where no force would make it possible. */
  planMembers(change: MembershipChange, timeoutMs: number, signal?: AbortSignal): Promise<MembershipPlan>;
  /** Hands leadership to `to`, or to the most up-to-date voter, and resolves with the new leader's id. */
  transferLeadership(to: NodeId | undefined, timeoutMs: number, signal?: AbortSignal): Promise<NodeId>;
}

export interface LockRequest {
  /** 1 to 1024 bytes, none of them 0. */
  readonly name: Uint8Array;
  /** How long the lock is held unless its lease is kept alive. */
  readonly ttlMs: number;
  /** How long to wait in line; 0 for not at all. */
  readonly waitMs: number;
  /** Says who holds the lock; '' for nothing. */
  readonly value: string;
  readonly idempotency?: Idempotency;
  /** Aborted when the client has left: the place in line is given up. */
  readonly signal: AbortSignal;
  /** Aborted when this node stops, with a `RaftkvError` as the reason: a place in which a repeat may go on elsewhere is kept. */
  readonly stopping: AbortSignal;
}

export type LockResult =
  | { readonly kind: 'held'; readonly token: Revision; readonly lease: LeaseId }
  /** `holder` is undefined when it let go at this very moment. */
  | { readonly kind: 'busy'; readonly holder: LockHolder | undefined }
  /** The place in line could not be taken. */
  | { readonly kind: 'refused'; readonly result: CommandResult };

export interface UnlockRequest {
  readonly name: Uint8Array;
  /** The fencing token of the holder. */
  readonly token: Revision;
  readonly idempotency?: Idempotency;
}

export type UnlockResult =
  | { readonly kind: 'released'; readonly revision: Revision }
  /** The token does not hold the lock. */
  | { readonly kind: 'notHeld' }
  | { readonly kind: 'refused'; readonly result: CommandResult };

export interface LockHolder {
  /** The fencing token: greater for every later holder. */
  readonly token: Revision;
  readonly lease: LeaseId;
  readonly value: string;
}

export interface LockState {
  readonly holder: LockHolder | undefined;
  readonly waiting: number;
}

export type Route =
  | { readonly kind: 'leader' }
  /** `url` is '' when the leader is known but its client URL is not yet. */
  | { readonly kind: 'follower'; readonly leader: NodeId; readonly url: string }
  | {
      readonly kind: 'noLeader';
      /** This node does not serve its cluster yet: not even its own state can be read. */
      readonly isStarting?: true;
    };

export interface Readiness {
  readonly ready: boolean;
  /** Why not, such as "no leader known" or "catching up, 2 of 702 entries are applied"; '' when ready. */
  readonly reason: string;
}

/** The body of GET /v1/status. */
export interface NodeStatus {
  readonly cluster: string;
  readonly id: NodeId;
  readonly incarnation: string;
  readonly role: 'leader' | 'follower' | 'candidate' | 'learner' | 'removed';
  readonly term: Term;
  /** null while no leader is known. */
  readonly leader: NodeId | null;
  readonly leaderUrl: string | null;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** The last index whose changes are on disk in the state store. */
  readonly flushedIndex: number;
  readonly revision: Revision;
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** The rolling digest of all changes, and of all answers kept for repeats, up to `appliedIndex`, as 8 hexadecimal digits. */
  readonly digest: string;
  /** Members whose digest differed from the one here, at the same index, when this node asked them last. */
  readonly digestDiffersFrom: readonly NodeId[];
  readonly version: string;
  /** The version that every member speaks, see src/cluster-version.ts; 0 while this node has not opened its state. */
  readonly clusterVersion: ClusterVersion;
  readonly uptimeSeconds: number;
  /** A sentence that tells why this node is in its role: the last change of role and its reason. */
  readonly reason: string;
  /** What an operator should mend, in sentences; empty where all is well. */
  readonly warnings: readonly string[];
  readonly counters: NodeCounters;
}

/** What this process did since it started. */
export interface NodeCounters {
  /** Synced writes to the log. */
  readonly logWrites: number;
  /** What the consensus core wanted written, of which one write may carry several (group commit). */
  readonly logBatches: number;
  /** How often the whole process was held up, by the machine or by work of its own, long enough to miss its ticks. */
  readonly stalls: number;
  readonly longestStallMs: number;
  /** Messages between members that no member sends, and that were dropped. */
  readonly messagesRefused: number;
}

/** What a node measures of itself, since its process started, for GET /metrics. */
export interface NodeMeasures {
  /** Synced writes to the log. */
  readonly logWriteTimes: Histogram;
  /** On the leader: from the moment a batch of proposals enters the log until it is committed. */
  readonly commitTimes: Histogram;
  /** How often this node has campaigned. */
  readonly campaigns: number;
  /** How often this node has learned of another leader, itself included. */
  readonly leaderChanges: number;
  /** Proposals that wait for a batch, for their commit or to be applied here. */
  readonly pendingProposals: number;
  /** Reads that wait for a confirmation, and requests that wait for something to be applied, such as a revision or a change of the members. */
  readonly waits: number;
  /** What the log takes in memory, in bytes. */
  readonly logBytes: number;
  /** On the leader: how many entries of the log are not known to be on each other member's disk. */
  readonly followers: readonly { readonly id: NodeId; readonly lagEntries: number }[];
}

/** The body of GET /v1/cluster-version. */
export interface ClusterVersionStatus {
  /** The version in force. */
  readonly clusterVersion: ClusterVersion;
  /** The newest version that every member speaks; a member that is not connected counts as version 1. */
  readonly spokenByAll: ClusterVersion;
  /** Whether an operator stopped the automatic raise. */
  readonly held: boolean;
  /** From the leader only: milliseconds until it raises the version; null when it is not about to. */
  readonly raiseInMs: number | null;
  readonly members: readonly MemberVersions[];
}

/** What a member speaks. */
export interface MemberVersions {
  readonly id: NodeId;
  /** null while the member is not connected. */
  readonly oldest: ClusterVersion | null;
  readonly newest: ClusterVersion | null;
  /** Why nothing is known of it, to be read after its name; '' otherwise. */
  readonly reason: string;
}

export interface MemberStatus {
  readonly id: NodeId;
  /** `host:port` of its gRPC server. */
  readonly peer: string;
  /** Its client URL; '' while not known. */
  readonly client: string;
  readonly role: 'voter' | 'learner';
  /** A voter that others are replacing, until that is finished. */
  readonly leaving?: true;
  readonly leader: boolean;
  /** "healthy", "unreachable", "catching up", "never started", or "unknown" where this node cannot tell. */
  readonly health: string;
  /** From the leader only: the last index known to be on that member's disk. */
  readonly matchIndex?: number;
  /** From the leader only: milliseconds since its last answer; absent when it never answered. */
  readonly lastContactMs?: number;
}

/** Where a member can be reached. */
export interface MemberLocation {
  /** `host:port` of its gRPC server. */
  readonly peer: string;
  /** Its client URL; '' while not known. */
  readonly client: string;
}

/** A member as an operator names it. */
export interface MemberAddress {
  readonly id: NodeId;
  readonly peer: string;
}

export interface SetMembersResult {
  readonly voters: readonly NodeId[];
  /** Those of them that were none before. */
  readonly added: readonly NodeId[];
  /** Who is no member any more, learners included. */
  readonly removed: readonly NodeId[];
}

/** A change that can be planned. */
export type MembershipChange =
  | { readonly kind: 'add'; readonly member: MemberAddress }
  | { readonly kind: 'remove'; readonly id: NodeId }
  | { readonly kind: 'promote'; readonly id: NodeId }
  | { readonly kind: 'set'; readonly members: readonly MemberAddress[] };

/** What a change would do, as the leader sees it now. */
export interface MembershipPlan {
  readonly before: PlannedMembership;
  readonly after: PlannedMembership;
  /** The voters of afterwards that answer now; a new one counts when it answers at its address. */
  readonly liveVotersAfter: readonly NodeId[];
  /** In this order; none where there is nothing to change. */
  readonly steps: readonly PlannedStep[];
  /** Sentences; none where nothing speaks against it. */
  readonly warnings: readonly string[];
}

export interface PlannedMembership {
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** How many voters decide. */
  readonly quorum: number;
  /** How many voters may fail. */
  readonly faultTolerance: number;
}

export interface PlannedStep {
  readonly step: 'addLearner' | 'catchUp' | 'promote' | 'remove' | 'joint' | 'final';
  readonly members: readonly NodeId[];
  /** A sentence. */
  readonly description: string;
}

export interface AddMemberRequest {
  readonly id: NodeId;
  readonly peer: string;
  readonly client: string;
  readonly incarnation: string;
}

export interface AddMemberResult {
  /** The cluster's id, which a joining node writes down before it does anything else. */
  readonly cluster: string;
  readonly member: MemberStatus;
  /** False when the member was there already, with the same properties. */
  readonly added: boolean;
}
