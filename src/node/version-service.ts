import { Buffer } from 'node:buffer';
import { type ClusterVersion, notUpgraded } from '../cluster-version.js';
import type { ClusterVersionStatus } from '../http/port.js';
import { type Command, type CommandResult, HOLD_KEY } from '../kv/types.js';
import type { Raft } from '../raft/raft.js';
import { VersionKeeper, type VersionKeeperParts } from './version-keeper.js';
import { noLeader } from './waiting.js';

export interface VersionServiceParts extends Omit<VersionKeeperParts, 'node'> {
  readonly node: VersionKeeperParts['node'] & { readonly raft: Pick<Raft, 'leader'> };
  /** Makes a change as a client would, on any node. */
  readonly write: (command: Command, timeoutMs: number, signal?: AbortSignal) => Promise<CommandResult>;
  /** Asks the leader; the answer is what `forwarded.ts` says. */
  readonly forward: (
    operation: 'clusterVersionStatus' | 'raiseClusterVersion',
    payload: unknown,
    timeoutMs: number,
    signal?: AbortSignal,
  ) => Promise<unknown>;
}

/** What clients ask of the cluster version on any node: what needs the leader is sent there. */
export class VersionService {
  readonly keeper: VersionKeeper;

  constructor(private readonly parts: VersionServiceParts) {
    this.keeper = new VersionKeeper(parts);
  }

  /** What a node must speak to become a member: the version in force, or the one to which the cluster is being moved. */
  get neededVersion(): ClusterVersion {
    return Math.max(this.parts.clusterVersion(), this.keeper.raisingTo ?? 0);
  }

  /**
   * Before a command is sent to the leader that needs this cluster version. A leader that speaks the version checks itself what is
   * in force, which this node may not have applied yet. An older one would not even decode the command: it would commit what
   * it cannot apply, and end at each start. Throws `cluster_not_upgraded`, or `no_leader` where this node cannot tell.
   */
  requireOfLeader(needed: ClusterVersion, what: string): void {
    const current = this.parts.clusterVersion();
    const { leader } = this.parts.node.raft;
    if (needed <= current || leader === null) return;
    const report = this.parts.connections().find(({ id }) => id === leader)?.report;
    if (report === undefined) throw noLeader();
    if (report.versions.newest < needed) throw notUpgraded(current, needed, what);
  }

  async status(timeoutMs: number, signal?: AbortSignal): Promise<ClusterVersionStatus> {
    const { raft } = this.parts.node;
    if (raft.role === 'leader' || raft.leader === null) return this.keeper.status();
    try {
      const status = await this.parts.forward('clusterVersionStatus', {}, timeoutMs, signal);
      return status as ClusterVersionStatus;
    } catch {
      // The leader may have just gone, or be too old to know of cluster versions. What this node sees is an answer too.
      return this.keeper.status();
    }
  }

  async raise(version: ClusterVersion, timeoutMs: number, signal?: AbortSignal): Promise<ClusterVersion> {
    if (this.parts.node.raft.role === 'leader') return this.keeper.raise(version, timeoutMs);
    // An older leader would only say that it does not know the operation.
    this.keeper.requireSpokenByAll(version);
    const answer = await this.parts.forward('raiseClusterVersion', { version }, timeoutMs, signal);
    return (answer as { readonly clusterVersion: ClusterVersion }).clusterVersion;
  }

  async hold(held: boolean, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const key = Buffer.from(HOLD_KEY);
    const command: Command = held
      ? { kind: 'put', key, value: new Uint8Array(0), contentType: '' }
      : { kind: 'delete', key };
    await this.parts.write(command, timeoutMs, signal);
  }
}
