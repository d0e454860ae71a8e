import { systemClock } from '../../src/clock.js';
import { requireClusterVersion } from '../../src/cluster-version.js';
import { RaftkvError } from '../../src/errors.js';
import { Histogram } from '../../src/histogram.js';
import type {
  AddMemberRequest,
  AddMemberResult,
  ClusterVersionStatus,
  LockRequest,
  MemberAddress,
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
} from '../../src/http/port.js';
import { commandCodec } from '../../src/kv/codec.js';
import { type KvStateMachine, openKv } from '../../src/kv/state-machine.js';
import type {
  Command,
  CommandResult,
  Item,
  ListRequest,
  ListResult,
  TxnCommand,
  TxnReadOptions,
  Watcher,
  WatchRequest,
} from '../../src/kv/types.js';
import { LockService } from '../../src/node/lock-service.js';
import { Conditions } from '../../src/node/waiting.js';
import { EntryKind } from '../../src/raft/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';

/** What the fake node answers to every plan. */
export const examplePlan: MembershipPlan = {
  before: { voters: ['n1', 'n2', 'n3'], learners: [], quorum: 2, faultTolerance: 1 },
  after: { voters: ['n1', 'n2', 'n3', 'n4'], learners: [], quorum: 3, faultTolerance: 1 },
  liveVotersAfter: ['n1', 'n2', 'n3'],
  steps: [
    { step: 'addLearner', members: ['n4'], description: 'Gets the log: n4 at h4:7101.' },
    { step: 'promote', members: ['n4'], description: 'n4 becomes a voter by itself.' },
  ],
  warnings: ['4 voters is an even number.'],
};

/**
 * A node of one, in memory: commands go through the bytes of the log to the real state machine at once. What the HTTP layer and
 * the command line are tested against.
 */
export class FakeNode implements NodePort {
  readonly id = 'n1';
  /** What the node says of itself; tests change it. */
  routed: Route = { kind: 'leader' };
  ready: Readiness = { ready: true, reason: '' };
  /** What {@link countKeys} says. */
  keysCounted: number | undefined = 6;
  term = 7;
  /** What the last change of a member was given. */
  memberTimeoutMs = Number.NaN;
  private readonly routeListeners: (() => void)[] = [];
  compactedRevision = 0;
  /** Thrown by every method that can fail, when set. */
  failure: unknown;
  /** The answer to the next write, in place of what it would give. */
  nextResult: CommandResult | undefined;
  /** Delays writes until it resolves. */
  writeGate: Promise<void> | undefined;
  holdsLease = false;
  /** Log time stands still unless tests move it. */
  logTimeMs = 0;
  /** What was asked of the node, in order. */
  readonly calls: string[] = [];
  memberList: MemberStatus[] = [
    {
      id: 'n1',
      peer: '127.0.0.1:7101',
      client: 'http://127.0.0.1:8101',
      role: 'voter',
      leader: true,
      health: 'healthy',
    },
  ];
  /** What it answers to those who ask for the cluster version; tests change it. */
  versions: ClusterVersionStatus = {
    clusterVersion: 1,
    spokenByAll: 2,
    held: false,
    raiseInMs: 60_000,
    members: [{ id: 'n1', oldest: 1, newest: 2, reason: '' }],
  };
  private readonly opened = openKv(new MemoryDisk().directory(), 'state-1');
  private kv: KvStateMachine | undefined;
  private writing: Promise<unknown> = this.opened.then((kv) => {
    this.kv = kv;
  });
  private readonly conditions = new Conditions();
  private lockCount = 0;
  private readonly locks = new LockService({
    clock: systemClock,
    newId: () => `${++this.lockCount}`.padStart(16, '0'),
    write: (command) => this.perform(command),
    confirmRead: async () => {},
    waitForRevision: async () => {},
    list: (request) => this.list(request),
    get: (key) => this.get(key, undefined),
    whenApplied: (holds, timeoutMs) => this.when(holds, timeoutMs).catch(() => {}),
  });

  /** The route changes, and whoever waits for that hears of it. */
  routeTo(route: Route): void {
    this.routed = route;
    for (const listener of this.routeListeners) listener();
  }

  onRouteChange(listener: () => void): void {
    this.routeListeners.push(listener);
  }

  route(): Route {
    return this.routed;
  }

  position() {
    return { cluster: 'c0ffee', revision: this.revision, term: this.term };
  }

  locations() {
    return this.memberList;
  }

  status(): NodeStatus {
    return {
      cluster: 'c0ffee',
      id: this.id,
      incarnation: 'i1',
      role: this.routed.kind === 'leader' ? 'leader' : 'follower',
      term: this.term,
      leader: this.routed.kind === 'noLeader' ? null : 'n1',
      leaderUrl: null,
      commitIndex: 5,
      appliedIndex: 5,
      flushedIndex: 4,
      revision: this.revision,
      firstIndex: 1,
      lastIndex: 5,
      digest: '00000000',
      digestDiffersFrom: [],
      version: '0.1.0',
      clusterVersion: 2,
      uptimeSeconds: 1,
      reason: 'It was started for a test.',
      warnings: [],
      counters: { logWrites: 2, logBatches: 3, stalls: 1, longestStallMs: 60, messagesRefused: 0 },
    };
  }

  measures(): NodeMeasures {
    const times = new Histogram();
    times.observe(0.002);
    return {
      logWriteTimes: times,
      commitTimes: times,
      campaigns: 1,
      leaderChanges: 2,
      pendingProposals: 3,
      waits: 6,
      logBytes: 4,
      followers: [{ id: 'n2', lagEntries: 5 }],
    };
  }

  countKeys(): number | undefined {
    return this.keysCounted;
  }

  readiness(): Readiness {
    return this.ready;
  }

  async write(command: Command, timeoutMs: number): Promise<CommandResult> {
    this.calls.push(`write ${command.kind} ${timeoutMs}`);
    if (this.writeGate !== undefined) await this.writeGate;
    this.throwFailure();
    const { nextResult } = this;
    this.nextResult = undefined;
    return nextResult ?? this.perform(command);
  }

  readsByLease(): boolean {
    this.calls.push('readsByLease');
    return this.holdsLease;
  }

  async confirmRead(timeoutMs: number): Promise<void> {
    this.calls.push(`confirmRead ${timeoutMs}`);
    this.throwFailure();
    await this.writing;
  }

  async waitForRevision(revision: number, timeoutMs: number): Promise<void> {
    this.calls.push(`waitForRevision ${revision}`);
    this.throwFailure();
    await this.when(() => this.revision >= revision, timeoutMs);
  }

  get(key: Uint8Array, revision: number | undefined): Item | undefined {
    this.throwFailure();
    this.checkRevision(revision);
    return this.kv?.get(key, revision);
  }

  async list(request: ListRequest): Promise<ListResult> {
    this.calls.push(`list ${request.limit}`);
    this.throwFailure();
    this.checkRevision(request.revision);
    return (await this.opened).list(request);
  }

  async readTxn(command: TxnCommand, options: TxnReadOptions): Promise<CommandResult> {
    this.calls.push('readTxn');
    this.throwFailure();
    return (await this.opened).readTxn(command, options);
  }

  watch(request: WatchRequest): Watcher {
    this.throwFailure();
    if (this.kv === undefined) throw new Error('Call `opened` first.');
    return this.kv.watch(request);
  }

  /** Resolves when watches can begin. */
  async opens(): Promise<void> {
    await this.opened;
  }

  lease(id: number) {
    return this.kv?.lease(id);
  }

  leases(after: number, limit: number) {
    return this.kv?.leases(after, limit) ?? [];
  }

  async leaseKeys(id: number, limit: number) {
    return (await this.opened).leaseKeys(id, limit);
  }

  acquireLock(request: LockRequest, timeoutMs: number) {
    this.throwFailure();
    return this.locks.acquire(request, timeoutMs);
  }

  releaseLock(request: UnlockRequest, timeoutMs: number) {
    this.throwFailure();
    return this.locks.release(request, timeoutMs);
  }

  lockState(name: Uint8Array) {
    this.throwFailure();
    return this.locks.state(name);
  }

  async clusterVersionStatus(): Promise<ClusterVersionStatus> {
    this.throwFailure();
    return this.versions;
  }

  async raiseClusterVersion(version: number, timeoutMs: number): Promise<number> {
    this.calls.push(`raiseClusterVersion ${version} ${timeoutMs}`);
    this.throwFailure();
    requireClusterVersion(this.versions.spokenByAll, version, 'The test');
    return version;
  }

  async holdClusterVersion(hold: boolean, timeoutMs: number): Promise<void> {
    this.calls.push(`holdClusterVersion ${hold} ${timeoutMs}`);
    this.throwFailure();
  }

  async members(): Promise<readonly MemberStatus[]> {
    this.throwFailure();
    return this.memberList;
  }

  async addMember(request: AddMemberRequest, timeoutMs: number): Promise<AddMemberResult> {
    this.calls.push(`addMember ${JSON.stringify(request)} ${timeoutMs}`);
    this.throwFailure();
    const existing = this.memberList.find((member) => member.id === request.id);
    if (existing !== undefined) return { cluster: 'c0ffee', member: existing, added: false };
    const member: MemberStatus = {
      id: request.id,
      peer: request.peer,
      client: request.client,
      role: 'learner',
      leader: false,
      health: 'never started',
    };
    this.memberList.push(member);
    return { cluster: 'c0ffee', member, added: true };
  }

  async removeMember(id: string, force: boolean, timeoutMs: number): Promise<void> {
    this.memberTimeoutMs = timeoutMs;
    this.calls.push(`removeMember ${id} ${force}`);
    this.throwFailure();
    this.knownMember(id);
    this.memberList = this.memberList.filter((member) => member.id !== id);
  }

  async promoteMember(id: string, timeoutMs: number): Promise<void> {
    this.memberTimeoutMs = timeoutMs;
    this.calls.push(`promoteMember ${id}`);
    this.throwFailure();
    this.knownMember(id);
  }

  async setMembers(members: readonly MemberAddress[], force: boolean): Promise<SetMembersResult> {
    const named = members.map(({ id, peer }) => `${id}=${peer}`).join(',');
    this.calls.push(`setMembers ${named} ${force}`);
    this.throwFailure();
    const voters = members.map((member) => member.id);
    const before = this.memberList.map((member) => member.id);
    return {
      voters,
      added: voters.filter((id) => !before.includes(id)),
      removed: before.filter((id) => !voters.includes(id)),
    };
  }

  async planMembers(change: MembershipChange): Promise<MembershipPlan> {
    this.calls.push(`planMembers ${JSON.stringify(change)}`);
    this.throwFailure();
    return examplePlan;
  }

  async transferLeadership(to: string | undefined): Promise<string> {
    this.calls.push(`transferLeadership ${to ?? '-'}`);
    this.throwFailure();
    return to ?? 'n2';
  }

  private knownMember(id: string): void {
    if (this.memberList.some((member) => member.id === id)) return;
    throw new RaftkvError('member_not_found', `There is no member ${id}.`);
  }

  private throwFailure(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  private get revision(): number {
    return this.kv?.revision ?? 0;
  }

  /** One after the other, as a log has them. */
  private perform(command: Command): Promise<CommandResult> {
    const payload = commandCodec.stamp(commandCodec.encode(command), this.logTimeMs);
    const done = this.writing.then(async () => {
      const kv = await this.opened;
      const entry = { index: kv.appliedIndex + 1, term: this.term, kind: EntryKind.command, payload };
      await kv.prepare(entry);
      const result = kv.apply(entry);
      this.conditions.check();
      if (result === undefined) throw new Error('A command has a result.');
      return commandCodec.decodeResult(commandCodec.encodeResult(result));
    });
    this.writing = done.catch(() => {});
    return done;
  }

  private async when(holds: () => boolean, timeoutMs: number): Promise<void> {
    await this.writing;
    if (holds()) return;
    const late = () => new RaftkvError('unavailable', 'This node has not come so far.');
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(late()), timeoutMs);
      const done = () => {
        clearTimeout(timer);
        resolve();
      };
      this.conditions.add(holds, late, { resolve: done, reject, deadline: Number.POSITIVE_INFINITY });
    });
  }

  private checkRevision(revision: number | undefined): void {
    if (revision === undefined) return;
    if (revision < this.compactedRevision) throw new RaftkvError('compacted', 'That revision is gone.');
  }
}
