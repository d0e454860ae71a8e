import { assert } from '../assert.js';
import {
  decodeConfiguration,
  describeConfiguration,
  emptyConfiguration,
  isVoter,
  knowsIncarnation,
  memberOf,
} from './configuration.js';
import { RaftLog } from './log.js';
import { Outbox } from './outbox.js';
import type { Progress } from './progress.js';
import {
  type Configuration,
  type DiskSpace,
  type Entry,
  EntryKind,
  type HardState,
  type Index,
  type Message,
  type NodeId,
  type RaftEvent,
  type Role,
  type SnapshotMetadata,
  TERM_MAX,
  type Term,
} from './types.js';

export interface RaftOptions {
  readonly id: NodeId;
  readonly incarnation: string;
  /**
   * How long a follower waits for its leader at least, in ticks; the actual patience is drawn anew from
   * [n, 2n) each time, so that two rarely campaign at once (§5.2, §9.3).
   */
  readonly electionTimeoutTicks: number;
  /** A leader's heartbeat period in ticks; well below the election timeout (§5.6). */
  readonly heartbeatTicks: number;
  /**
   * How long a leader's lease lasts, in the unit of the readings that {@link Raft.timeIs} gets. Shorter than the election
   * timeout by more than the clocks of two machines drift apart in that time (correctness rule 19).
   */
  readonly leaseDuration: number;
  /** Encoded bytes of entries in one append; a single larger entry still goes, alone. */
  readonly appendBytesMax: number;
  /** Appends in flight per follower; past it, entries gather for a later, larger append. */
  readonly messagesInFlightMax: number;
  /** Bytes in flight per follower; past it, entries gather for a later append. */
  readonly bytesInFlightMax: number;
  /** Payload bytes that may be proposed and not committed; past it, proposals are refused as overloaded. */
  readonly uncommittedBytesMax: number;
  /**
   * Above either of these the shell compacts the log. At twice as much a follower takes no more entries until that is
   * done, see `replication.ts`.
   */
  readonly logEntriesMax: number;
  /** The same in encoded bytes. */
  readonly logBytesMax: number;
  /**
   * Why a command may not enter the log: a sentence, or null when this node can apply it. A follower asks before it takes an
   * entry; a leader's shell has asked before it proposes.
   */
  readonly refuseCommand: (payload: Uint8Array) => string | null;
  /** Uniform in [0, 1). The only source of randomness. */
  readonly random: () => number;
}

/** What a node finds on its disk when it starts. */
export interface RestoredState {
  readonly hardState: HardState;
  /** The point before the first entry: what was compacted or came as a snapshot; index 0 in a young log. */
  readonly compacted: SnapshotMetadata;
  readonly entries: readonly Entry[];
  /** What the state machine has on disk already. */
  readonly appliedIndex: Index;
  /** Whether this node took part before, so that it may have promised a leader its loyalty a moment ago (rule 19). */
  readonly tookPart: boolean;
}

/** A configuration and the index of the entry that brought it in. */
export interface PlacedConfiguration {
  readonly index: Index;
  readonly configuration: Configuration;
}

/**
 * The state of one server (Figure 2) and the transitions between roles. What the messages mean is in the files beside
 * this one (elections, replication, membership, reads, transfer), each a set of functions on this state; `raft.ts` is
 * the face that the shell sees.
 *
 * Invariants, asserted where they are touched:
 * - `term` never goes down; `vote` is set at most once in a term.
 * - Only a leader has `progress`; a leader's term is on disk before it is a leader.
 * - `configurations` is ordered by index, never empty, and its last element is in force (§6).
 */
export class Core {
  readonly log: RaftLog;
  readonly outbox: Outbox;
  role: Role = 'follower';
  term: Term;
  vote: NodeId | null;
  leader: NodeId | null = null;
  /** Who leads or led the current term, as far as this process knows: unlike {@link leader} it is not forgotten within the term. */
  termLeader: NodeId | null = null;
  configurations: PlacedConfiguration[];
  /** Whether any configuration so far had this incarnation of this node. */
  wasMember = false;
  /** Whether the end of its membership was told to the log already. */
  removalIsTold = false;
  /**
   * What a member said and cannot be true, as a sentence; null as long as all was well. From then on this node takes part in
   * nothing: no votes, acknowledgements, campaigns or reads (correctness rule 24). It lasts until the process ends.
   */
  quarantine: string | null = null;
  /** A sentence that tells why this node has its role. */
  roleReason = 'This node has just started.';

  /** Ticks since this node started. */
  now = 0;
  /** Ticks since the leader was heard, a vote was given, or this node last campaigned. */
  electionElapsedTicks = 0;
  /** Ticks since a leader was heard, whoever it was. */
  leaderSilenceTicks: number;
  /** Who said that this node was removed, until a leader is heard again. */
  removalHeardFrom: NodeId | null = null;
  /** This time's patience, drawn by {@link resetElectionTimer}. */
  electionPatienceTicks = 0;

  /** Candidates: who answered, and what. */
  readonly votes = new Map<NodeId, boolean>();
  /** Candidates: the sequence with which this node's own vote reaches the disk, or null once it is counted. */
  ownVoteSequence: number | null = null;
  /** Candidates: the leader itself asked for this campaign (TimeoutNow). */
  campaignIsTransfer = false;

  /** What a member must have applied to have caught up, as the leader of `term` last said; index 0 while none has. */
  catchUp: { term: Term; index: Index } = { term: 0, index: 0 };

  /** The room on this node's disk, as the shell says. */
  diskSpace: DiskSpace = 'ok';

  /** Followers: appends are held back, because the log is full. */
  holdsAppendsBack = false;

  /**
   * Followers: the term of the leader that sent an entry which this log can never take, until it takes another one. Whatever
   * is heard from that leader meanwhile is not answered, so that one whose entries a majority refuses steps down.
   */
  refusedInTerm: Term | null = null;

  /** Leaders: what is known about each other member, and about members on their way out. */
  readonly progress = new Map<NodeId, Progress>();
  /** Leaders: the index of the no-op with which the term began. */
  termStartIndex: Index = 0;
  heartbeatElapsedTicks = 0;
  quorumCheckElapsedTicks = 0;
  /** Leaders: payload bytes proposed and not committed. */
  uncommittedBytes = 0;
  /** Leaders: the running handover. `sent` once TimeoutNow is on its way. */
  transfer: { readonly to: NodeId; readonly startedAtTick: number; sent: boolean } | null = null;

  /** Leaders: a write that is pending here, and the tick since which another voter has its entries on disk. */
  lateWrite: { readonly sequence: number; readonly sinceTick: number } | null = null;
  /** Leaders: the write that was pending when this process last got no turn for an election timeout. */
  heldUpWrite: number | null = null;

  /** Leaders: learners that are not promoted by themselves for now, because somebody waits for them with other plans. */
  heldLearners: ReadonlySet<NodeId> = new Set();

  /** Leaders: reads that wait for the next round, the round under way, and the rounds' numbers (§8). */
  readsWaiting: number[] = [];
  readRounds: { readonly round: number; readonly index: Index; readonly contexts: readonly number[] }[] = [];
  round = 0;
  /** Leaders: when the rounds that may still count for the lease were sent, by the readings of {@link reading}. */
  roundsSent: { readonly round: number; readonly reading: number }[] = [];
  /** Leaders: somebody was asked to campaign at once, so that others' loyalty guarantees nothing in this term any more. */
  hasGivenUpLease = false;
  /** The last reading of a monotonic clock that the shell passed in. */
  reading = Number.NEGATIVE_INFINITY;

  /** The last entry that was handed out to be applied. */
  handedOutIndex: Index;

  constructor(
    readonly options: RaftOptions,
    restored: RestoredState,
  ) {
    assert(
      options.heartbeatTicks < options.electionTimeoutTicks,
      'Heartbeats are sent more often than elections time out.',
    );
    this.log = new RaftLog(restored.compacted, restored.entries, restored.hardState.commit);
    this.term = restored.hardState.term;
    this.vote = restored.hardState.vote;
    assert(
      this.log.lastTerm <= this.term,
      'The log has no entry of a term above the one on disk (storage checks it at open).',
    );
    assert(
      restored.appliedIndex >= restored.compacted.index,
      'The state machine covers what was compacted (storage cuts the log only below it).',
    );
    // What is applied was committed, even if the last hard state on disk did not say so yet.
    this.log.commitTo(Math.min(restored.appliedIndex, this.log.lastIndex));
    this.handedOutIndex = restored.appliedIndex;
    this.leaderSilenceTicks = restored.tookPart ? 0 : options.electionTimeoutTicks;
    this.configurations = [
      { index: restored.compacted.index, configuration: restored.compacted.configuration },
    ];
    this.outbox = new Outbox(restored.hardState);
    this.wasMember = this.isMember;
    // They changed at some earlier time, so no event tells of them now.
    for (const entry of restored.entries) this.adoptConfiguration(entry);
    this.resetElectionTimer();
  }

  get configuration(): Configuration {
    return this.configurations.at(-1)?.configuration ?? emptyConfiguration;
  }

  /** The index of the newest configuration entry; a change is pending while it is not committed. */
  get configurationIndex(): Index {
    return this.configurations.at(-1)?.index ?? 0;
  }

  /** Whether this very incarnation of this node is a voter. */
  get isVoter(): boolean {
    return isVoter(this.configuration, this.options.id) && this.isMember;
  }

  /**
   * Whether this node may campaign: it is a voter of some configuration that no committed one has replaced yet. A leader
   * that stopped while it was removing itself may hold the only log that can win, so it must stand for election although
   * the newest configuration in that log is without it; the votes are counted without it as well (thesis §4.2.2).
   */
  get mayCampaign(): boolean {
    if (this.removalHeardFrom !== null || this.quarantine !== null || this.term >= TERM_MAX) return false;
    const { id, incarnation } = this.options;
    return this.configurations.some(({ configuration }, position) => {
      const replacedAt = this.configurations[position + 1]?.index ?? Number.POSITIVE_INFINITY;
      if (replacedAt <= this.log.commitIndex) return false;
      return isVoter(configuration, id) && knowsIncarnation(configuration, id, incarnation);
    });
  }

  /**
   * Whether the cluster goes on without this node. A node that joins replays configurations from before its time, so only one
   * that was a member, or that starts after the configurations that had it, can have been removed.
   */
  get isRemoved(): boolean {
    if (this.removalHeardFrom !== null) return true;
    const hasBegunLater = this.log.compactedIndex > 0;
    const isDecided = this.configurationIndex <= this.log.commitIndex;
    return !this.isMember && (this.wasMember || hasBegunLater) && isDecided;
  }

  get isMember(): boolean {
    return knowsIncarnation(this.configuration, this.options.id, this.options.incarnation);
  }

  /** The members besides this node. */
  get peers(): readonly NodeId[] {
    return this.configuration.members
      .map((member) => member.id)
      .filter((memberId) => memberId !== this.options.id);
  }

  /** Whether an answer from this sender counts: only incarnations that the configuration names do (row 16). */
  counts(message: Message): boolean {
    return knowsIncarnation(this.configuration, message.from, message.fromIncarnation);
  }

  /** Whether an append of the leader of this term was refused, and nothing was taken since. */
  get refusesAppends(): boolean {
    return this.refusedInTerm === this.term;
  }

  /** The fields that every message of this node carries; `term` is the current one unless said otherwise. */
  envelope(to: NodeId, term: Term = this.term) {
    return { from: this.options.id, fromIncarnation: this.options.incarnation, to, term };
  }

  event(name: RaftEvent['name'], message: string): void {
    this.outbox.event({ name, term: this.term, message });
  }

  /** A new role, and the sentence that tells why: it changes with the role itself, so that nobody sees one without the other. */
  roleChanged(name: RaftEvent['name'], reason: string): void {
    this.roleReason = reason;
    this.event(name, reason);
  }

  /** Takes part in nothing from now on. A leader steps down. */
  enterQuarantine(reason: string): void {
    if (this.quarantine !== null) return;
    this.quarantine = reason;
    this.becomeFollower(this.term, null, reason);
    this.outbox.dropMessages();
    this.event('quarantined', reason);
  }

  /** A leader of this term was heard. */
  hearLeader(leader: NodeId): void {
    this.termLeader = leader;
    this.becomeFollower(this.term, leader, `${leader} leads term ${this.term}.`);
    this.leaderSilenceTicks = 0;
    this.removalHeardFrom = null;
  }

  /** Somebody who knows says that this node is no member any more: it campaigns no longer, unless a leader wants it back. */
  hearOfRemoval(from: NodeId): void {
    this.removalHeardFrom = from;
    this.becomeFollower(this.term, null, `${from} says that this node was removed from the cluster.`);
  }

  resetElectionTimer(): void {
    this.electionElapsedTicks = 0;
    const { electionTimeoutTicks, random } = this.options;
    this.electionPatienceTicks = electionTimeoutTicks + Math.floor(random() * electionTimeoutTicks);
  }

  /**
   * Any role to follower: a higher term was seen, or another leader in this term, or this node gave up. `reason` is a
   * sentence for people.
   */
  becomeFollower(term: Term, leader: NodeId | null, reason: string): void {
    assert(term >= this.term, () => `The term never goes down, from ${this.term} to ${term}.`);
    const changed = this.role !== 'follower' || this.leader !== leader;
    const before = this.role;
    if (term > this.term) {
      this.term = term;
      this.vote = null;
      this.termLeader = null;
      this.outbox.hardStateChanged(this.term, this.vote);
    }
    // Only when this node led or campaigned, or follows somebody new, does its patience start again: a higher term
    // alone must not keep it from campaigning (correctness rule 5).
    if (before !== 'follower' || leader !== null) this.resetElectionTimer();
    this.role = 'follower';
    this.leader = leader;
    this.leaveRole();
    if (changed) this.roleChanged('becameFollower', reason);
  }

  /** Asks who would vote, and changes nothing else: no term, no vote (thesis §9.6). It forgets its leader. */
  becomePreCandidate(reason: string): void {
    assert(this.role !== 'leader', 'A leader does not campaign.');
    this.role = 'preCandidate';
    this.leader = null;
    this.leaveRole();
    this.resetElectionTimer();
    this.roleChanged('becamePreCandidate', reason);
  }

  /** Starts a real election: a new term, and this node's vote for itself, which counts once it is on disk (§5.2). */
  becomeCandidate(isTransfer: boolean, reason: string): void {
    assert(this.role !== 'leader', 'A leader does not campaign.');
    this.role = 'candidate';
    this.leader = null;
    this.leaveRole();
    this.term += 1;
    this.termLeader = null;
    this.vote = this.options.id;
    this.campaignIsTransfer = isTransfer;
    this.ownVoteSequence = this.outbox.hardStateChanged(this.term, this.vote);
    this.resetElectionTimer();
    this.roleChanged('becameCandidate', reason);
  }

  /** Records a vote for somebody else. At most one a term. */
  voteFor(candidate: NodeId): void {
    assert(
      this.vote === null || this.vote === candidate,
      () => `The vote of term ${this.term} is set already.`,
    );
    if (this.vote === candidate) return;
    this.vote = candidate;
    this.outbox.hardStateChanged(this.term, this.vote);
    this.event('votedFor', `Voted for ${candidate} in term ${this.term}.`);
  }

  /** Puts new entries into the log, and their configurations into force as soon as they are there (§6). */
  appendToLog(entries: readonly Entry[]): void {
    this.log.append(entries);
    for (const entry of entries) {
      const configuration = this.adoptConfiguration(entry);
      if (configuration === null) continue;
      this.event(
        'configurationChanged',
        `Index ${entry.index} makes ${describeConfiguration(configuration)}.`,
      );
    }
  }

  /** Takes back entries that conflict with the leader's log, and the configurations among them (row 14). */
  truncateLogFrom(index: Index): void {
    this.log.truncateFrom(index);
    while (this.configurations.length > 1 && this.configurationIndex >= index) {
      this.configurations.pop();
      this.event('configurationTakenBack', `The configuration at index ${index} or above was overwritten.`);
    }
  }

  /** The configuration that was in force at `index`, which is not compacted. */
  configurationAt(index: Index): Configuration {
    const placed = this.configurations.findLast((candidate) => candidate.index <= index);
    assert(placed !== undefined, () => `The configuration at index ${index} is known.`);
    return placed.configuration;
  }

  /** The configuration that the entry puts in force; null for an entry of another kind. */
  private adoptConfiguration(entry: Entry): Configuration | null {
    if (entry.kind !== EntryKind.configuration) return null;
    const configuration = decodeConfiguration(entry.payload);
    this.configurations.push({ index: entry.index, configuration });
    this.wasMember ||= this.isMember;
    return configuration;
  }

  memberName(id: NodeId): string {
    const member = memberOf(this.configuration, id);
    return member ? `${id} (${member.peerAddress})` : id;
  }

  private leaveRole(): void {
    this.votes.clear();
    this.ownVoteSequence = null;
    this.campaignIsTransfer = false;
    this.progress.clear();
    this.transfer = null;
    this.heldLearners = new Set();
    this.uncommittedBytes = 0;
    this.outbox.refuseReads([...this.readsWaiting, ...this.readRounds.flatMap((round) => round.contexts)]);
    this.readsWaiting = [];
    this.readRounds = [];
  }
}
