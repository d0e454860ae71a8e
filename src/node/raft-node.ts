import type { Clock } from '../clock.js';
import type { ClusterVersion } from '../cluster-version.js';
import { RaftkvError, type StorageDamaged } from '../errors.js';
import type { NodeMeasures } from '../http/port.js';
import type { CommandKind } from '../kv/types.js';
import { describeConfiguration } from '../raft/configuration.js';
import type { RestoredState } from '../raft/core.js';
import { describeMessage } from '../raft/describe-message.js';
import { Raft, type RaftStatus } from '../raft/raft.js';
import type { Entry, Index, Message, NodeId, RaftEvent, Term } from '../raft/types.js';
import type { SnapshotAnswer, SnapshotHeader, Transport } from '../transport/contract.js';
import { Applier } from './applier.js';
import { CommitTimes } from './commit-times.js';
import type { LogWriter, NodeLogger, StateMachine } from './contracts.js';
import { DigestWindow } from './digest-window.js';
import { type DiskUsage, DiskWatch, type Reserve } from './disk-space.js';
import { Driver } from './driver.js';
import { EventLog } from './event-log.js';
import { Flusher } from './flusher.js';
import { stopInGoodOrder } from './graceful-stop.js';
import { IncomingSnapshots } from './incoming-snapshots.js';
import * as limits from './limits.js';
import { Nonsense } from './nonsense.js';
import { OutgoingSnapshots } from './outgoing-snapshots.js';
import { PeerList } from './peer-list.js';
import { ProposalQueue } from './proposal-queue.js';
import { type StateRequest, StateSource } from './state-source.js';
import { Ticker } from './ticker.js';
import {
  Conditions,
  noLeader,
  noRoomForSnapshot,
  outcomeUnknown,
  overloaded,
  quarantined,
  readUnavailable,
  removed,
  Sweep,
  shuttingDown,
  type Waiter,
  WaitingRoom,
} from './waiting.js';
import { Withdrawal } from './withdrawal.js';

export interface RaftNodeOptions {
  readonly id: NodeId;
  readonly incarnation: string;
  readonly restored: RestoredState;
  /** The log is compacted when it holds more entries, and proposals are refused at twice as many. */
  readonly logEntriesMax: number;
  /** The same bound in encoded bytes. */
  readonly logBytesMax: number;
  /** Encoded bytes of entries in one append; a larger entry travels alone. */
  readonly appendBytesMax: number;
  /** Bounds of what is on its way, in place of those in limits.ts; only the simulator has smaller ones. */
  readonly flow?: Partial<FlowBounds>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** What a leader lets be on its way. */
export interface FlowBounds {
  /** Appends per follower. */
  readonly messagesInFlightMax: number;
  /** Bytes of entries per follower. */
  readonly bytesInFlightMax: number;
  /** Bytes proposed and not committed; past it, proposals are refused as overloaded. */
  readonly uncommittedBytesMax: number;
}

export interface RaftNodeParts<Result> {
  readonly log: LogWriter;
  readonly stateMachine: StateMachine<Result>;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: NodeLogger;
  /** How the disk of the data directory is filled; not watched unless given. */
  readonly diskUsage?: () => Promise<DiskUsage>;
  /** Room on that disk that no other program can take. */
  readonly diskReserve?: Reserve;
  /** The state proved to be damaged where it was read for another member. */
  readonly stateDamaged?: (error: StorageDamaged) => void;
  /** The process must end: the disk failed, or an invariant is broken. Called at most once. */
  readonly fatal: (error: unknown) => void;
}

/** A proposal that is in the log; it is done when the entry of this term is applied at its index. */
interface Proposal<Result> extends Waiter<Result | undefined> {
  readonly term: Term;
}

/**
 * One server: the consensus core with the disk, the peers and the state machine around it. Whoever asks something of it
 * gets a promise; the promise of a proposal is kept when its entry is applied here, or broken as "unknown" when this node
 * loses leadership first (correctness rule 26).
 */
export class RaftNode<Result> {
  readonly raft: Raft;
  readonly digests = new DigestWindow();
  private readonly incoming: IncomingSnapshots;
  private readonly outgoing: OutgoingSnapshots;
  private readonly source: StateSource;
  private readonly driver: Driver;
  private readonly applier: Applier<Result>;
  private readonly flusher: Flusher;
  private readonly ticker: Ticker;
  private readonly disk: DiskWatch | null;
  private handedOverAt = Number.NEGATIVE_INFINITY;

  private readonly queue: ProposalQueue<Result>;
  private readonly proposed = new WaitingRoom<Index, Result | undefined, Proposal<Result>>();
  private readonly reads = new WaitingRoom<number, Index>();
  private readonly conditions = new Conditions();
  private readonly sweep = new Sweep();
  private readonly leaders = new Set<() => void>();
  private readonly routes: (() => void)[] = [];
  private leaderIsDoubtful = false;
  /** What was accepted and has not come here yet, as those who accepted it know. */
  private readonly accepted: (() => boolean)[] = [];
  private readonly readEnds: ((error: RaftkvError) => void)[] = [];
  private readonly nonsense: Nonsense;
  private readonly events: EventLog;
  /** Whether the log takes each message of the core. The level never changes, so a message costs no more than this. */
  private readonly isTraced: boolean;
  private readonly commitTimes = new CommitTimes();
  private campaigns = 0;
  private leaderChanges = 0;
  private lastContext = 0;
  private ledTerm: Term | null = null;
  private lastLeader: NodeId | null = null;
  private readonly peerList: PeerList;
  private readonly withdrawal: Withdrawal;
  private isStopping = false;
  /** Nothing is performed any more. */
  private isShut = false;
  private isDead = false;

  constructor(
    private readonly options: RaftNodeOptions,
    private readonly parts: RaftNodeParts<Result>,
  ) {
    const { clock, logger, stateMachine, transport } = parts;
    this.raft = new Raft(
      {
        id: options.id,
        incarnation: options.incarnation,
        electionTimeoutTicks: limits.ELECTION_TIMEOUT_TICKS,
        heartbeatTicks: limits.HEARTBEAT_TICKS,
        leaseDuration: limits.LEASE_MS,
        appendBytesMax: options.appendBytesMax,
        messagesInFlightMax: limits.APPENDS_IN_FLIGHT_MAX,
        bytesInFlightMax: limits.APPEND_BYTES_IN_FLIGHT_MAX,
        uncommittedBytesMax: limits.UNCOMMITTED_BYTES_MAX,
        ...options.flow,
        logEntriesMax: options.logEntriesMax,
        logBytesMax: options.logBytesMax,
        refuseCommand: (payload) => stateMachine.refuse(payload),
        random: options.random,
      },
      options.restored,
    );
    this.nonsense = new Nonsense(clock, logger);
    this.events = new EventLog(clock, logger);
    this.isTraced = logger.isLevelEnabled('trace');
    this.withdrawal = new Withdrawal({
      raft: this.raft,
      clock,
      change: (task) => this.change(task),
      isDead: () => this.isDead || this.isStopping,
      endReads: (reason) => this.endReads(quarantined(reason)),
    });
    this.peerList = new PeerList(options.id, this.raft, transport);
    const fatal = (error: unknown) => this.die(error);
    const damaged = parts.stateDamaged ?? ((error) => void this.withdraw(error.message));
    this.queue = new ProposalQueue(clock, () => this.driver.wake());
    this.driver = new Driver(this.raft, parts.log, clock, {
      event: (event) => this.noteEvent(event),
      send: (message) => this.send(message),
      committed: (entries) => {
        this.commitTimes.committed(entries.at(-1)?.index ?? 0, clock.now());
        this.applier.enqueue(entries);
      },
      reads: (confirmed) => {
        for (const { context, index } of confirmed) this.reads.take(context)?.resolve(index);
      },
      readsRefused: (contexts) => {
        for (const context of contexts) this.reads.take(context)?.reject(readUnavailable());
      },
      snapshotRequested: (request) => this.outgoing.send(request),
      snapshotInstalled: (staged) => {
        stateMachine.activate(staged);
        this.digests.note(staged.metadata.index, stateMachine.comparableDigest);
        logger.info(
          { index: staged.metadata.index },
          `The leader's snapshot at index ${staged.metadata.index} is the state of this node now.`,
        );
        this.applier.skipTo(staged.metadata.index);
      },
      snapshotOvertaken: (staged) => this.incoming.dropOvertaken(staged),
      gather: () => this.proposeQueued(),
      settled: () => {
        this.followRole();
        this.ticker.hasten();
      },
      fatal,
    });
    this.applier = new Applier(stateMachine, clock, {
      applied: (entry, result) => this.entryApplied(entry, result),
      progressed: () => {
        this.conditions.check();
        this.flusher.noteChanges();
      },
      needsFlush: () => this.flusher.flushNow(),
      fatal,
    });
    this.incoming = new IncomingSnapshots(this.raft, stateMachine, logger, this.driver, this.nonsense);
    this.outgoing = new OutgoingSnapshots(options, this.raft, stateMachine, transport, clock, logger, {
      wake: () => {
        this.guard(() => this.flusher.compactLog());
        this.driver.wake();
      },
      damaged,
      fatal,
    });
    this.source = new StateSource({
      id: options.id,
      incarnation: options.incarnation,
      raft: this.raft,
      stateMachine,
      transport,
      clock,
      logger,
      readIndex: (timeoutMs) => this.readIndex(timeoutMs),
      damaged,
    });
    this.flusher = new Flusher(this.raft, stateMachine, clock, logger, options, {
      neededIndex: () => this.outgoing.neededIndex,
      release: (index) => this.outgoing.release(index),
      hasRoom: () => this.hasRoomToFlush(),
      flushed: () => this.applier.resume(),
      compacted: () => this.driver.wake(),
      fatal,
    });
    this.disk =
      parts.diskUsage === undefined
        ? null
        : new DiskWatch({
            clock,
            logger,
            usage: parts.diskUsage,
            ...(parts.diskReserve === undefined ? {} : { reserve: parts.diskReserve }),
            logBytesMax: options.logBytesMax,
            changed: (space) => {
              this.raft.diskSpaceIs(space);
              this.flusher.noteChanges();
              this.driver.wake();
            },
          });
    this.ticker = new Ticker(clock, {
      tick: () => this.guard(() => this.raft.tick()),
      ticked: () => {
        this.expireWaiters();
        this.doubtSilentLeader();
        this.leaveLeadToRoomier();
        this.driver.run();
      },
      quietTicks: () =>
        Math.min(this.raft.quietTicks, this.isAwaited ? limits.DEADLINE_TICKS : Number.POSITIVE_INFINITY),
      heldUp: (ms) => this.guard(() => this.raft.heldUp(Math.floor(ms / limits.TICK_MS))),
      stalled: ({ count, longestMs }) =>
        logger.warn(
          { count, longestMs: Math.round(longestMs) },
          `This process was held up ${count} times since the last such line, for ${Math.round(longestMs)} ms at the longest; ` +
            'its election timer was held back meanwhile.',
        ),
    });
  }

  /** Starts the timers and performs what the restored state asks for. The transport is started by its owner. */
  start(): void {
    const { term, lastIndex, configuration, configurationIndex } = this.raft.status();
    const { appliedIndex } = this;
    this.parts.logger.info(
      { term, lastIndex, appliedIndex, configurationIndex },
      `Starts in term ${term} with the log up to index ${lastIndex} and the state at index ${appliedIndex}, in a cluster with ` +
        `${describeConfiguration(configuration)}.`,
    );
    this.peerList.follow();
    this.digests.note(this.parts.stateMachine.appliedIndex, this.parts.stateMachine.comparableDigest);
    this.ticker.start();
    this.disk?.start();
    // A node may have died between a flush and the cut that follows it, and all of its state may be on disk: with a full log
    // it takes no entry whose flush would bring it there again.
    this.guard(() => this.flusher.compactLog());
    this.driver.run();
  }

  // What peers deliver -------------------------------------------------------------------------------------------

  /**
   * Returns null, or a sentence that says why no member sends such a message: then it changed nothing, and its stream is to be
   * ended.
   *
   * @param fromMember Whether the sender is a member beyond doubt; as the configuration says, where nothing is said.
   */
  onMessage(message: Message, fromMember?: boolean): string | null {
    if (this.isDead || message.to !== this.options.id) return null;
    if (this.isTraced) {
      this.parts.logger.trace({ peer: message.from }, `from ${message.from}: ${describeMessage(message)}`);
    }
    this.ticker.catchUp();
    let nonsense: string | null = null;
    this.guard(() => {
      nonsense = this.raft.step(message, fromMember);
    });
    if (nonsense !== null) this.nonsense.note(message, nonsense);
    if (this.leaderIsDoubtful) this.noteLeaderHeard();
    this.driver.wake();
    return nonsense;
  }

  onUnreachable(peer: NodeId): void {
    if (this.isDead) return;
    if (peer === this.raft.leader) this.leaderIsDoubtful = this.raft.role !== 'leader';
    this.raft.unreachable(peer);
    this.driver.wake();
  }

  /** @param fromMember As for {@link onMessage}. */
  onSnapshot(
    header: SnapshotHeader,
    chunks: AsyncIterable<Uint8Array>,
    fromMember: boolean,
  ): Promise<SnapshotAnswer> {
    if (this.isDead || this.isStopping) return Promise.reject(shuttingDown());
    if (this.disk !== null && this.disk.space !== 'ok') return Promise.reject(noRoomForSnapshot());
    return this.incoming.receive(header, this.whileThereIsRoom(chunks), fromMember);
  }

  // What clients ask for -----------------------------------------------------------------------------------------

  /**
   * Proposes a command and resolves with what applying it gave. Rejects with `no_leader`, `overloaded` or `shutting_down`
   * when nothing happened, with `bad_request` or `cluster_not_upgraded` when a member could not apply it, and with
   * `outcome_unknown` when leadership or the deadline was lost after it was proposed. What is proposed stays proposed when
   * `signal` is aborted; only the waiting ends, with `outcome_unknown`.
   *
   * @param raisingTo The cluster version to which the command may raise the cluster; null for none.
   * @param takes Which kinds of commands may come from where this one came; all by default.
   */
  propose(
    payload: Uint8Array,
    timeoutMs: number,
    signal?: AbortSignal,
    raisingTo: ClusterVersion | null = null,
    takes: (kind: CommandKind) => boolean = anyCommand,
  ): Promise<Result> {
    const refusal = this.refusal();
    if (refusal) return Promise.reject(refusal);
    const wrong = this.parts.stateMachine.refuseProposal(payload, raisingTo, takes);
    if (wrong !== null) return Promise.reject(wrong);
    return new Promise((resolve, reject) => {
      const deadline = this.parts.clock.now() + timeoutMs;
      this.queue.add({ payload, resolve, reject, deadline, signal });
      this.driver.wake();
    });
  }

  /**
   * Resolves with an index once it is certain that this node led when the call was made; what is applied up to that index
   * is then a linearizable view (ReadIndex, §8). Rejects with `no_leader` or `unavailable`.
   */
  readIndex(timeoutMs: number): Promise<Index> {
    // Reads that were accepted before a stop are asked about later, together; new ones are refused where they come in.
    const refusal = this.isShut ? shuttingDown() : this.unableToServe();
    if (refusal) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      this.lastContext += 1;
      this.reads.add(this.lastContext, { resolve, reject, deadline: this.parts.clock.now() + timeoutMs });
      this.raft.read(this.lastContext);
      this.driver.wake();
    });
  }

  /** Resolves once the state machine has applied `index`. Rejects with `unavailable` when that takes too long. */
  whenApplied(index: Index, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const { stateMachine } = this.parts;
    return this.when(() => stateMachine.appliedIndex >= index, timeoutMs, readUnavailable, signal);
  }

  /**
   * Resolves once `holds` does, looking again whenever entries were applied. Rejects with `error()` when it is too late, or
   * when nobody waits any more.
   */
  when(
    holds: () => boolean,
    timeoutMs: number,
    error: () => RaftkvError,
    signal?: AbortSignal,
  ): Promise<void> {
    if (holds()) return Promise.resolve();
    // Nothing is applied any more that could bring it about.
    if (this.isShut) return Promise.reject(shuttingDown());
    const unreadable = this.whyUnreadable();
    if (unreadable) return Promise.reject(unreadable);
    if (this.conditions.size >= limits.WAITING_MAX) {
      return Promise.reject(overloaded(`${limits.WAITING_MAX} reads are waiting on this node.`));
    }
    return new Promise((resolve, reject) => {
      const deadline = this.parts.clock.now() + timeoutMs;
      this.conditions.add(holds, error, { resolve, reject, deadline, signal });
    });
  }

  /** Resolves when the configuration entry at this place of the log is applied; see {@link propose} for rejections. */
  whenConfigured(
    place: { readonly index: Index; readonly term: Term },
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<void> {
    if (this.isShut) return Promise.reject(outcomeUnknown());
    return new Promise((resolve, reject) => {
      const deadline = this.parts.clock.now() + timeoutMs;
      const { index, term } = place;
      this.proposed.add(index, { resolve: () => resolve(), reject, deadline, signal, term });
      this.driver.wake();
    });
  }

  /** Runs `task` on the core and then what follows from it. */
  change<Value>(task: (raft: Raft) => Value): Value {
    const value = task(this.raft);
    this.driver.wake();
    return value;
  }

  /** Calls back whenever another leader, or none, is known; returns how to stop that. */
  onLeaderChange(listener: () => void): () => void {
    this.leaders.add(listener);
    return () => this.leaders.delete(listener);
  }

  /** Calls back when nothing can be read here any more, because this node was removed or is in quarantine. */
  onReadsEnd(listener: (error: RaftkvError) => void): void {
    this.readEnds.push(listener);
  }

  /** Why nothing is read here: this node was removed, or is in quarantine. Null while it serves. */
  whyUnreadable(): RaftkvError | null {
    const { raft } = this;
    if (this.quarantine !== null) return quarantined(this.quarantine);
    return raft.isRemoved ? removed() : null;
  }

  /** Why this node is in quarantine, or about to be; null while it is not. */
  get quarantine(): string | null {
    return this.raft.quarantine ?? this.withdrawal.reason;
  }

  /** The disk under this node gives back something else than was written to it: see {@link Withdrawal}. */
  withdraw(reason: string): Promise<void> {
    return this.withdrawal.begin(reason);
  }

  /** Leader: streams the state to a member whose own is damaged; see {@link StateSource.send}. */
  sendState(request: StateRequest, timeoutMs: number): Promise<Index> {
    return this.source.send(request, timeoutMs);
  }

  /** Calls back whenever another leader, or none, is known, or the leader that was doubtful was heard. */
  onRouteChange(listener: () => void): void {
    this.routes.push(listener);
  }

  /** The leader that this follower knows may be gone: the connection to it broke, or it misses its heartbeats. */
  get doubtsLeader(): boolean {
    return this.leaderIsDoubtful;
  }

  /** While `holds`, somebody has accepted what only a leader can finish: a stop waits for it before it hands over. */
  finishesFirst(holds: () => boolean): void {
    this.accepted.push(holds);
  }

  get appliedIndex(): Index {
    return this.parts.stateMachine.appliedIndex;
  }

  get stopping(): boolean {
    return this.isStopping;
  }

  status(): RaftStatus {
    return this.raft.status();
  }

  /** What this process did since it started. */
  counters() {
    const { writes, batches } = this.driver.counts;
    const { count, longestMs } = this.ticker.stalls;
    return {
      logWrites: writes,
      logBatches: batches,
      stalls: count,
      longestStallMs: Math.round(longestMs),
      messagesRefused: this.nonsense.count,
    };
  }

  /** For GET /metrics: what this process measured since it started, and what waits at the moment. */
  measures(): NodeMeasures {
    const { raft } = this;
    const { followers, lastIndex, logBytes } = raft.status();
    return {
      logWriteTimes: this.driver.writeTimes,
      commitTimes: this.commitTimes.histogram,
      campaigns: this.campaigns,
      leaderChanges: this.leaderChanges,
      pendingProposals: this.queue.size + this.proposed.size,
      waits: this.reads.size + this.conditions.size,
      logBytes,
      followers: followers.map(({ id, match }) => ({ id, lagEntries: lastIndex - match })),
    };
  }

  // The end --------------------------------------------------------------------------------------------------------

  /**
   * Finishes what was accepted, hands leadership over where it can, flushes and stops. New requests are refused from the
   * start with `shutting_down`. `patienceMs` bounds the waiting, not the flush.
   *
   * @param drained Resolves when nobody asks for anything any more. Until then this node goes on as a follower, because
   *   reads that were accepted wait for what it applies, and for the state.
   */
  async stop(patienceMs: number, drained: Promise<unknown>): Promise<void> {
    if (this.isStopping) return;
    this.isStopping = true;
    const { clock } = this.parts;
    await stopInGoodOrder(
      {
        raft: this.raft,
        clock,
        change: (task) => this.change(task),
        isBusy: () =>
          this.queue.size + this.proposed.size + this.reads.size > 0 ||
          this.accepted.some((holds) => holds()),
        isIdle: () => this.driver.isIdle,
        isDead: () => this.isDead,
      },
      clock.now() + patienceMs,
      drained,
    );
    this.shut();
    if (!this.isDead) await this.closeState();
  }

  private async closeState(): Promise<void> {
    try {
      await this.parts.stateMachine.close();
    } catch (error) {
      if (!(error instanceof RaftkvError && error.code === 'no_space')) throw error;
      const { code, message } = error;
      this.parts.logger.warn(
        { code },
        `The state could not be flushed. ${message} Nothing is lost: the log on disk has what the state lacks, and the next ` +
          'start applies it.',
      );
    }
  }

  private shut(): void {
    this.isShut = true;
    this.ticker.stop();
    this.disk?.stop();
    this.flusher.stop();
    this.driver.stop();
    this.outgoing.abortAll();
    this.source.stop();
    this.rejectProposed(() => true);
    this.queue.rejectAll(shuttingDown);
    this.reads.rejectWhere(() => true, readUnavailable);
    this.conditions.rejectAll();
  }

  private die(error: unknown): void {
    if (this.isDead) return;
    this.isDead = true;
    this.shut();
    this.parts.fatal(error);
  }

  private guard(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.die(error);
    }
  }

  // What follows from a step ----------------------------------------------------------------------------------------

  private noteEvent(event: RaftEvent): void {
    const { logger } = this.parts;
    const fields = { event: event.name, term: event.term };
    if (event.name === 'quarantined') {
      logger.error(fields, `This node is in quarantine from now on. ${event.message}`);
      this.endReads(quarantined(event.message));
      this.incoming.refuseAll();
      return;
    }
    if (this.raft.leader !== null) this.events.leaderKnown();
    this.events.note(event);
    if (event.name === 'becameCandidate') this.campaigns += 1;
    if (event.name !== 'removed') return;
    // A leader that removed itself waits for just this.
    this.conditions.check();
    this.endReads(removed());
  }

  /** Nothing that is read here is worth anything any more. */
  private endReads(error: RaftkvError): void {
    this.conditions.rejectAll(() => error);
    for (const listener of this.readEnds) listener(error);
  }

  private send(message: Message): void {
    // It waited for the disk, and meanwhile it showed that this node can vouch for nothing (correctness rule 24).
    if (this.raft.quarantine !== null) return;
    if (this.isTraced) {
      this.parts.logger.trace({ peer: message.to }, `to ${message.to}: ${describeMessage(message)}`);
    }
    if (message.type === 'installSnapshotResponse') this.incoming.answer(message);
    else this.parts.transport.send(message);
  }

  private refusal(): RaftkvError | null {
    return this.isStopping || this.isDead ? shuttingDown() : this.unableToServe();
  }

  private unableToServe(): RaftkvError | null {
    if (this.raft.role !== 'leader') return noLeader();
    if (this.queue.size + this.proposed.size + this.reads.size >= limits.WAITING_MAX) {
      return overloaded(`${limits.WAITING_MAX} requests are waiting on this node.`);
    }
    return null;
  }

  private proposeQueued(): void {
    const waiters = this.queue.due(this.raft.lastIndex > this.raft.commitIndex);
    if (waiters.length === 0) return;
    const { entries, bytes } = this.raft.logSize;
    if (entries >= 2 * this.options.logEntriesMax || bytes >= 2 * this.options.logBytesMax) {
      this.queue.rejectAll(() =>
        overloaded(
          'The log is full and nothing in it can be compacted, because the state is not on disk yet.',
        ),
      );
      return;
    }
    const result = this.raft.propose(waiters.map((waiter) => waiter.payload));
    // While leadership is handed over, proposals wait: the new leader is known in a moment (correctness rule 8).
    if (result === 'transferring') return;
    if (result === 'notLeader') this.queue.rejectAll(noLeader);
    else if (result === 'overloaded') {
      this.queue.rejectAll(() => overloaded('Too many bytes are proposed and not committed yet.'));
    } else {
      this.queue.left();
      this.commitTimes.proposed(result.firstIndex + waiters.length - 1, this.parts.clock.now());
      waiters.forEach((waiter, offset) => {
        this.proposed.add(result.firstIndex + offset, {
          // A command always answers; only configurations and no-ops do not.
          resolve: (value) => waiter.resolve(value as Result),
          reject: waiter.reject,
          deadline: waiter.deadline,
          signal: waiter.signal,
          term: result.term,
        });
      });
    }
  }

  private entryApplied(entry: Entry, result: Result | undefined): void {
    this.digests.note(entry.index, this.parts.stateMachine.comparableDigest);
    const proposal = this.proposed.take(entry.index);
    if (proposal === undefined) return;
    // Another leader's entry may stand where the proposal stood.
    if (proposal.term === entry.term) proposal.resolve(result);
    else proposal.reject(outcomeUnknown());
  }

  /** Notices what changed in the core: the role, the leader, the members. */
  private followRole(): void {
    const { raft } = this;
    const leads = raft.role === 'leader' ? raft.term : null;
    if (this.ledTerm !== null && leads !== this.ledTerm) {
      this.outgoing.abortAll();
      this.commitTimes.forget();
      // What is committed already will be applied as it was proposed; of the rest nobody knows.
      this.rejectProposed((index, { term }) => index > raft.commitIndex || raft.termAt(index) !== term);
      this.queue.rejectAll(noLeader);
    }
    this.ledTerm = leads;
    this.outgoing.review();
    if (this.lastLeader !== raft.leader) {
      this.lastLeader = raft.leader;
      if (raft.leader !== null) {
        this.leaderChanges += 1;
        this.events.leaderKnown();
      }
      for (const listener of this.leaders) listener();
      this.leaderIsDoubtful = false;
      for (const listener of this.routes) listener();
    }
    this.peerList.follow();
  }

  /** A leader with little room need not keep the cluster from writing while another voter has enough. */
  private leaveLeadToRoomier(): void {
    const now = this.parts.clock.now();
    if (this.disk === null || this.disk.space === 'ok' || this.raft.role !== 'leader') return;
    // The others may be about to notice the same: members that share a disk, or whose disks are filled alike.
    const isNew = now - Math.max(this.disk.since, this.handedOverAt) < limits.DISK_HANDOVER_MS;
    const to = this.raft.roomierSuccessor;
    if (to === undefined || this.isStopping || isNew) return;
    this.handedOverAt = now;
    this.guard(() => this.raft.transfer(to));
  }

  /** A flush gives room back, because the log is cut and history is pruned after it; but first it takes some. */
  private hasRoomToFlush(): boolean {
    if (this.disk?.space !== 'full') return true;
    return this.disk.free >= limits.DISK_FLUSH_BYTES + 2 * this.parts.stateMachine.bufferedBytes;
  }

  private async *whileThereIsRoom(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    for await (const chunk of chunks) {
      if (this.disk?.space === 'full') throw noRoomForSnapshot();
      yield chunk;
    }
  }

  private doubtSilentLeader(): void {
    const { role, leader, leaderSilenceTicks } = this.raft;
    if (role === 'follower' && leader !== null && leaderSilenceTicks >= limits.LEADER_DOUBT_TICKS) {
      this.leaderIsDoubtful = true;
    }
  }

  private noteLeaderHeard(): void {
    if (this.raft.leaderSilenceTicks > 0 || this.raft.leader !== this.lastLeader) return;
    this.leaderIsDoubtful = false;
    for (const listener of this.routes) listener();
  }

  private rejectProposed(matches: (index: Index, proposal: Proposal<Result>) => boolean): void {
    this.proposed.rejectWhere(matches, outcomeUnknown);
  }

  /** Whether anybody waits for an answer that has a deadline. */
  private get isAwaited(): boolean {
    return this.queue.size + this.proposed.size + this.reads.size + this.conditions.size > 0;
  }

  private expireWaiters(): void {
    const sweep = this.sweep.begin(this.parts.clock.now());
    this.proposed.expire(sweep, outcomeUnknown);
    this.reads.expire(sweep, readUnavailable);
    this.conditions.expire(sweep);
    this.queue.expire(sweep, () => overloaded('The proposal waited too long for its turn.'));
  }
}

/** What this node itself proposes. */
const anyCommand = (): boolean => true;
