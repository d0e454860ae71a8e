import { createHash } from 'node:crypto';
import type { Clock } from '../clock.js';
import type { VersionRange } from '../cluster-version.js';
import type { FirstStart } from '../config.js';
import { RaftkvError } from '../errors.js';
import { configurationOfVoters, encodeConfiguration, memberOf } from '../raft/configuration.js';
import { type Configuration, EntryKind, type Member, type NodeId } from '../raft/types.js';
import type { LogStore, NodeIdentity } from '../storage/log-store.js';
import type { Hello, Identity, Transport } from '../transport/contract.js';
import type { NodeLogger } from './contracts.js';

/** The directories of the state begin so; the log's store names the one that is live. */
export const STATE_PREFIX = 'state-';
/** The name of the first state directory; later ones are made by snapshots. */
export const FIRST_STATE_DIRECTORY = `${STATE_PREFIX}1`;

const HANDSHAKE_TIMEOUT_MS = 1000;
const RETRY_MS = 50;
const JOIN_RETRY_MS = 500;
/** While waiting for others, a line says so this often. */
const REMINDER_MS = 5000;
/** While an operator has something to do, a line says so this often. */
const OPERATOR_REMINDER_MS = 60_000;

export interface BootstrapParts {
  readonly log: LogStore;
  readonly transport: Pick<Transport, 'handshake'>;
  readonly clock: Clock;
  readonly logger: NodeLogger;
  /** 32 hexadecimal digits that nobody else has. */
  readonly newIncarnation: () => string;
  /** Asks a running cluster to add this node (see {@link JoinRequest}) and resolves with the cluster's id. */
  readonly join: (request: JoinRequest) => Promise<string>;
}

/** What a node knows of itself before its first start. */
export interface Self {
  readonly id: NodeId;
  readonly peerAddress: string;
  readonly clientUrl: string;
  /** The cluster versions that its program speaks. */
  readonly versions: VersionRange;
}

export interface JoinRequest {
  readonly endpoints: readonly string[];
  readonly id: NodeId;
  readonly incarnation: string;
  readonly peer: string;
  readonly client: string;
}

/**
 * Where a node starts: who it is, and how it comes to its cluster. A node is a name and an incarnation, a random id made
 * at its first start and on disk before anything is said, so that a node which lost its disk is somebody else and can
 * never vote twice under its old name (correctness rule 16).
 *
 * The founding members of a cluster wait until all of them have told each other their incarnations. The table of all is
 * the first entry of everybody's log, and its hash is the cluster's id: on disk before the first vote.
 */
export class Bootstrap {
  /** Whether this node was a member before this start, see `RestoredState.tookPart`. */
  readonly tookPart: boolean;
  private current: NodeIdentity;
  private introduced: Identity;
  /** Whether the members that this node was to form a cluster with have one without it. */
  private isLatecomer = false;
  /** What this node waits for, in words; '' when it knows its cluster. */
  waitingFor = '';
  /** What is wrong with founding members that answer, by id. */
  private readonly objections = new Map<NodeId, string>();

  private constructor(
    private readonly self: Self,
    private readonly firstStart: FirstStart,
    private readonly parts: BootstrapParts,
    identity: NodeIdentity,
  ) {
    this.tookPart = identity.cluster !== '';
    this.current = identity;
    this.introduced = this.introduce(identity);
  }

  /** Reads, or makes, this node's identity. Throws `usage` when an empty directory comes without a way to start. */
  static async open(self: Self, firstStart: FirstStart, parts: BootstrapParts): Promise<Bootstrap> {
    const known = parts.log.identity;
    if (known !== undefined && known.id !== self.id) {
      throw new RaftkvError(
        'identity_conflict',
        `The data directory belongs to ${known.id}, and this node was started as ${self.id}. ` +
          `Start it with --id ${known.id}, or give ${self.id} a directory of its own with --data-dir.`,
      );
    }
    if ((known === undefined || known.cluster === '') && firstStart.kind === 'none') {
      throw noFirstStart();
    }
    const identity = known ?? { cluster: '', id: self.id, incarnation: parts.newIncarnation() };
    if (known === undefined) await parts.log.writeIdentity(identity);
    return new Bootstrap(self, firstStart, parts, identity);
  }

  /** Whether it is this process that forms the cluster, alone or with others, so that no older program ever wrote its data. */
  get founded(): boolean {
    return !this.tookPart && this.firstStart.kind !== 'join' && !this.isLatecomer;
  }

  /** Asked for with every message, so it is put together only when it changes. */
  get identity(): Identity {
    return this.introduced;
  }

  /** What this node says to others; see {@link answer}. */
  get hello(): Hello {
    const isForming = this.current.cluster === '' && this.firstStart.kind === 'initialCluster';
    return { identity: this.identity, initialCluster: isForming ? this.initialCluster() : '' };
  }

  /** Comes to the cluster, unless the directory knows it already. Resolves when its id is on disk. */
  async complete(signal: AbortSignal): Promise<void> {
    const { firstStart } = this;
    if (this.current.cluster !== '') {
      this.tellOfUnusedFlags();
      return;
    }
    if (firstStart.kind === 'join') await this.join(firstStart.endpoints);
    else if (firstStart.kind === 'initialCluster') await this.formOrJoin(firstStart, signal);
    else await this.found([this.asMember()]);
    this.waitingFor = '';
  }

  /** Answers the handshake of another node. Throws `identity_conflict` where the two do not belong together. */
  answer(hello: Hello, configuration: Configuration): Hello {
    const other = hello.identity;
    if (other.id === this.self.id && other.incarnation !== this.current.incarnation) {
      throw new RaftkvError(
        'identity_conflict',
        `Two nodes are called ${other.id}: this one at ${this.self.peerAddress} and the one that calls from ${other.peerAddress}. Every node needs an id of its own.`,
      );
    }
    const ours = this.current.cluster;
    if (ours !== '' && other.cluster !== '' && ours !== other.cluster) {
      throw new RaftkvError(
        'identity_conflict',
        `${this.self.id} belongs to cluster ${ours}, and ${other.id} to ${other.cluster}. Check the addresses, or whether a data directory was swapped.`,
      );
    }
    const bound = memberOf(configuration, other.id);
    if (ours !== '' && bound && bound.incarnation !== '' && bound.incarnation !== other.incarnation) {
      throw new RaftkvError('identity_conflict', replacedDisk(other.id), runsWithout(other.id));
    }
    if (ours !== '' && !bound && hello.initialCluster !== '') {
      throw new RaftkvError(
        'identity_conflict',
        `Cluster ${ours} is running already and ${other.id} is not one of its members: start it with --join.`,
        runsWithout(other.id),
      );
    }
    const mine = this.hello.initialCluster;
    if (mine !== '' && hello.initialCluster !== '' && mine !== hello.initialCluster) {
      throw new RaftkvError(
        'identity_conflict',
        `${this.self.id} was started with --initial-cluster ${mine}, and ${other.id} with ${hello.initialCluster}. They must be the same.`,
      );
    }
    return this.hello;
  }

  /** Forms the cluster, or joins the one that the others have formed without this node, or with its lost disk. */
  private async formOrJoin(
    { members, join = [] }: FirstStart & { readonly kind: 'initialCluster' },
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.form(members, signal);
    } catch (error) {
      const runsWithoutThis = error instanceof RaftkvError && error.data['runsWithout'] === this.self.id;
      if (join.length === 0 || !runsWithoutThis) throw error;
      this.isLatecomer = true;
      this.parts.logger.info(
        {},
        `The others have a cluster already. Asking ${join.join(', ')} to be added to it.`,
      );
      await this.join(join);
    }
  }

  private async form(
    members: readonly { id: NodeId; peerAddress: string }[],
    signal: AbortSignal,
  ): Promise<void> {
    const others = members.filter((member) => member.id !== this.self.id);
    const table = new Map<NodeId, { member: Member; cluster: string }>();
    let remindAt = this.parts.clock.now() + REMINDER_MS;
    while (table.size < others.length) {
      signal.throwIfAborted();
      await Promise.all(
        others
          .filter((other) => !table.has(other.id))
          .map(async (other) => {
            const identity = await this.meet(other);
            if (identity) table.set(other.id, identity);
          }),
      );
      const missing = others.filter((other) => !table.has(other.id));
      this.waitingFor = `forming the cluster, waiting for ${missing.map((one) => `${one.id} (${one.peerAddress})${this.objections.get(one.id) ?? ''}`).join(', ')}`;
      if (missing.length === 0) break;
      if (this.parts.clock.now() >= remindAt) {
        this.parts.logger.info({}, `Still ${this.waitingFor}.`);
        remindAt = this.parts.clock.now() + REMINDER_MS;
      }
      await new Promise<void>((resolve) => this.parts.clock.after(RETRY_MS, () => resolve()));
    }
    const met = [...table.values()];
    const cluster = clusterIdOf([this.asMember(), ...met.map((one) => one.member)]);
    const disagreeing = met.find((one) => one.cluster !== '' && one.cluster !== cluster);
    if (disagreeing) {
      throw new RaftkvError(
        'identity_conflict',
        `${disagreeing.member.id} belongs to cluster ${disagreeing.cluster} already, in which this node is not known as it is ` +
          'now. If a node of a new cluster was wiped or its addresses changed while the cluster was being formed, delete ' +
          'the data directories of all of them and start again; if the cluster holds data, start this node with --join.',
      );
    }
    await this.found([this.asMember(), ...met.map((one) => one.member)]);
  }

  private async meet(other: { id: NodeId; peerAddress: string }) {
    let hello: Hello;
    try {
      hello = await this.parts.transport.handshake(other.peerAddress, this.hello, HANDSHAKE_TIMEOUT_MS);
    } catch (error) {
      if (!(error instanceof RaftkvError)) return undefined;
      if (error.code === 'identity_conflict') throw error;
      // Only somebody can mend that, who has to hear of it; that others are not up yet is the rule.
      this.objections.set(other.id, error.code === 'secret_not_proven' ? ` ${error.message}` : '');
      return undefined;
    }
    this.objections.delete(other.id);
    const { id, incarnation, peerAddress, clientUrl, cluster } = hello.identity;
    if (id !== other.id) {
      throw new RaftkvError(
        'identity_conflict',
        `--initial-cluster says that ${other.id} is at ${other.peerAddress}, but ${id} answers there.`,
      );
    }
    return { member: { id, incarnation, peerAddress, clientUrl }, cluster };
  }

  /** Writes the first entry, which all founding members write alike, and with it who this node is. */
  private async found(members: readonly Member[]): Promise<void> {
    const configuration = configurationOfVoters(members);
    const cluster = clusterIdOf(members);
    const entry = {
      index: 1,
      term: 1,
      kind: EntryKind.configuration,
      payload: encodeConfiguration(configuration),
    };
    const identity = { ...this.current, cluster };
    // Every founding member has this very entry, so it is committed as soon as it is written.
    await this.parts.log.writeBootstrap(
      identity,
      { term: 1, vote: null, commit: 1 },
      [entry],
      FIRST_STATE_DIRECTORY,
    );
    this.become(identity);
    this.parts.logger.info({ cluster }, `Formed cluster ${cluster} of ${configuration.voters.join(', ')}.`);
  }

  private async join(endpoints: readonly string[]): Promise<void> {
    const { id, peerAddress, clientUrl } = this.self;
    this.waitingFor = `asking ${endpoints.join(', ')} to be added`;
    const request = {
      endpoints,
      id,
      incarnation: this.current.incarnation,
      peer: peerAddress,
      client: clientUrl,
    };
    let remindAt = this.parts.clock.now();
    for (;;) {
      try {
        const cluster = await this.parts.join(request);
        const identity = { ...this.current, cluster };
        await this.parts.log.writeBootstrap(
          identity,
          { term: 0, vote: null, commit: 0 },
          [],
          FIRST_STATE_DIRECTORY,
        );
        this.become(identity);
        this.parts.logger.info({ cluster }, `Joined cluster ${cluster} as a learner; catching up.`);
        return;
      } catch (error) {
        if (!(error instanceof RaftkvError)) throw error;
        const awaitsRemoval = this.isLatecomer && error.code === 'member_exists';
        if (awaitsRemoval) {
          this.waitingFor = `waiting until its lost disk is removed from the cluster: raftkv member remove ${id}`;
          if (this.parts.clock.now() >= remindAt) {
            this.parts.logger.warn(
              { code: error.code },
              `The data directory is new, and the cluster knows ${id} with another one. If that is lost, run raftkv member ` +
                `remove ${id}; this node then joins by itself. If it is not, stop this node and mount it.`,
            );
            remindAt = this.parts.clock.now() + OPERATOR_REMINDER_MS;
          }
        } else if (!RETRIED_WHEN_JOINING.has(error.code)) throw error;
        else if (this.parts.clock.now() >= remindAt) {
          this.parts.logger.info({ code: error.code }, `Not added yet, and asking again: ${error.message}`);
          remindAt = this.parts.clock.now() + REMINDER_MS;
        }
        await new Promise<void>((resolve) => this.parts.clock.after(JOIN_RETRY_MS, () => resolve()));
      }
    }
  }

  /** A node comes to its cluster once; afterwards the flags for that mean less than they say. */
  private tellOfUnusedFlags(): void {
    const { kind } = this.firstStart;
    const belongs = `This node belongs to cluster ${this.current.cluster} already`;
    if (kind === 'initialCluster') {
      this.parts.logger.info(
        {},
        `${belongs}: --initial-cluster does not change its members, and only says where they may be found.`,
      );
    } else if (kind === 'join') {
      this.parts.logger.info({}, `${belongs}: --join is not used.`);
    }
  }

  private become(identity: NodeIdentity): void {
    this.current = identity;
    this.introduced = this.introduce(identity);
  }

  private introduce(identity: NodeIdentity): Identity {
    const { peerAddress, clientUrl, versions } = this.self;
    return { ...identity, peerAddress, clientUrl, versions };
  }

  private asMember(): Member {
    const { id, peerAddress, clientUrl } = this.self;
    return { id, incarnation: this.current.incarnation, peerAddress, clientUrl };
  }

  private initialCluster(): string {
    const members = this.firstStart.kind === 'initialCluster' ? this.firstStart.members : [];
    return members
      .map((member) => `${member.id}=${member.peerAddress}`)
      .sort()
      .join(',');
  }
}

/** An empty directory without a word on how to start: a volume that failed to mount must never become an empty store. */
export function noFirstStart(): RaftkvError {
  return new RaftkvError(
    'usage',
    'The data directory holds no cluster yet, so say how to start: --initial-cluster n1=HOST:PORT,… (form a new ' +
      'cluster), --join http://HOST:PORT (be added to a running one) or --single (a cluster of one). If this node had ' +
      'data before, its directory is not where it was: check --data-dir and the mount. If it is, the disk lost what it held: ' +
      'remove this member from the cluster, wipe its data directory and start it with --join.',
  );
}

/** Errors after which a joining node asks again: the cluster is there, or will be, and has not refused. */
const RETRIED_WHEN_JOINING: ReadonlySet<RaftkvError['code']> = new Set([
  'no_leader',
  'unavailable',
  'overloaded',
  'outcome_unknown',
  'change_in_progress',
  'shutting_down',
]);

function clusterIdOf(members: readonly Member[]): string {
  return createHash('sha256')
    .update(encodeConfiguration(configurationOfVoters(members)))
    .digest('hex')
    .slice(0, 16);
}

/** Tells a node that was to form a cluster that this one runs without it, so that it can ask to be added. */
function runsWithout(id: NodeId): Readonly<Record<string, unknown>> {
  return { runsWithout: id };
}

/** What to do with a node that comes without what its former incarnation had promised. */
function replacedDisk(id: NodeId): string {
  return (
    `${id} is known to its cluster under another incarnation: its data directory is new, lost or restored from elsewhere. ` +
    `It must not vote under its old name. Remove the member (raftkv member remove ${id}), then start it with --join and ` +
    'an empty data directory.'
  );
}
