/** What a node says of itself, `GET /v1/status`: the part that programs use. */
export interface NodeStatus {
  /** The cluster's id; '' before the node belongs to one. */
  readonly cluster: string;
  readonly id: string;
  readonly role: 'leader' | 'follower' | 'candidate' | 'learner' | 'removed';
  readonly term: number;
  /** null while no leader is known. */
  readonly leader: string | null;
  readonly leaderUrl: string | null;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly revision: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly version: string;
  /** The version that every member speaks; 0 while this node has not opened its state. */
  readonly clusterVersion: number;
  /** A sentence that tells why the node is in its role. */
  readonly reason: string;
  /** What an operator should mend, in sentences; nodes of older versions tell none. */
  readonly warnings?: readonly string[];
}

export interface Readiness {
  readonly ready: boolean;
  /** Why not; '' when ready. */
  readonly reason: string;
}

/** A member as an operator names it. */
export interface MemberAddress {
  readonly id: string;
  /** `host:port` of its peer address. */
  readonly peer: string;
}

export interface MemberStatus extends MemberAddress {
  /** Its client URL; '' while not known. */
  readonly client: string;
  readonly role: 'voter' | 'learner';
  /** A voter that others are replacing, until that is finished. */
  readonly leaving?: true;
  readonly leader: boolean;
  /** `healthy`, `unreachable`, `catching up`, `never started`, or `unknown` where the node that answered cannot tell. */
  readonly health: string;
  /** From the leader only: the last index known to be on that member's disk. */
  readonly matchIndex?: number;
  /** From the leader only: milliseconds since its last answer; absent when it never answered. */
  readonly lastContactMs?: number;
}

export interface NewMember extends MemberAddress {
  /** Its client URL; it tells it by itself once it runs. */
  readonly client?: string | undefined;
}

export interface AddMemberResult {
  readonly cluster: string;
  readonly member: MemberStatus;
  /** False when the member was there already, with the same properties. */
  readonly added: boolean;
}

export interface SetMembersResult {
  readonly voters: readonly string[];
  /** Those of them that were none before. */
  readonly added: readonly string[];
  /** Who is no member any more, learners included. */
  readonly removed: readonly string[];
}

/** The cluster version, and how far the cluster is on its way to the next one. */
export interface ClusterVersionStatus {
  /** The version in force. */
  readonly clusterVersion: number;
  /** The newest version that every member speaks; a member that is not connected counts as version 1. */
  readonly spokenByAll: number;
  /** Whether the leader was stopped from moving the cluster by itself. */
  readonly held: boolean;
  /** Milliseconds until the leader moves the cluster to `spokenByAll`; null when it is not about to. */
  readonly raiseInMs: number | null;
  readonly members: readonly MemberVersions[];
}

/** What a member speaks. */
export interface MemberVersions {
  readonly id: string;
  /** null while the member is not connected. */
  readonly oldest: number | null;
  readonly newest: number | null;
  /** Why nothing is known of it, to be read after its name; '' otherwise. */
  readonly reason: string;
}

/** A change of the membership. `force` makes it even where the rest would have no live quorum. */
export type MembershipChange =
  | { readonly kind: 'add'; readonly member: NewMember }
  | { readonly kind: 'remove'; readonly id: string; readonly force?: boolean | undefined }
  | { readonly kind: 'promote'; readonly id: string }
  | {
      readonly kind: 'set';
      readonly members: readonly MemberAddress[];
      readonly force?: boolean | undefined;
    };

/** What a change would do, as the leader sees it now. */
export interface MembershipPlan {
  readonly before: PlannedMembership;
  readonly after: PlannedMembership;
  /** The voters of afterwards that answer now; a new one counts when it answers at its address. */
  readonly liveVotersAfter: readonly string[];
  /** In this order; none where there is nothing to change. */
  readonly steps: readonly PlannedStep[];
  /** Sentences; none where nothing speaks against it. */
  readonly warnings: readonly string[];
}

export interface PlannedMembership {
  readonly voters: readonly string[];
  readonly learners: readonly string[];
  /** How many voters decide. */
  readonly quorum: number;
  /** How many voters may fail. */
  readonly faultTolerance: number;
}

export interface PlannedStep {
  readonly step: 'addLearner' | 'catchUp' | 'promote' | 'remove' | 'joint' | 'final';
  readonly members: readonly string[];
  /** A sentence. */
  readonly description: string;
}
