import type { Clock } from '../clock.js';
import type { ClusterVersion } from '../cluster-version.js';
import { RaftkvError } from '../errors.js';
import type {
  AddMemberRequest,
  AddMemberResult,
  ClusterVersionStatus,
  LockRequest,
  LockResult,
  LockState,
  MemberAddress,
  MemberLocation,
  MemberStatus,
  MembershipChange,
  MembershipPlan,
  NodeMeasures,
  NodePort,
  NodeStatus,
  Readiness,
  Route,
  SetMembersResult,
  UnlockRequest,
  UnlockResult,
} from '../http/port.js';
import {
  type Command,
  type CommandKind,
  type CommandResult,
  HOLD_KEY,
  type IndexedSums,
  type Item,
  type LeaseId,
  type LeaseInfo,
  type ListRequest,
  type ListResult,
  type LogTime,
  type Revision,
  type TxnCommand,
  type TxnOperation,
  type TxnReadOptions,
  type WalkBounds,
  type Watcher,
  type WatchRequest,
} from '../kv/types.js';
import { memberOf } from '../raft/configuration.js';
import type { NodeId } from '../raft/types.js';
import type { ForwardOperation, ForwardRequest, Identity, Transport } from '../transport/contract.js';
import { CatchUp } from './catch-up.js';
import type { NodeLogger } from './contracts.js';
import { DigestComparison } from './digest-comparison.js';
import {
  type Answered,
  type Asked,
  type Forwarded,
  type ForwardedWork,
  isForwardedCommand,
  patienceOf,
  readAnswer,
  serveForwarded,
  toJson,
  unreadable,
} from './forwarded.js';
import { LeaderReads } from './leader-reads.js';
import { LeaseKeeper, type LeaseTable } from './lease-keeper.js';
import { FORWARDED_WALK_MARGIN_MS, WALK_SETTLE_MS } from './limits.js';
import { LockService } from './lock-service.js';
import { LogClock } from './log-clock.js';
import { MembershipService } from './membership-service.js';
import type { RaftNode } from './raft-node.js';
import { VersionService } from './version-service.js';
import { noLeader, outcomeUnknown, quarantined, readUnavailable } from './waiting.js';
import { type WalkingCommand, WalkingWrites } from './walking-writes.js';

/** The store as clients read it; `kv/` implements it. */
export interface StoreReader extends LeaseTable {
  readonly appliedIndex: number;
  readonly flushedIndex: number;
  readonly revision: Revision;
  /** What every member speaks, as far as the log is applied: see src/cluster-version.ts. */
  readonly clusterVersion: ClusterVersion;
  readonly digest: string;
  get(key: Uint8Array, revision?: Revision): Item | undefined;
  list(request: ListRequest): Promise<ListResult>;
  readTxn(command: TxnCommand, options: TxnReadOptions): Promise<CommandResult>;
  measureWalks(
    command: WalkingCommand,
    bounds: WalkBounds,
    signal?: AbortSignal,
  ): Promise<number | undefined>;
  watch(request: WatchRequest): Watcher;
  /** Whoever watches gets this error and no more events. */
  endWatches(error: Error): void;
  lease(id: LeaseId): LeaseInfo | undefined;
  leases(after: LeaseId, limit: number): readonly LeaseInfo[];
  leaseKeys(id: LeaseId, limit: number): Promise<readonly Uint8Array[]>;
  /** How many keys exist; undefined where they are still to be counted. */
  countKeys(): number | undefined;
  /** The sums of the records of all keys after some entries, the newest first. */
  liveSums(): readonly IndexedSums[];
  /** Where the records of this state differ from those of another member, a sentence; '' where it is not known. */
  compareLiveSums(theirs: readonly IndexedSums[]): string;
}

/** The bytes of commands and of what they gave; `kv/` implements it. */
export interface CommandCodec {
  encode(command: Command): Uint8Array;
  /** What the leader adds to an encoded command when it proposes it. */
  stamp(payload: Uint8Array, logTime: LogTime): Uint8Array;
  /** The cluster version from which on the command may be proposed. */
  neededVersion(command: Command): ClusterVersion;
  /** Whether applying an encoded command may take lasting room on disk. Throws where the bytes are no command. */
  needsRoom(payload: Uint8Array): boolean;
  /** The command where it walks prefixes; others are not decoded. */
  walkingCommand(payload: Uint8Array): WalkingCommand | undefined;
  encodeResult(result: CommandResult): Uint8Array;
  decodeResult(bytes: Uint8Array): CommandResult;
}

export interface ClientServiceParts {
  readonly node: RaftNode<CommandResult>;
  readonly store: StoreReader;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly identity: () => Identity;
  readonly codec: CommandCodec;
  readonly version: string;
  readonly logger: NodeLogger;
  /** How long all members must have spoken a newer cluster version before it is raised. */
  readonly upgradeDelayMs: number;
  /** Whether peers must prove that they know the cluster secret. */
  readonly requiresProof: boolean;
  /** What an operator should mend, in sentences. */
  readonly warnings: () => readonly string[];
  /** Whether this process founded the cluster. */
  readonly founded: boolean;
  /** An id that nobody else has: 16 hexadecimal digits. */
  readonly newId: () => string;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/**
 * What clients can ask of any node, whether it leads or not: `http/port.ts` states the contract. What needs the leader is
 * done here when this node leads, and otherwise sent to the leader over the peers' own connection, never through a URL
 * that may only be reachable from outside.
 */
export class ClientService implements NodePort {
  readonly id: NodeId;
  private readonly membership: MembershipService;
  private readonly startedAt: number;
  private readonly leaderReads: LeaderReads;
  private readonly logClock: LogClock;
  private readonly leaseKeeper: LeaseKeeper;
  private readonly locks: LockService;
  private readonly walkingWrites: WalkingWrites;
  private readonly versions: VersionService;
  private readonly digests: DigestComparison;
  private readonly catchUp = new CatchUp();

  constructor(private readonly parts: ClientServiceParts) {
    const { id, clientUrl } = parts.identity();
    this.id = id;
    this.startedAt = parts.clock.now();
    const { node, clock, store } = parts;
    this.leaderReads = new LeaderReads(
      clock,
      (timeoutMs) => this.askForIndex(timeoutMs),
      () => !node.stopping && node.whyUnreadable() === null,
    );
    this.logClock = new LogClock(
      clock,
      () => store.logTimeMs,
      () => (node.raft.role === 'leader' ? node.raft.term : null),
    );
    this.leaseKeeper = new LeaseKeeper({
      clock,
      leases: store,
      isLeader: () => node.raft.role === 'leader',
      logTime: () => this.logClock.now(),
      propose: (command, timeoutMs) => this.propose(parts.codec.encode(command), timeoutMs),
    });
    this.walkingWrites = new WalkingWrites({
      clock,
      measure: (command, bounds, signal) => store.measureWalks(command, bounds, signal),
      revision: () => store.revision,
      whenApplied: () => this.whenSettled(),
    });
    this.locks = new LockService({
      clock,
      newId: parts.newId,
      write: (command, timeoutMs, signal) => this.write(command, timeoutMs, signal),
      confirmRead: (timeoutMs, signal) => this.confirmRead(timeoutMs, signal),
      waitForRevision: (revision, timeoutMs, signal) => this.waitForRevision(revision, timeoutMs, signal),
      list: (request) => this.readable.list(request),
      get: (key) => this.readable.get(key),
      whenApplied: async (holds, timeoutMs, signal) => {
        const late = readUnavailable();
        await node
          .when(holds, timeoutMs, () => late, signal)
          .catch((error: unknown) => {
            if (error !== late) throw error;
          });
      },
    });
    this.digests = new DigestComparison({
      clock,
      logger: parts.logger,
      id,
      digests: node.digests,
      configuration: () => node.raft.configuration,
      ask: async (to, indexes, timeoutMs) => {
        const request = { operation: 'digests', payload: toJson({ indexes }) } as const;
        return readAnswer('digests', await parts.transport.forward(to, request, timeoutMs)).digests;
      },
      compareRecords: async (to, timeoutMs) => {
        const request = { operation: 'digests', payload: toJson({ indexes: [], sums: true }) } as const;
        const answer = readAnswer('digests', await parts.transport.forward(to, request, timeoutMs));
        return store.compareLiveSums(answer.sums ?? []);
      },
      quarantine: (reason) => node.change((raft) => raft.enterQuarantine(reason)),
      random: parts.random,
    });
    node.onLeaderChange(() => {
      this.leaderReads.leaderChanged();
      // From now on its time counts.
      this.logClock.now();
    });
    node.onReadsEnd((error) => store.endWatches(error));
    parts.node.finishesFirst(() => parts.node.raft.role === 'leader' && this.leaderReads.size > 0);
    const greet = async (address: string, timeoutMs: number) => {
      const hello = { identity: parts.identity(), initialCluster: '' };
      return (await parts.transport.handshake(address, hello, timeoutMs)).identity;
    };
    const connections = () => parts.transport.connections();
    this.versions = new VersionService({
      node,
      clock,
      logger: parts.logger,
      identity: parts.identity,
      connections,
      clusterVersion: () => store.clusterVersion,
      appliedIndex: () => store.appliedIndex,
      isHeld: () => store.get(holdKey) !== undefined,
      delayMs: parts.upgradeDelayMs,
      founded: parts.founded,
      propose: (command, timeoutMs) => this.propose(parts.codec.encode(command), timeoutMs),
      write: (...parameters) => this.write(...parameters),
      forward: (operation, payload, timeoutMs, signal) =>
        this.ask(operation, payload as Asked<typeof operation>, timeoutMs, signal),
    });
    const neededVersion = () => this.versions.neededVersion;
    const self = { id, clientUrl };
    this.membership = new MembershipService(
      node,
      clock,
      self,
      connections,
      greet,
      neededVersion,
      parts.requiresProof,
    );
  }

  route(): Route {
    const { raft } = this.parts.node;
    if (raft.role === 'leader') return { kind: 'leader' };
    if (raft.leader === null || this.parts.node.doubtsLeader) return { kind: 'noLeader' };
    return { kind: 'follower', leader: raft.leader, url: this.clientUrlOf(raft.leader) };
  }

  onRouteChange(listener: () => void): void {
    this.parts.node.onRouteChange(listener);
  }

  position() {
    const { cluster } = this.parts.identity();
    return { cluster, revision: this.parts.store.revision, term: this.parts.node.raft.term };
  }

  locations(): readonly MemberLocation[] {
    const { peerAddress, clientUrl } = this.parts.identity();
    const { members } = this.parts.node.raft.configuration;
    return [
      { peer: peerAddress, client: clientUrl },
      ...members.map((member) => ({ peer: member.peerAddress, client: this.clientUrlOf(member.id) })),
    ];
  }

  status(): NodeStatus {
    const { node, store } = this.parts;
    const raft = node.status();
    const { cluster, incarnation } = this.parts.identity();
    return {
      cluster,
      id: this.id,
      incarnation,
      role: this.role(),
      term: raft.term,
      leader: raft.leader,
      leaderUrl: raft.leader === null ? null : this.clientUrlOf(raft.leader),
      commitIndex: raft.commitIndex,
      appliedIndex: store.appliedIndex,
      flushedIndex: store.flushedIndex,
      revision: store.revision,
      firstIndex: raft.firstIndex,
      lastIndex: raft.lastIndex,
      digest: store.digest,
      digestDiffersFrom: this.digests.differing,
      version: this.parts.version,
      clusterVersion: store.clusterVersion,
      uptimeSeconds: Math.floor((this.parts.clock.now() - this.startedAt) / 1000),
      reason: raft.reason,
      warnings: this.parts.warnings(),
      counters: node.counters(),
    };
  }

  measures(): NodeMeasures {
    return this.parts.node.measures();
  }

  countKeys(): number | undefined {
    return this.parts.store.countKeys();
  }

  readiness(): Readiness {
    const { node, store } = this.parts;
    const { raft } = node;
    if (node.stopping) return { ready: false, reason: 'shutting down' };
    if (node.quarantine !== null) return { ready: false, reason: `in quarantine: ${node.quarantine}` };
    if (this.role() === 'removed') return { ready: false, reason: 'this node was removed from the cluster' };
    if (raft.leader === null) return { ready: false, reason: 'no leader known' };
    const reason = this.catchUp.reason(
      store.appliedIndex,
      Math.max(raft.catchUpIndex, raft.commitIndex),
      this.parts.clock.now(),
    );
    return { ready: reason === '', reason };
  }

  /** Looks after leases and the cluster version while this node leads. */
  start(): void {
    this.leaseKeeper.start();
    this.digests.start();
    this.versions.keeper.start();
  }

  stop(): void {
    this.leaseKeeper.stop();
    this.digests.stop();
    this.versions.keeper.stop();
  }

  // Most writes are proposed here, and each async function between would cost them a promise more.
  write(command: Command, timeoutMs: number, signal?: AbortSignal): Promise<CommandResult> {
    if (command.kind === 'deletePrefix' || (command.kind === 'txn' && walksPrefix(command))) {
      return this.writeWalking(command, timeoutMs, signal);
    }
    const isBounded =
      command.kind === 'txn' && comparesValues(command) && this.parts.store.clusterVersion >= 2;
    return this.writeAsItIs(isBounded ? { ...command, isBounded } : command, timeoutMs, signal);
  }

  /**
   * A transaction that passes over too many keys is refused not only before it is proposed but, from cluster version 2 on, also by
   * every member alike when it is applied, as a deletion by prefix always is by the number of keys that it deletes.
   */
  private writeWalking(
    command: WalkingCommand,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<CommandResult> {
    const { node, store } = this.parts;
    const isRaised = store.clusterVersion >= 2;
    const bounded: WalkingCommand =
      command.kind === 'txn' && isRaised ? { ...command, isBounded: true } : command;
    const propose = (leftMs: number) => this.writeAsItIs(bounded, leftMs, signal);
    if (node.raft.role === 'leader') return this.walkingWrites.write(bounded, timeoutMs, signal, propose);
    if (isRaised) return propose(timeoutMs);
    return this.walkingWrites.writeElsewhere(bounded, timeoutMs, signal, propose);
  }

  private writeAsItIs(command: Command, timeoutMs: number, signal?: AbortSignal): Promise<CommandResult> {
    const { node, codec } = this.parts;
    if (node.raft.role !== 'leader') return this.writeThroughLeader(command, timeoutMs, signal);
    return this.propose(codec.encode(command), timeoutMs, signal);
  }

  private async writeThroughLeader(
    command: Command,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<CommandResult> {
    const { codec } = this.parts;
    const payload = codec.encode(command);
    this.versions.requireOfLeader(codec.neededVersion(command), `This ${command.kind}`);
    const answer = await this.forward('propose', payload, timeoutMs, signal);
    try {
      return codec.decodeResult(answer);
    } catch (error) {
      throw unreadable(true, (error as Error).message);
    }
  }

  confirmRead(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const { node, store, clock } = this.parts;
    // It gets the log no more, so it would wait in vain for what the leader names.
    const unreadable = node.whyUnreadable();
    if (unreadable !== null) return Promise.reject(unreadable);
    const deadline = clock.now() + timeoutMs;
    return this.leaderReads.index(timeoutMs, signal).then((index) => {
      if (store.appliedIndex >= index) return undefined;
      return node.whenApplied(index, deadline - clock.now(), signal);
    });
  }

  readsByLease(): boolean {
    const { node, store, clock } = this.parts;
    return store.appliedIndex >= node.raft.commitIndex && node.raft.holdsLease(clock.now());
  }

  waitForRevision(revision: Revision, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const { node, store } = this.parts;
    return node.when(
      () => store.revision >= revision,
      timeoutMs,
      () =>
        new RaftkvError(
          'unavailable',
          `This node has reached revision ${store.revision} and not ${revision} in time. Ask the leader, or try again.`,
          { revision: store.revision },
        ),
      signal,
    );
  }

  get(key: Uint8Array, revision: Revision | undefined): Item | undefined {
    return this.readable.get(key, revision);
  }

  async list(request: ListRequest): Promise<ListResult> {
    return this.readable.list(request);
  }

  async readTxn(command: TxnCommand, options: TxnReadOptions = {}): Promise<CommandResult> {
    return this.readable.readTxn(command, options);
  }

  watch(request: WatchRequest): Watcher {
    this.requireReadable();
    return this.parts.store.watch(request);
  }

  lease(id: LeaseId): LeaseInfo | undefined {
    const info = this.readable.lease(id);
    return info && this.atThisMoment(info);
  }

  leases(after: LeaseId, limit: number): readonly LeaseInfo[] {
    return this.readable.leases(after, limit).map((info) => this.atThisMoment(info));
  }

  async leaseKeys(id: LeaseId, limit: number): Promise<readonly Uint8Array[]> {
    return this.readable.leaseKeys(id, limit);
  }

  acquireLock(request: LockRequest, timeoutMs: number): Promise<LockResult> {
    return this.locks.acquire(request, timeoutMs);
  }

  releaseLock(request: UnlockRequest, timeoutMs: number, signal?: AbortSignal): Promise<UnlockResult> {
    return this.locks.release(request, timeoutMs, signal);
  }

  async lockState(name: Uint8Array): Promise<LockState> {
    return this.locks.state(name);
  }

  clusterVersionStatus(timeoutMs: number, signal?: AbortSignal): Promise<ClusterVersionStatus> {
    return this.versions.status(timeoutMs, signal);
  }

  raiseClusterVersion(
    version: ClusterVersion,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<ClusterVersion> {
    return this.versions.raise(version, timeoutMs, signal);
  }

  holdClusterVersion(hold: boolean, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    return this.versions.hold(hold, timeoutMs, signal);
  }

  async members(timeoutMs: number, signal?: AbortSignal): Promise<readonly MemberStatus[]> {
    const { raft } = this.parts.node;
    if (raft.role === 'leader' || raft.leader === null) return this.membership.view();
    try {
      return await this.ask('members', undefined, timeoutMs, signal);
    } catch {
      // The leader may have just gone. What this node knows by itself is still an answer: it says health "unknown".
      return this.membership.view();
    }
  }

  async addMember(
    request: AddMemberRequest,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<AddMemberResult> {
    if (this.parts.node.raft.role !== 'leader') {
      return this.ask('addMember', request, timeoutMs, signal);
    }
    const added = await this.membership.add(request, timeoutMs, signal);
    const member = this.membership.view().find((candidate) => candidate.id === request.id);
    if (!member) throw new RaftkvError('member_not_found', `${request.id} was removed again meanwhile.`);
    return { cluster: this.parts.identity().cluster, member, added };
  }

  async removeMember(id: NodeId, force: boolean, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    if (this.parts.node.raft.role === 'leader') await this.membership.remove(id, force, timeoutMs, signal);
    else await this.ask('removeMember', { id, force }, timeoutMs, signal);
  }

  async promoteMember(id: NodeId, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    if (this.parts.node.raft.role === 'leader') await this.membership.promote(id, timeoutMs, signal);
    else await this.ask('promoteMember', { id }, timeoutMs, signal);
  }

  async setMembers(
    members: readonly MemberAddress[],
    force: boolean,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<SetMembersResult> {
    if (this.parts.node.raft.role === 'leader') return this.membership.set(members, force, timeoutMs, signal);
    return this.ask('setMembers', { members, force }, timeoutMs, signal);
  }

  async planMembers(
    change: MembershipChange,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<MembershipPlan> {
    if (this.parts.node.raft.role === 'leader') return this.membership.plan(change, timeoutMs);
    return this.ask('planMembers', change, timeoutMs, signal);
  }

  async transferLeadership(to: NodeId | undefined, timeoutMs: number, signal?: AbortSignal): Promise<NodeId> {
    if (this.parts.node.raft.role === 'leader') return this.membership.transfer(to, timeoutMs, signal);
    const asked = to === undefined ? {} : { to };
    return (await this.ask('transferLeadership', asked, timeoutMs, signal)).leader;
  }

  /**
   * Does for another node's client what needs the leader. Never passed on a second time.
   *
   * @param signal Aborted when the other node does not wait for the answer any more.
   */
  async onForward(request: ForwardRequest, timeoutMs: number, signal?: AbortSignal): Promise<Uint8Array> {
    const { operation, payload } = request;
    const needsLeader = operation !== 'digests' && operation !== 'sendState';
    if (needsLeader && this.parts.node.raft.role !== 'leader') throw noLeader();
    const patienceMs = patienceOf(timeoutMs);
    if (operation !== 'propose') return serveForwarded(this.work, operation, payload, patienceMs, signal);
    const propose = (leftMs: number) => this.propose(payload, leftMs, signal, isForwardedCommand);
    const walking = this.parts.codec.walkingCommand(payload);
    const marginMs = Math.min(patienceMs / 4, FORWARDED_WALK_MARGIN_MS);
    const result = await (walking === undefined
      ? propose(patienceMs)
      : this.walkingWrites.write(walking, patienceMs - marginMs, signal, propose));
    return this.parts.codec.encodeResult(result);
  }

  /** What this node does for others while it leads. */
  private readonly work: ForwardedWork = {
    readIndex: async (_, timeoutMs) => ({ index: await this.parts.node.readIndex(timeoutMs) }),
    members: () => this.membership.view(),
    addMember: (request, timeoutMs, signal) => this.addMember(request, timeoutMs, signal),
    removeMember: async ({ id, force }, timeoutMs, signal) => {
      await this.membership.remove(id, force, timeoutMs, signal);
      return undefined;
    },
    promoteMember: async ({ id }, timeoutMs, signal) => {
      await this.membership.promote(id, timeoutMs, signal);
      return undefined;
    },
    setMembers: ({ members, force }, timeoutMs, signal) =>
      this.membership.set(members, force, timeoutMs, signal),
    planMembers: (change, timeoutMs) => this.membership.plan(change, timeoutMs),
    transferLeadership: async ({ to }, timeoutMs, signal) => ({
      leader: await this.membership.transfer(to, timeoutMs, signal),
    }),
    clusterVersionStatus: () => this.versions.keeper.status(),
    digests: ({ indexes, sums }) => ({
      digests: indexes.map((index) => this.parts.node.digests.at(index)),
      ...(sums === true ? { sums: this.parts.store.liveSums() } : {}),
    }),
    sendState: async (request, timeoutMs) => {
      const { node } = this.parts;
      const { role, leader, configuration } = node.raft;
      if (role === 'leader') return { commitIndex: await node.sendState(request, timeoutMs), leader: null };
      const member = leader === null ? undefined : memberOf(configuration, leader);
      if (member === undefined) throw noLeader();
      const { id, incarnation, peerAddress } = member;
      return { commitIndex: null, leader: { id, incarnation, peer: peerAddress } };
    },
    raiseClusterVersion: async ({ version }, timeoutMs) => ({
      clusterVersion: await this.versions.keeper.raise(version, timeoutMs),
    }),
  };

  /** The store, for reads that need not be new: any node answers them, unless what it holds may be wrong. */
  private get readable(): StoreReader {
    const { quarantine } = this.parts.node;
    if (quarantine !== null) throw quarantined(quarantine);
    return this.parts.store;
  }

  /** Throws where nothing new can be read any more. */
  private requireReadable(): void {
    const error = this.parts.node.whyUnreadable();
    if (error !== null) throw error;
  }

  /** Of the leader: its clock stamps what goes into the log. */
  private propose(
    payload: Uint8Array,
    timeoutMs: number,
    signal?: AbortSignal,
    takes?: (kind: CommandKind) => boolean,
  ): Promise<CommandResult> {
    const { node, codec } = this.parts;
    const { raisingTo } = this.versions.keeper;
    try {
      if (node.raft.role === 'leader' && node.raft.lacksRoom && codec.needsRoom(payload)) {
        return Promise.reject(noSpace());
      }
    } catch {
      // Whatever is wrong with it, it is refused below.
    }
    return node.propose(codec.stamp(payload, this.logClock.now()), timeoutMs, signal, raisingTo, takes);
  }

  /** Resolves once what this leader has in its log is applied, or somebody else leads, within bounds. */
  private async whenSettled(): Promise<void> {
    const { node, store } = this.parts;
    const { term, lastIndex } = node.raft;
    const isSettled = () =>
      store.appliedIndex >= lastIndex || node.raft.role !== 'leader' || node.raft.term !== term;
    await node.when(isSettled, WALK_SETTLE_MS, outcomeUnknown).catch(() => {});
  }

  /** The state knows the time of the last command; a leader knows how much has passed since. */
  private atThisMoment(info: LeaseInfo): LeaseInfo {
    const { node, store } = this.parts;
    if (node.raft.role !== 'leader') return info;
    return { ...info, remainingMs: Math.max(0, info.remainingMs - (this.logClock.now() - store.logTimeMs)) };
  }

  /** Asks the leader in JSON, and checks the answer. */
  private async ask<Name extends Forwarded>(
    name: Name,
    asked: Asked<Name>,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<Answered<Name>> {
    return readAnswer(name, await this.forward(name, toJson(asked), timeoutMs, signal));
  }

  private forward(
    operation: ForwardOperation,
    payload: Uint8Array,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const { quarantine, raft } = this.parts.node;
    const { leader } = raft;
    if (quarantine !== null) return Promise.reject(quarantined(quarantine));
    if (leader === null) return Promise.reject(noLeader());
    return this.parts.transport.forward(leader, { operation, payload }, timeoutMs, signal);
  }

  /** On a node that does not lead; it may have begun to since the read came. */
  private async askForIndex(timeoutMs: number): Promise<number> {
    const { node } = this.parts;
    if (node.raft.role === 'leader') return node.readIndex(timeoutMs);
    return (await this.ask('readIndex', undefined, timeoutMs)).index;
  }

  private role(): 'leader' | 'follower' | 'candidate' | 'learner' | 'removed' {
    const raft = this.parts.node.status();
    if (raft.role === 'leader') return 'leader';
    if (raft.isRemoved) return 'removed';
    // A node that joins does not find itself in the log until it has caught up with its own addition.
    if (raft.isLearner || !raft.isMember) return 'learner';
    return raft.role === 'follower' ? 'follower' : 'candidate';
  }

  private clientUrlOf(id: NodeId): string {
    const { clientUrl } = this.parts.identity();
    if (id === this.id) return clientUrl;
    const connection = this.parts.transport.connections().find((candidate) => candidate.id === id);
    if (connection?.clientUrl) return connection.clientUrl;
    const member = this.parts.node.raft.configuration.members.find((candidate) => candidate.id === id);
    return member?.clientUrl ?? '';
  }
}

const holdKey = Buffer.from(HOLD_KEY);

function walksPrefix({ success, failure }: TxnCommand): boolean {
  const walks = (operation: TxnOperation) => 'prefix' in operation;
  return success.some(walks) || failure.some(walks);
}

/** Whether the comparisons look at more than one value: one alone may be as large as it is. */
function comparesValues({ compare }: TxnCommand): boolean {
  return compare.filter(({ target }) => target === 'value').length > 1;
}

function noSpace(): RaftkvError {
  return new RaftkvError(
    'no_space',
    'Too little room is left on the disks of a majority, so nothing that needs room is taken; nothing was changed. Delete keys and ' +
      'compact the history (POST /v1/compact, or raftkv compact), or make room on the disks; changes are taken again as soon as ' +
      'there is room.',
  );
}
