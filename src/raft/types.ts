/**
 * The vocabulary of the consensus core, in the terms of the Raft paper (Ongaro and Ousterhout, "In Search of an
 * Understandable Consensus Algorithm", extended version; sections are cited as §n) and of Ongaro's dissertation
 * (cited as "thesis §n"). Everything here is plain data. All values are immutable once they are made: the same
 * entry object is in the log of the core, in the messages to all followers and in the batch for the disk.
 */

/** A member's name, unique within its cluster, chosen by the operator: `n1`. */
export type NodeId = string;
/** A logical clock that numbers elections; 0 before the first one (§5.1). At most {@link TERM_MAX}. */
export type Term = number;
/** A position in the log; the first entry has index 1, and 0 stands for "before the first" (§5.3). At most {@link INDEX_MAX}. */
export type Index = number;

/**
 * The last term and the last index: what the format of entries holds (`entry-codec.ts`), so that nothing is accepted that no log
 * could keep. No cluster gets there by elections. A member that lies raises the term by {@link TERM_JUMP_MAX} a message, and needs a
 * million messages for it.
 */
export const TERM_MAX: Term = 2 ** 52 - 1;
export const INDEX_MAX: Index = 2 ** 48 - 1;
/** By how much one message may raise a term. A node that was away jumps, but no cluster holds so many elections meanwhile. */
export const TERM_JUMP_MAX = 2 ** 32;

/** What an entry carries. The numbers are part of the format on disk and on the wire. */
export const EntryKind = {
  /** Nothing: a new leader's first entry, so that it can commit what earlier terms left (§5.4.2, §8). */
  noop: 0,
  /** A command for the state machine, as encoded by `kv/command-codec.ts`. */
  command: 1,
  /** A cluster configuration, as encoded by `raft/configuration.ts`; in force as soon as it is in the log (§6). */
  configuration: 2,
} as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

/** One position of the replicated log. */
export interface Entry {
  readonly index: Index;
  /** The term of the leader that made the entry. */
  readonly term: Term;
  readonly kind: EntryKind;
  /** Empty for a no-op. Never changed after the entry is made. */
  readonly payload: Uint8Array;
}

/** What must survive a crash besides the log itself (§5.1, Figure 2 "Persistent state"). */
export interface HardState {
  readonly term: Term;
  /** Who got this node's vote in `term`; null if nobody has. */
  readonly vote: NodeId | null;
  /** A lower bound of the commit index: rewritten along with other changes, never a reason for a sync. */
  readonly commit: Index;
}

/** One server as the configuration knows it. */
export interface Member {
  readonly id: NodeId;
  /**
   * The random id that the node gave itself at its first start, or '' while a member that was added by hand has
   * never been heard of. Votes and acknowledgements count only from this incarnation, so that a node that lost
   * its disk cannot vote twice in one term.
   */
  readonly incarnation: string;
  /** Where the other members reach its gRPC server: `host:port`. */
  readonly peerAddress: string;
  /** Where clients reach it, as the node advertised it: `http://host:port`; '' while not known. */
  readonly clientUrl: string;
}

/**
 * Who takes part. An election or a commit needs a majority of `voters`, and while `outgoingVoters` is not empty
 * a majority of those as well (joint consensus, §6). Learners get the log and count for nothing.
 */
export interface Configuration {
  /** Every server that is a voter, an outgoing voter or a learner, sorted by id. */
  readonly members: readonly Member[];
  readonly voters: readonly NodeId[];
  /** The voters of the configuration that is being left; empty outside joint consensus. */
  readonly outgoingVoters: readonly NodeId[];
  readonly learners: readonly NodeId[];
}

/** The point up to which a snapshot, or a compaction, stands for the log (§7, Figure 13). */
export interface SnapshotMetadata {
  /** The last index that the snapshot covers. */
  readonly index: Index;
  /** The term of that entry. */
  readonly term: Term;
  /** The configuration in force at that index. */
  readonly configuration: Configuration;
}

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/** What every message between members says. */
export interface Envelope {
  readonly from: NodeId;
  /** The sender's incarnation, see {@link Member.incarnation}. */
  readonly fromIncarnation: string;
  readonly to: NodeId;
  /**
   * The sender's term; for a pre-vote request the term that it would campaign in, and for a granted pre-vote the
   * term of the request.
   */
  readonly term: Term;
}

/** RequestVote (§5.2, §5.4.1), and PreVote (thesis §9.6), which asks the same without changing any state. */
export interface RequestVote extends Envelope {
  readonly type: 'requestVote';
  readonly preVote: boolean;
  readonly lastLogIndex: Index;
  readonly lastLogTerm: Term;
  /** True when the leader itself asked for this election (TimeoutNow): the voter's patience with it is waived. */
  readonly leadershipTransfer: boolean;
  /** Opaque to the core and echoed in the response, so that a transport can answer the right call. */
  readonly call: number;
}

export interface RequestVoteResponse extends Envelope {
  readonly type: 'requestVoteResponse';
  readonly preVote: boolean;
  readonly granted: boolean;
  /**
   * With a rejection: the voter knows that the candidate was removed, which is true in any term. So a node that was down then
   * hears of it (correctness rule 17).
   */
  readonly removed: boolean;
  readonly call: number;
}

/** AppendEntries with entries, or without as a probe of the consistency check (§5.3). */
export interface AppendEntries extends Envelope {
  readonly type: 'appendEntries';
  /** The index just before the first of `entries`; 0 for the start of the log. */
  readonly previousIndex: Index;
  /** The term of the entry at `previousIndex`; 0 for the start of the log. */
  readonly previousTerm: Term;
  /** Contiguous, from `previousIndex + 1` on. */
  readonly entries: readonly Entry[];
  /** The leader's commit index; the follower takes at most what this very append verified. */
  readonly commitIndex: Index;
}

export interface AppendEntriesResponse extends Envelope {
  readonly type: 'appendEntriesResponse';
  readonly success: boolean;
  /** On success the last index that this append verified and that is on the follower's disk; otherwise 0. */
  readonly matchIndex: Index;
  /** On rejection the `previousIndex` that did not match, by which a stale rejection is told; otherwise 0. */
  readonly rejectedIndex: Index;
  /**
   * On rejection, where the follower's log could agree with the leader's: the last index, at most
   * `rejectedIndex`, whose term is not above the leader's `previousTerm` (§5.3, fast back-tracking).
   */
  readonly hintIndex: Index;
  /** The term of the entry at `hintIndex`. */
  readonly hintTerm: Term;
  /**
   * A sentence that says why the follower's log can never take an entry of this append; `success` is false then, and
   * everything else 0. It says nothing about where the logs agree, and it is no contact with the leader. Absent: no refusal.
   */
  readonly refusal?: string;
}

/**
 * AppendEntries without a log check, on a way of its own: it may overtake appends, so its answer moves neither
 * match nor next. It keeps followers patient, carries the commit index and numbers the rounds that confirm
 * leadership for reads (§8).
 */
export interface Heartbeat extends Envelope {
  readonly type: 'heartbeat';
  /** The round, growing by one with each broadcast of this leader's term. */
  readonly round: number;
  /** The leader's commit index, at most what this follower is known to hold. */
  readonly commitIndex: Index;
  /**
   * A member that has applied everything up to here has caught up: the leader's commit index, or the start of the leader's
   * term where that is not committed yet. Absent, or 0, from a leader that does not say.
   */
  readonly catchUpIndex?: Index;
}

export interface HeartbeatResponse extends Envelope {
  readonly type: 'heartbeatResponse';
  readonly round: number;
  /** Whether little room is left on the follower's disk. Absent where it is not, or the follower does not say. */
  readonly lowSpace?: boolean;
}

/** The room on a node's disk: enough, little, or none but for what must be written. */
export type DiskSpace = 'ok' | 'low' | 'full';

/**
 * InstallSnapshot (§7). The content goes by the transport in chunks; this message enters the follower's core
 * only when all of it is staged on the follower's disk.
 */
export interface InstallSnapshot extends Envelope {
  readonly type: 'installSnapshot';
  readonly snapshot: SnapshotMetadata;
}

export interface InstallSnapshotResponse extends Envelope {
  readonly type: 'installSnapshotResponse';
  /** True when the follower holds everything up to `matchIndex`; false when the transfer failed. */
  readonly success: boolean;
  readonly matchIndex: Index;
}

/** The leader asks this follower to campaign at once (leadership transfer, thesis §3.10). */
export interface TimeoutNow extends Envelope {
  readonly type: 'timeoutNow';
}

export type Message =
  | RequestVote
  | RequestVoteResponse
  | AppendEntries
  | AppendEntriesResponse
  | Heartbeat
  | HeartbeatResponse
  | InstallSnapshot
  | InstallSnapshotResponse
  | TimeoutNow;
export type MessageType = Message['type'];

/** One atomic, synced write to the log's store. Its parts are applied in the order in which they stand here. */
export interface Persist {
  /** Grows by one with each batch. `Raft.persisted(sequence)` says that this and all before it are on disk. */
  readonly sequence: number;
  /** The new hard state, or null if it did not change. */
  readonly hardState: HardState | null;
  /**
   * A snapshot that replaces the whole log: nothing before it stays, and the log goes on at
   * `snapshot.index + 1`. The shell records in the same batch which state directory is live.
   */
  readonly snapshot: SnapshotMetadata | null;
  /** A compaction: entries up to and including this point are dropped from the start of the log. */
  readonly compact: SnapshotMetadata | null;
  /** Drop every entry from this index on, or null for none: a conflict with the leader's log (§5.3). */
  readonly truncateFrom: Index | null;
  /** To be appended, contiguous with what is there after the steps above. */
  readonly entries: readonly Entry[];
}

/** A linearizable read that may be answered once the state machine has applied `index` (thesis §6.4). */
export interface ReadConfirmed {
  /** The context that was given to `Raft.read`. */
  readonly context: number;
  readonly index: Index;
}

/** A follower whose next entry is no longer in the log: send it a snapshot of the state (§7). */
export interface SnapshotRequest {
  readonly to: NodeId;
  readonly term: Term;
}

/** Something worth a line in the log; the core has no logger of its own. */
export interface RaftEvent {
  readonly name:
    | 'becameFollower'
    | 'becamePreCandidate'
    | 'becameCandidate'
    | 'becameLeader'
    | 'votedFor'
    | 'configurationChanged'
    | 'configurationTakenBack'
    | 'quorumLost'
    | 'transferStarted'
    | 'transferAbandoned'
    | 'followerNeedsSnapshot'
    | 'snapshotRefused'
    | 'conflictTruncated'
    | 'appendsHeldBack'
    | 'appendRefused'
    | 'quarantined'
    | 'removed';
  readonly term: Term;
  /** A full sentence for people: what happened and why. */
  readonly message: string;
}

/**
 * What the core wants done, handed out by `Raft.takeReady`. The slots state the order:
 *
 * 1. `send` may leave at once, beside the write: a leader's appends and heartbeats, pre-votes and their answers.
 * 2. `persist` is written as one atomic, synced batch. One write is in flight at a time; the shell may merge what
 *    gathers meanwhile, as long as the order of sequences is kept.
 * 3. `sendAfterPersist` leaves only when the sequence it names is on disk: vote requests, votes,
 *    acknowledgements of appends, and any answer that raised the term.
 * 4. `committed` is applied in order. These entries are committed and durable on this node.
 * 5. `reads` are answered once their index is applied. `readsRefused` are answered with "unavailable".
 */
export interface Ready {
  readonly send: readonly Message[];
  readonly persist: Persist | null;
  readonly sendAfterPersist: readonly DelayedMessage[];
  readonly committed: readonly Entry[];
  readonly reads: readonly ReadConfirmed[];
  /** Contexts of reads that this node can no longer confirm, because it is not the leader any more. */
  readonly readsRefused: readonly number[];
  readonly snapshotRequests: readonly SnapshotRequest[];
  readonly events: readonly RaftEvent[];
}

export interface DelayedMessage {
  /** The sequence that must be on disk before `message` may leave. */
  readonly sequence: number;
  readonly message: Message;
}
