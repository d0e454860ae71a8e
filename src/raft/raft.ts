import { assert } from '../assert.js';
import { type ConfigurationChange, isLearner } from './configuration.js';
import { Core, type RaftOptions, type RestoredState } from './core.js';
import { countOwnVote, hearsLeader, rejectVote, tickElectionTimer } from './elections.js';
import {
  type ChangeRefusal,
  dropDeparted,
  finishJoint,
  isKeepingUp,
  promoteLearners,
  proposeChange,
  reasonOf,
  replicationTargets,
  stepDownIfRemoved,
  tellRemoval,
} from './membership.js';
import { contradictionIn, isKnownMember, nonsenseIn } from './plausibility.js';
import type { Progress } from './progress.js';
import { hasMajority } from './quorum.js';
import { checkQuorum, confirmReads, holdsLease, startReadRound, takeRead } from './reads.js';
import {
  advanceCommit,
  broadcastHeartbeat,
  catchUpIndex,
  handleUnreachable,
  lacksCommit,
  proposeEntries,
  sendAppends,
  sendHeartbeat,
} from './replication.js';
import { compactLog, handleSnapshotFailure } from './snapshots.js';
import { dispatch } from './table.js';
import { continueTransfer, noteHeldUp, startTransfer, tickTransfer, yieldIfDiskStalls } from './transfer.js';
import {
  type Configuration,
  type DiskSpace,
  type Entry,
  EntryKind,
  type Index,
  type Message,
  type NodeId,
  type Ready,
  type Role,
  type Term,
} from './types.js';

/** Why a proposal was not taken. Nothing happened. */
export type ProposalRefusal = 'notLeader' | 'transferring' | 'overloaded';

/** What a leader knows about one member. */
export interface FollowerStatus {
  readonly id: NodeId;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly match: Index;
  readonly next: Index;
  /** Ticks since its last answer, or null if it never answered this leader. */
  readonly lastContactTicks: number | null;
  readonly recentlyActive: boolean;
  /** Of a learner: whether as a voter it would not hold up commits. */
  readonly keepsUp: boolean;
}

export interface RaftStatus {
  readonly id: NodeId;
  readonly role: Role;
  /** A sentence that tells why it has this role, and that it was removed, if it was. */
  readonly reason: string;
  readonly isLearner: boolean;
  readonly isMember: boolean;
  /** It was a member, and the cluster goes on without it. */
  readonly isRemoved: boolean;
  readonly term: Term;
  readonly vote: NodeId | null;
  readonly leader: NodeId | null;
  readonly commitIndex: Index;
  readonly durableIndex: Index;
  readonly firstIndex: Index;
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  readonly logBytes: number;
  readonly configuration: Configuration;
  readonly configurationIndex: Index;
  /** Who takes over, while leadership is being handed over. */
  readonly transferTo: NodeId | null;
  /** A leader's view of the others; empty on other roles. */
  readonly followers: readonly FollowerStatus[];
}

/**
 * Raft, as a state machine that does nothing by itself. Feed it with {@link step} (a message came), {@link tick} (time
 * passed), {@link propose}, {@link read} and so on; then take what it wants done with {@link takeReady} and do it in the
 * order that {@link Ready} states; then report with {@link persisted}. It reads no clock, draws no randomness of its own
 * and performs no I/O, so the same calls always give the same output.
 *
 * Where to read on: `elections.ts` (§5.2), `replication.ts` (§5.3, §5.4), `membership.ts` (§6), `snapshots.ts` (§7),
 * `reads.ts` (§8), `transfer.ts` (thesis §3.10), and `table.ts`, which says which role does what with which message.
 *
 * Caveats: one membership change at a time; a node whose disk lost what it had acknowledged finds that out from what its peers
 * say, and is in quarantine from then on.
 */
export class Raft {
  private readonly core: Core;

  constructor(options: RaftOptions, restored: RestoredState) {
    this.core = new Core(options, restored);
  }

  /**
   * A message came. Messages of an older term are answered where that helps the sender, and otherwise ignored. Returns null, or
   * a sentence that says why no member sends such a message; then it changed nothing, and whoever sent it is to be cut off.
   *
   * @param fromMember Whether the sender is a member beyond doubt. What such a sender says and cannot be true puts this node into
   *   quarantine; from anybody else it is nonsense.
   */
  step(message: Message, fromMember = isKnownMember(this.core, message)): string | null {
    const { core } = this;
    assert(message.to === core.options.id, () => `A message for ${message.to} came to ${core.options.id}.`);
    const nonsense = nonsenseIn(core, message);
    if (nonsense !== null) return nonsense;
    if (core.quarantine !== null || !this.isWelcome(message)) return null;
    const contradiction = contradictionIn(core, message);
    if (contradiction !== null) {
      if (!fromMember) return contradiction;
      this.enterQuarantine(contradiction);
      return null;
    }
    if (message.term > core.term) {
      if (message.type === 'requestVote') {
        if (hearsLeader(core) && !message.leadershipTransfer) {
          rejectVote(core, message);
          return null;
        }
        if (!message.preVote) {
          core.becomeFollower(message.term, null, `${message.from} campaigns in term ${message.term}.`);
        }
      } else if (!(message.type === 'requestVoteResponse' && message.preVote && message.granted)) {
        core.becomeFollower(message.term, null, `${message.from} is in term ${message.term} already.`);
      }
    } else if (message.term < core.term && !isNoticeOfRemoval(message)) {
      this.answerStale(message);
      return null;
    }
    dispatch(core, message);
    this.settle();
    return null;
  }

  /**
   * Something that cannot be true showed: this node takes part in nothing until its process ends. Only what is committed
   * already is still handed out to be applied.
   *
   * @param reason A sentence that says what, and what to do.
   */
  enterQuarantine(reason: string): void {
    this.core.enterQuarantine(reason);
    this.settle();
  }

  /** Why this node is in quarantine; null while it is not. */
  get quarantine(): string | null {
    return this.core.quarantine;
  }

  /**
   * How many ticks may pass until one has something to do, at least 1. Whoever drives the core may sleep so long and then
   * count them all, if it asks again after each step.
   */
  get quietTicks(): number {
    const { core } = this;
    if (core.role !== 'leader') {
      if (!core.mayCampaign) return core.options.electionTimeoutTicks;
      return Math.max(1, core.electionPatienceTicks - core.electionElapsedTicks);
    }
    if (core.transfer !== null) return 1;
    for (const progress of core.progress.values()) if (lacksCommit(core, progress)) return 1;
    return Math.max(1, core.options.heartbeatTicks - core.heartbeatElapsedTicks);
  }

  /**
   * A reading of a monotonic clock, in any unit. What is sent is taken to be sent at the last reading, so an old one makes
   * leases shorter, never longer. Ticks would not do: a process that was paused loses some.
   */
  timeIs(reading: number): void {
    this.core.reading = reading;
  }

  /** Whether a read at this very moment needs no round, because nobody else can lead (rule 19). `reading` is fresh. */
  holdsLease(reading: number): boolean {
    return holdsLease(this.core, reading);
  }

  /** The room on this node's disk. */
  diskSpaceIs(space: DiskSpace): void {
    this.core.diskSpace = space;
  }

  /**
   * Leader: whether what needs room is to be refused: the voters with enough of it are no majority, or nothing fits on this
   * node's own disk.
   */
  get lacksRoom(): boolean {
    const { core } = this;
    if (core.diskSpace === 'full') return true;
    // Asked for every proposal, and nearly always everybody has room.
    if (core.diskSpace === 'ok' && !this.isSomebodyLow()) return false;
    return !hasMajority(core.configuration, (id) => this.hasRoom(id));
  }

  private isSomebodyLow(): boolean {
    for (const progress of this.core.progress.values()) if (progress.lowSpace) return true;
    return false;
  }

  /** Leader: a voter that could lead and has room where this node has little. */
  get roomierSuccessor(): NodeId | undefined {
    const { core } = this;
    if (core.diskSpace === 'ok') return undefined;
    return core.configuration.voters.find((id) => {
      const progress = core.progress.get(id);
      // How much room there is, a follower says with the answer to a heartbeat.
      const hasSaid = progress?.recentlyActive === true && progress.acknowledgedRound > 0;
      return hasSaid && !progress.lowSpace;
    });
  }

  private hasRoom(id: NodeId): boolean {
    const { core } = this;
    return id === core.options.id ? core.diskSpace === 'ok' : core.progress.get(id)?.lowSpace !== true;
  }

  /** The process got no turn for this many ticks, which are not counted. To be called before the next tick. */
  heldUp(ticks: number): void {
    noteHeldUp(this.core, ticks);
  }

  /** One tick of time passed. */
  tick(): void {
    const { core } = this;
    core.now += 1;
    if (core.quarantine !== null) return;
    if (core.role === 'leader') this.tickLeader();
    else tickElectionTimer(core);
    this.settle();
  }

  /**
   * Appends commands to the leader's log. Returns the index of the first, in the current term, or why nothing was taken.
   * Being appended promises nothing: a command is done when it comes back in `Ready.committed` with this term.
   */
  propose(
    payloads: readonly Uint8Array[],
  ): { readonly firstIndex: Index; readonly term: Term } | ProposalRefusal {
    const { core } = this;
    if (core.role !== 'leader') return 'notLeader';
    if (core.transfer) return 'transferring';
    let bytes = 0;
    for (const payload of payloads) bytes += payload.length;
    // A single proposal is always taken when nothing is waiting, however large.
    if (core.uncommittedBytes > 0 && core.uncommittedBytes + bytes > core.options.uncommittedBytesMax)
      return 'overloaded';
    const firstIndex = core.log.lastIndex + 1;
    proposeEntries(core, EntryKind.command, payloads);
    return { firstIndex, term: core.term };
  }

  /** Changes the membership. Returns the entry's place in the log, or why not. A joint one ends by itself. */
  proposeChange(change: ConfigurationChange): { readonly index: Index; readonly term: Term } | ChangeRefusal {
    const refusal = proposeChange(this.core, change);
    return refusal ?? { index: this.core.log.lastIndex, term: this.core.term };
  }

  /** Leader: these learners do not become voters by themselves until the next call, or until this node leads no more. */
  holdPromotions(ids: readonly NodeId[]): void {
    this.core.heldLearners = new Set(ids);
  }

  /** Asks for a linearizable read; the answer carries `context`, which the caller never uses twice. */
  read(context: number): void {
    takeRead(this.core, context);
  }

  /** Hands leadership to `to`, or to the best voter. Returns the target, or a sentence that says why not. */
  transfer(to: NodeId | undefined): { readonly to: NodeId } | string {
    const result = startTransfer(this.core, to);
    this.settle();
    return result;
  }

  /** Everything up to this `Persist.sequence` is on disk. Sequences are reported in order. */
  persisted(sequence: number): void {
    const { core } = this;
    core.log.persisted(sequence);
    core.outbox.persisted(sequence);
    countOwnVote(core, sequence);
    if (core.role === 'leader') advanceCommit(core);
    this.settle();
  }

  /** Forgets the log up to `index`, which the state machine has on disk. */
  compact(index: Index): void {
    assert(
      index <= this.core.handedOutIndex,
      () => `Index ${index} is not applied and must not be compacted.`,
    );
    compactLog(this.core, index);
  }

  /** A connection to this peer broke, so messages may be lost. */
  unreachable(id: NodeId): void {
    handleUnreachable(this.core, id);
  }

  /** The transfer of a snapshot to this follower failed. */
  snapshotFailed(id: NodeId): void {
    handleSnapshotFailure(this.core, id);
  }

  /** Whether {@link takeReady} has anything to hand out. */
  hasReady(): boolean {
    this.prepare();
    return this.applicableIndex > this.core.handedOutIndex || this.core.outbox.hasWork(this.core.log);
  }

  /** Everything that is to be done now; see {@link Ready} for the order. */
  takeReady(): Ready {
    this.prepare();
    const { core } = this;
    const committed = this.takeCommitted();
    return core.outbox.takeReady(core.log, committed);
  }

  /** Members, and removed ones that are still to be told. */
  replicationTargets(): readonly NodeId[] {
    return replicationTargets(this.core);
  }

  /** How many followers a leader keeps track of; 0 on other roles. */
  get followerCount(): number {
    return this.core.progress.size;
  }

  /** It was a member, and the cluster goes on without it. */
  get isRemoved(): boolean {
    return this.core.isRemoved;
  }

  get role(): Role {
    return this.core.role;
  }

  get term(): Term {
    return this.core.term;
  }

  get leader(): NodeId | null {
    return this.core.leader;
  }

  /** Ticks since a leader was heard. */
  get leaderSilenceTicks(): number {
    return this.core.leaderSilenceTicks;
  }

  get commitIndex(): Index {
    return this.core.log.commitIndex;
  }

  /** What this node must have applied to have caught up with its leader; 0 while no leader has said. */
  get catchUpIndex(): Index {
    const { core } = this;
    return core.role === 'leader' ? catchUpIndex(core) : core.catchUp.index;
  }

  get configuration(): Configuration {
    return this.core.configuration;
  }

  get configurationIndex(): Index {
    return this.core.configurationIndex;
  }

  /** Entries and bytes that the log holds in memory. */
  get logSize(): { readonly entries: number; readonly bytes: number } {
    const { log } = this.core;
    return { entries: log.lastIndex - log.compactedIndex, bytes: log.bytes };
  }

  get firstIndex(): Index {
    return this.core.log.firstIndex;
  }

  get lastIndex(): Index {
    return this.core.log.lastIndex;
  }

  /** Everything up to here is on disk as it stands in the log, for checkers. */
  get durableIndex(): Index {
    return this.core.log.durableIndex;
  }

  /** The term of an entry that is still in the log (or the last compacted one), for checkers. */
  termAt(index: Index): Term | undefined {
    return this.core.log.termAt(index);
  }

  /** Entries that are still in the log, for checkers. */
  entries(first: Index, last: Index): readonly Entry[] {
    return this.core.log.slice(first, last);
  }

  status(): RaftStatus {
    const { core } = this;
    return {
      id: core.options.id,
      role: core.role,
      reason: reasonOf(core),
      isLearner: isLearner(core.configuration, core.options.id),
      isMember: core.isMember,
      isRemoved: core.isRemoved,
      term: core.term,
      vote: core.vote,
      leader: core.leader,
      commitIndex: core.log.commitIndex,
      durableIndex: core.log.durableIndex,
      firstIndex: core.log.firstIndex,
      lastIndex: core.log.lastIndex,
      lastTerm: core.log.lastTerm,
      logBytes: core.log.bytes,
      configuration: core.configuration,
      configurationIndex: core.configurationIndex,
      transferTo: core.transfer?.to ?? null,
      followers: [...core.progress].map(([id, progress]) => this.followerStatus(id, progress)),
    };
  }

  /** A leader's view of one other; undefined for who is not followed, and on other roles. */
  follower(id: NodeId): FollowerStatus | undefined {
    const progress = this.core.progress.get(id);
    return progress && this.followerStatus(id, progress);
  }

  private followerStatus(id: NodeId, progress: Progress): FollowerStatus {
    const { state, match, next, lastContactTick, recentlyActive } = progress;
    const lastContactTicks = lastContactTick === null ? null : this.core.now - lastContactTick;
    const keepsUp = isKeepingUp(this.core, progress);
    return { id, state, match, next, lastContactTicks, recentlyActive, keepsUp };
  }

  /**
   * Answers to this node count only from incarnations that it knows, and from those on their way out. Requests are heard
   * from anybody in the cluster: the sender may be a member of whom this node has not heard yet (correctness rule 16).
   */
  private isWelcome(message: Message): boolean {
    switch (message.type) {
      case 'requestVoteResponse':
      case 'appendEntriesResponse':
      case 'heartbeatResponse':
      case 'installSnapshotResponse':
        return (
          this.core.counts(message) ||
          this.core.progress.get(message.from)?.departing?.incarnation === message.fromIncarnation
        );
      default:
        return true;
    }
  }

  /**
   * A sender that is behind learns this node's term from the answer. Without it, a node that came back with a higher term
   * would stay deaf to its leader for ever, because PreVote keeps it from campaigning (correctness rule 5).
   */
  private answerStale(message: Message): void {
    const { core } = this;
    switch (message.type) {
      case 'requestVote':
        rejectVote(core, message);
        return;
      case 'appendEntries':
      case 'heartbeat':
      case 'installSnapshot':
        core.outbox.send({
          type: 'heartbeatResponse',
          ...core.envelope(message.from),
          // Round 0 confirms nothing; only the term matters here.
          round: 0,
        });
        return;
      default:
        return;
    }
  }

  private tickLeader(): void {
    const { core } = this;
    checkQuorum(core);
    if (core.role !== 'leader') return;
    tickTransfer(core);
    dropDeparted(core);
    yieldIfDiskStalls(core);
    if (core.role !== 'leader') return;
    // A configuration that shrank may make a majority of the acknowledgements that are there already.
    confirmReads(core);
    // Not along with the heartbeat below: each read round is one too and puts that off.
    if (core.now % core.options.heartbeatTicks === 0) promoteLearners(core);
    core.heartbeatElapsedTicks += 1;
    if (core.heartbeatElapsedTicks >= core.options.heartbeatTicks) {
      broadcastHeartbeat(core);
      return;
    }
    // A commit that no append carried to a follower goes out with the next tick, not the next heartbeat.
    for (const [to, progress] of core.progress) {
      if (lacksCommit(core, progress)) sendHeartbeat(core, to, progress);
    }
  }

  /** What follows from the state, whatever led to it. */
  private settle(): void {
    const { core } = this;
    tellRemoval(core);
    if (core.role !== 'leader') return;
    finishJoint(core);
    stepDownIfRemoved(core);
    continueTransfer(core);
  }

  /** A leader's messages are made as late as possible, so that they carry everything that gathered. */
  private prepare(): void {
    const { core } = this;
    if (core.role !== 'leader') return;
    startReadRound(core);
    sendAppends(core);
  }

  /** Committed, and durable here: an entry is never applied from memory alone. */
  private get applicableIndex(): Index {
    return Math.min(this.core.log.commitIndex, this.core.log.durableIndex);
  }

  private takeCommitted(): readonly Entry[] {
    const { core } = this;
    const last = this.applicableIndex;
    if (last <= core.handedOutIndex) return [];
    const committed = core.log.slice(core.handedOutIndex + 1, last);
    core.handedOutIndex = last;
    return committed;
  }
}

/** True in any term, and a node that was removed may well be in a higher one than all others (rule 17). */
function isNoticeOfRemoval(message: Message): boolean {
  return message.type === 'requestVoteResponse' && message.removed;
}
