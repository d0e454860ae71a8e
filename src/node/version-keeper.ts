import type { Clock, Timer } from '../clock.js';
import type { ClusterVersion, VersionRange } from '../cluster-version.js';
import { RaftkvError } from '../errors.js';
import type { ClusterVersionStatus, MemberVersions } from '../http/port.js';
import type { CommandResult, RaiseVersionCommand } from '../kv/types.js';
import type { Raft } from '../raft/raft.js';
import type { Index, Member, NodeId, Term } from '../raft/types.js';
import type { Identity, PeerConnection } from '../transport/contract.js';
import type { NodeLogger } from './contracts.js';
import { NEW_CLUSTER_REVIEW_MS, RAISE_TIMEOUT_MS, VERSION_REVIEW_MS } from './limits.js';

export interface VersionKeeperParts {
  readonly node: {
    readonly raft: Pick<Raft, 'role' | 'term' | 'configuration' | 'lastIndex'>;
    onLeaderChange(listener: () => void): void;
  };
  readonly clock: Clock;
  readonly logger: NodeLogger;
  readonly identity: () => Identity;
  readonly connections: () => readonly PeerConnection[];
  /** As far as the log is applied here. */
  readonly clusterVersion: () => ClusterVersion;
  readonly appliedIndex: () => Index;
  /** Whether an operator stopped the automatic raise. */
  readonly isHeld: () => boolean;
  /** How long all members must have spoken a newer version before the leader raises it. */
  readonly delayMs: number;
  /** Whether this process founded the cluster, so that no older program has a data directory to go back to. */
  readonly founded: boolean;
  readonly propose: (command: RaiseVersionCommand, timeoutMs: number) => Promise<CommandResult>;
}

/** A raise that this leader proposed and that may still take effect. */
interface Raise {
  readonly version: ClusterVersion;
  readonly term: Term;
  /** Where the log ended when its proposer stopped waiting: what is applied by then can do nothing any more. */
  logEnd: Index;
}

/** Since when the leader of this term has seen that all members speak this version. */
interface Agreement {
  readonly version: ClusterVersion;
  readonly term: Term;
  readonly since: number;
}

/**
 * Raises the cluster version (src/cluster-version.ts) once every member, voters and learners alike, speaks a newer one. What a
 * member speaks is what its present incarnation says over the connections that are open now; a member that is silent counts
 * as old, because nobody knows which program it will be started with.
 *
 * The leader waits for a delay, in which the operator can look how the new program does and take it back; a new cluster has
 * nothing to go back to and does not wait. From the check until the raise is applied no member may be added that was not
 * checked as well: see {@link raisingTo}.
 */
export class VersionKeeper {
  private timer: Timer | null = null;
  private agreement: Agreement | null = null;
  private readonly raises = new Set<Raise>();
  private metOlder = false;
  private reportedVersion: ClusterVersion;

  constructor(private readonly parts: VersionKeeperParts) {
    this.reportedVersion = parts.clusterVersion();
  }

  /** Looks from now on, until there is nothing left to raise. */
  start(): void {
    this.schedule(0);
    this.parts.node.onLeaderChange(() => {
      if (this.timer !== null) this.schedule(0);
    });
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = null;
  }

  /** The version to which the cluster is being moved at this moment; null when it is not. */
  get raisingTo(): ClusterVersion | null {
    if (this.raises.size === 0) return null;
    const { node, appliedIndex } = this.parts;
    const { role, term } = node.raft;
    for (const raise of this.raises) {
      const mayTakeEffect = role === 'leader' && raise.term === term && appliedIndex() < raise.logEnd;
      if (!mayTakeEffect) this.raises.delete(raise);
    }
    return this.raises.size === 0 ? null : Math.max(...[...this.raises].map(({ version }) => version));
  }

  status(): ClusterVersionStatus {
    const { clusterVersion, isHeld, clock } = this.parts;
    const { agreement } = this;
    const waitedMs = agreement === null ? 0 : clock.now() - agreement.since;
    return {
      clusterVersion: clusterVersion(),
      spokenByAll: this.spokenByAll(),
      held: isHeld(),
      raiseInMs: agreement === null ? null : Math.max(0, Math.ceil(this.delayMs - waitedMs)),
      members: this.reports(),
    };
  }

  /**
   * Leader: raises the cluster version at once, held or not. Resolves with the version that is in force then. Throws
   * `cluster_not_upgraded`, with the members that do not speak the version.
   */
  async raise(version: ClusterVersion, timeoutMs: number): Promise<ClusterVersion> {
    this.requireSpokenByAll(version);
    if (version <= this.parts.clusterVersion()) return this.parts.clusterVersion();
    return this.propose({ kind: 'raiseVersion', version }, timeoutMs);
  }

  private async propose(command: RaiseVersionCommand, timeoutMs: number): Promise<ClusterVersion> {
    const { raft } = this.parts.node;
    const raise: Raise = { version: command.version, term: raft.term, logEnd: Number.POSITIVE_INFINITY };
    this.raises.add(raise);
    try {
      const result = await this.parts.propose(command, timeoutMs);
      this.raises.delete(raise);
      return result.kind === 'versionRaised' ? result.clusterVersion : this.parts.clusterVersion();
    } catch (error) {
      // It may be in the log, and then it takes effect there unless another leader overwrites it.
      if (error instanceof RaftkvError && error.code === 'outcome_unknown') raise.logEnd = raft.lastIndex;
      else this.raises.delete(raise);
      throw error;
    }
  }

  /** Throws `cluster_not_upgraded` unless every member speaks the version, as far as this node knows. */
  requireSpokenByAll(version: ClusterVersion): void {
    const missing = this.reports().filter(({ newest }) => (newest ?? 0) < version);
    if (missing.length === 0) return;
    const reasons = missing.map(({ id, newest, reason }) =>
      newest === null ? `${id} ${reason}` : `${id} speaks version ${newest}`,
    );
    throw new RaftkvError(
      'cluster_not_upgraded',
      `The cluster cannot move to version ${version} before every member speaks it: ${reasons.join('; ')}. Upgrade those members, ` +
        'or remove them.',
      { clusterVersion: this.parts.clusterVersion(), missing: missing.map(({ id }) => id) },
    );
  }

  private schedule(delayMs: number): void {
    this.timer?.cancel();
    this.timer = this.parts.clock.after(delayMs, () => {
      this.review();
      if (this.parts.clusterVersion() >= this.parts.identity().versions.newest) this.timer = null;
      else this.schedule(this.isNew ? NEW_CLUSTER_REVIEW_MS : VERSION_REVIEW_MS);
    });
  }

  private review(): void {
    const { node, clock, logger, clusterVersion, isHeld } = this.parts;
    this.noteVersion();
    const version = this.spokenByAll();
    if (node.raft.role !== 'leader' || version <= clusterVersion() || isHeld()) {
      this.agreement = null;
      return;
    }
    const { term } = node.raft;
    if (this.agreement?.version !== version || this.agreement.term !== term) {
      this.agreement = { version, term, since: clock.now() };
      if (!this.isNew)
        logger.info(
          { clusterVersion: version },
          `Every member speaks cluster version ${version}. The cluster moves to it in ${Math.round(this.delayMs / 1000)} s; ` +
            '"raftkv upgrade hold" stops that. Afterwards no member can go back to an older version of raftkv.',
        );
    }
    if (this.raisingTo !== null || clock.now() - this.agreement.since < this.delayMs) return;
    // What fails is tried again at a later look; and a hold that is on its way into the log comes first.
    this.propose({ kind: 'raiseVersion', version, unlessHeld: true }, RAISE_TIMEOUT_MS).catch(() => {});
  }

  private noteVersion(): void {
    const version = this.parts.clusterVersion();
    if (version === this.reportedVersion) return;
    this.parts.logger.info(
      { clusterVersion: version },
      `The cluster has moved from version ${this.reportedVersion} to version ${version}. Older versions of raftkv cannot be members ` +
        'any more, nor open this data directory.',
    );
    this.reportedVersion = version;
  }

  private get isNew(): boolean {
    return this.parts.founded && !this.metOlder;
  }

  private get delayMs(): number {
    return this.isNew ? 0 : this.parts.delayMs;
  }

  private spokenByAll(): ClusterVersion {
    const { newest: own } = this.parts.identity().versions;
    const reports = this.reports();
    if (reports.some(({ newest }) => newest !== null && newest < own)) this.metOlder = true;
    return Math.min(own, ...reports.map(({ newest }) => newest ?? 1));
  }

  private reports(): readonly MemberVersions[] {
    const connections = new Map(this.parts.connections().map((connection) => [connection.id, connection]));
    return this.parts.node.raft.configuration.members.map((member) =>
      this.reportOf(member, connections.get(member.id)),
    );
  }

  private reportOf(member: Member, connection: PeerConnection | undefined): MemberVersions {
    const { id, incarnation } = member;
    const self = this.parts.identity();
    if (id === self.id && incarnation === self.incarnation) return spoken(id, self.versions);
    const report = connection?.report;
    if (report !== undefined && report.incarnation === incarnation) return spoken(id, report.versions);
    return { id, oldest: null, newest: null, reason: whySilent(member, connection) };
  }
}

function spoken(id: NodeId, { oldest, newest }: VersionRange): MemberVersions {
  return { id, oldest, newest, reason: '' };
}

function whySilent({ incarnation }: Member, connection: PeerConnection | undefined): string {
  if (incarnation === '') return 'was never started';
  if (connection?.state === 'refused') return `is refused: ${connection.reason}`;
  return 'is not connected';
}
