import { RaftkvError } from '../errors.js';
import { Histogram } from '../histogram.js';
import type { MemberLocation, NodeMeasures, NodePort, NodeStatus, Readiness, Route } from '../http/port.js';
import type { Identity } from '../transport/contract.js';

/**
 * The node as clients see it while it does not know its cluster yet: it answers, says what it waits for, and knows no
 * leader. Once {@link open} was called, everything goes to the real node.
 */
export class LatePort implements NodePort {
  private real: NodePort | null = null;
  private readonly listeners: (() => void)[] = [];

  constructor(
    private readonly identity: () => Identity,
    private readonly waitingFor: () => string,
    private readonly warnings: () => readonly string[],
    private readonly version: string,
    /** What it will be at first: a founding member is a voter, one that joins is none yet. */
    private readonly role: 'learner' | 'follower',
  ) {}

  open(real: NodePort): void {
    this.real = real;
    for (const listener of this.listeners) {
      real.onRouteChange(listener);
      listener();
    }
  }

  /** What is asked for until then waits for it, within its timeout. */
  onRouteChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  get id(): string {
    return this.identity().id;
  }

  route(): Route {
    return this.real?.route() ?? { kind: 'noLeader', isStarting: true };
  }

  position() {
    return this.real?.position() ?? { cluster: this.identity().cluster, revision: 0, term: 0 };
  }

  locations(): readonly MemberLocation[] {
    const { peerAddress, clientUrl } = this.identity();
    return this.real?.locations() ?? [{ peer: peerAddress, client: clientUrl }];
  }

  status(): NodeStatus {
    if (this.real) return this.real.status();
    const { cluster, id, incarnation } = this.identity();
    return {
      cluster,
      id,
      incarnation,
      role: this.role,
      term: 0,
      leader: null,
      leaderUrl: null,
      commitIndex: 0,
      appliedIndex: 0,
      flushedIndex: 0,
      revision: 0,
      firstIndex: 1,
      lastIndex: 0,
      digest: '00000000',
      digestDiffersFrom: [],
      version: this.version,
      clusterVersion: 0,
      uptimeSeconds: 0,
      reason: `This node is ${this.reason()}.`,
      warnings: this.warnings(),
      counters: { logWrites: 0, logBatches: 0, stalls: 0, longestStallMs: 0, messagesRefused: 0 },
    };
  }

  measures(): NodeMeasures {
    return (
      this.real?.measures() ?? {
        logWriteTimes: new Histogram(),
        commitTimes: new Histogram(),
        campaigns: 0,
        leaderChanges: 0,
        pendingProposals: 0,
        waits: 0,
        logBytes: 0,
        followers: [],
      }
    );
  }

  countKeys(): number | undefined {
    return this.real?.countKeys();
  }

  readiness(): Readiness {
    return this.real?.readiness() ?? { ready: false, reason: this.reason() };
  }

  write: NodePort['write'] = (...parameters) => this.node().write(...parameters);
  confirmRead: NodePort['confirmRead'] = (...parameters) => this.node().confirmRead(...parameters);
  readsByLease(): boolean {
    return this.real?.readsByLease() ?? false;
  }

  waitForRevision: NodePort['waitForRevision'] = (...parameters) =>
    this.node().waitForRevision(...parameters);
  get: NodePort['get'] = (...parameters) => this.node().get(...parameters);
  watch: NodePort['watch'] = (...parameters) => this.node().watch(...parameters);
  list: NodePort['list'] = (...parameters) => this.node().list(...parameters);
  readTxn: NodePort['readTxn'] = (...parameters) => this.node().readTxn(...parameters);
  lease: NodePort['lease'] = (...parameters) => this.node().lease(...parameters);
  leases: NodePort['leases'] = (...parameters) => this.node().leases(...parameters);
  leaseKeys: NodePort['leaseKeys'] = (...parameters) => this.node().leaseKeys(...parameters);
  acquireLock: NodePort['acquireLock'] = (...parameters) => this.node().acquireLock(...parameters);
  releaseLock: NodePort['releaseLock'] = (...parameters) => this.node().releaseLock(...parameters);
  lockState: NodePort['lockState'] = (...parameters) => this.node().lockState(...parameters);
  clusterVersionStatus: NodePort['clusterVersionStatus'] = (...parameters) =>
    this.node().clusterVersionStatus(...parameters);
  raiseClusterVersion: NodePort['raiseClusterVersion'] = (...parameters) =>
    this.node().raiseClusterVersion(...parameters);
  holdClusterVersion: NodePort['holdClusterVersion'] = (...parameters) =>
    this.node().holdClusterVersion(...parameters);
  members: NodePort['members'] = (...parameters) => this.node().members(...parameters);
  addMember: NodePort['addMember'] = (...parameters) => this.node().addMember(...parameters);
  removeMember: NodePort['removeMember'] = (...parameters) => this.node().removeMember(...parameters);
  promoteMember: NodePort['promoteMember'] = (...parameters) => this.node().promoteMember(...parameters);
  setMembers: NodePort['setMembers'] = (...parameters) => this.node().setMembers(...parameters);
  planMembers: NodePort['planMembers'] = (...parameters) => this.node().planMembers(...parameters);
  transferLeadership: NodePort['transferLeadership'] = (...parameters) =>
    this.node().transferLeadership(...parameters);

  private node(): NodePort {
    if (this.real) return this.real;
    throw new RaftkvError(
      'no_leader',
      `This node is ${this.reason()}. Nothing was changed; try again shortly.`,
    );
  }

  private reason(): string {
    return this.waitingFor() || 'starting';
  }
}
