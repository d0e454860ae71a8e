import type { Clock } from '../clock.js';
import {
  CLUSTER_VERSION_MIN,
  type ClusterVersion,
  objectionToVersions,
  type VersionRange,
} from '../cluster-version.js';
import { RaftkvError } from '../errors.js';
import type {
  AddMemberRequest,
  MemberAddress,
  MemberStatus,
  MembershipChange,
  MembershipPlan,
  SetMembersResult,
} from '../http/port.js';
import { isLeaving, isVoter, memberOf } from '../raft/configuration.js';
import type { FollowerStatus } from '../raft/raft.js';
import type { Configuration, Member, NodeId } from '../raft/types.js';
import type { Identity, PeerConnection } from '../transport/contract.js';
import { changeConfiguration } from './change-configuration.js';
import { CONTACT_MS, TICK_MS } from './limits.js';
import {
  isInContact,
  liveMembers,
  quorumSize,
  requireAnsweringLearners,
  requireMember,
  requireOwnAddress,
  requireSameAddress,
  votersWithout,
} from './membership-checks.js';
import { newcomersOf, planMembership } from './membership-plan.js';
import type { RaftNode } from './raft-node.js';
import { VoterReplacement } from './voter-replacement.js';
import { clientLeft, noLeader } from './waiting.js';

/** The leader's side of membership: checks what an operator asks for, proposes it and waits until it is in force. */
export class MembershipService {
  private readonly replacement: VoterReplacement;

  constructor(
    private readonly node: RaftNode<unknown>,
    private readonly clock: Clock,
    private readonly self: { readonly id: NodeId; readonly clientUrl: string },
    private readonly connections: () => readonly PeerConnection[],
    /** Asks whoever answers at an address who it is. */
    private readonly greet: (address: string, timeoutMs: number) => Promise<Identity>,
    /** The cluster version that a new member must speak: the one in force, or to which the cluster is being moved. */
    private readonly neededVersion: () => ClusterVersion,
    /** Whether members must prove that they know the cluster secret. */
    private readonly requiresProof = false,
  ) {
    this.replacement = new VoterReplacement(node, clock);
  }

  /** The members as this node sees them; only a leader knows how far each one is. */
  view(): readonly MemberStatus[] {
    const { configuration, leader, followers, role, lastIndex } = this.node.status();
    const known = new Map(this.connections().map((connection) => [connection.id, connection]));
    return configuration.members.map((member): MemberStatus => {
      const follower = followers.find((candidate) => candidate.id === member.id);
      const isSelf = member.id === this.self.id;
      const client = isSelf ? this.self.clientUrl : known.get(member.id)?.clientUrl || member.clientUrl;
      return {
        id: member.id,
        peer: member.peerAddress,
        client,
        role: isVoter(configuration, member.id) ? 'voter' : 'learner',
        ...(isLeaving(configuration, member.id) ? { leaving: true } : {}),
        leader: member.id === leader,
        health: isSelf ? 'healthy' : role === 'leader' ? healthOf(member, follower) : 'unknown',
        ...(isSelf && role === 'leader' ? { matchIndex: lastIndex, lastContactMs: 0 } : {}),
        ...(follower ? { matchIndex: follower.match } : {}),
        ...(follower && follower.lastContactTicks !== null
          ? { lastContactMs: follower.lastContactTicks * TICK_MS }
          : {}),
      };
    });
  }

  /** Adds a learner, or brings what is known of a member up to date. Resolves with whether anything changed. */
  async add(request: AddMemberRequest, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    // First, because two nodes of one name do not answer each other's questions.
    requireSameNode(memberOf(this.node.raft.configuration, request.id), request);
    if (isNewcomer(this.node.raft.configuration, request) && !this.isUpToDate())
      await this.whenUpToDate(timeoutMs, signal);
    const hasMovedOn = this.neededVersion() > CLUSTER_VERSION_MIN;
    // Where members have to prove that they know the cluster secret, nobody is added who cannot.
    const isAsked = (hasMovedOn || this.requiresProof) && isNewcomer(this.node.raft.configuration, request);
    const versions = isAsked ? await this.askVersions(request, timeoutMs) : null;
    const place = await changeConfiguration(this.node, this.clock, timeoutMs, signal, (configuration) => {
      const member: Member = {
        id: request.id,
        incarnation: request.incarnation,
        peerAddress: request.peer,
        clientUrl: request.client,
      };
      const known = memberOf(configuration, request.id);
      if (isNewcomer(configuration, request)) this.requireVersions(request.id, versions);
      if (!known) {
        requireOwnAddress(configuration, request);
        requireAnsweringLearners(this.node.status(), request.id);
        return { kind: 'addLearner', member };
      }
      requireSameNode(known, request);
      const merged: Member = {
        id: known.id,
        incarnation: request.incarnation || known.incarnation,
        peerAddress: request.peer,
        clientUrl: request.client || known.clientUrl,
      };
      if (request.incarnation === '') requireSameAddress(known, request.peer);
      const isSame =
        merged.incarnation === known.incarnation &&
        merged.peerAddress === known.peerAddress &&
        merged.clientUrl === known.clientUrl;
      return isSame ? null : { kind: 'updateMember', member: merged };
    });
    return place !== null;
  }

  /** Whether the cluster version is known here that a predecessor of this leader may have raised. */
  private isUpToDate(index = this.node.raft.catchUpIndex): boolean {
    return this.node.appliedIndex >= index;
  }

  private whenUpToDate(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { catchUpIndex } = this.node.raft;
    const late = () =>
      new RaftkvError(
        'change_in_progress',
        'This leader has not applied yet what was committed before. The member was not added; try again shortly.',
      );
    return this.node.when(() => this.isUpToDate(catchUpIndex), timeoutMs, late, signal);
  }

  /** Asks a node that wants to be a member what it speaks: nobody may get the log who cannot read it. */
  private async askVersions(
    { id, peer, incarnation }: AddMemberRequest,
    timeoutMs: number,
  ): Promise<VersionRange> {
    let identity: Identity;
    try {
      identity = await this.greet(peer, Math.min(CONTACT_MS, timeoutMs));
    } catch (error) {
      if (!(error instanceof RaftkvError)) throw error;
      if (error.code === 'secret_not_proven') throw error;
      throw new RaftkvError(
        'unavailable',
        `${this.self.id} cannot ask ${id} which cluster version it speaks: ${error.message} Check --advertise-peer of ${id}.`,
      );
    }
    if (identity.id !== id || identity.incarnation !== incarnation) {
      throw new RaftkvError(
        'bad_request',
        `At ${peer} answers ${identity.id} of incarnation ${identity.incarnation}, and not ${id} of incarnation ` +
          `${incarnation}. Check --advertise-peer of ${id}.`,
      );
    }
    return identity.versions;
  }

  private requireVersions(id: NodeId, versions: VersionRange | null): void {
    const needed = this.neededVersion();
    if (needed <= CLUSTER_VERSION_MIN) return;
    if (versions === null) {
      throw new RaftkvError(
        'change_in_progress',
        `The cluster is just moving to version ${needed}. ${id} was not added; try again shortly.`,
      );
    }
    const objection = objectionToVersions(id, versions, needed);
    // A code that an older program knows, so that one which wants to join stops with this sentence.
    if (objection !== '') throw new RaftkvError('member_not_ready', objection);
  }

  /** Removes a member, this leader included, unless the rest would have no live quorum. */
  async remove(id: NodeId, force: boolean, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    await changeConfiguration(this.node, this.clock, timeoutMs, signal, (configuration) => {
      requireMember(configuration, id);
      const rest = votersWithout(configuration, id);
      const members = liveMembers(this.node.status());
      const live = rest.filter((voter) => members.has(voter));
      const needed = quorumSize(rest.length);
      if (isVoter(configuration, id) && !force && live.length < needed) {
        throw new RaftkvError(
          'quorum_at_risk',
          `Without ${id} the voters are ${rest.join(', ')}, of which ${needed} are needed and only ${live.join(', ') || 'none'} ` +
            'answered lately. Bring the others back first, or add force=true if they are gone for good.',
          { needed, live },
        );
      }
      return { kind: 'remove', id };
    });
  }

  async promote(id: NodeId, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    await changeConfiguration(this.node, this.clock, timeoutMs, signal, (configuration) => {
      requireMember(configuration, id);
      if (isVoter(configuration, id)) return null;
      const follower = this.node.status().followers.find((candidate) => candidate.id === id);
      if (!follower || follower.match === 0 || !isInContact(follower)) {
        throw new RaftkvError(
          'quorum_at_risk',
          `${id} has not taken anything from this leader yet, so as a voter it would only weaken the cluster. Start it and check its address.`,
        );
      }
      return { kind: 'promote', id };
    });
  }

  /** Makes these the voters, and nobody else a member. */
  set(
    members: readonly MemberAddress[],
    force: boolean,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<SetMembersResult> {
    return this.replacement.replace(members, force, timeoutMs, signal);
  }

  /** What a change would do. */
  async plan(change: MembershipChange, timeoutMs: number): Promise<MembershipPlan> {
    const newcomers = newcomersOf(change, this.node.raft.configuration);
    for (const newcomer of newcomers)
      requireOwnAddress(this.node.raft.configuration, { ...newcomer, client: '' });
    const patienceMs = Math.min(CONTACT_MS, timeoutMs);
    const reasons = await Promise.all(newcomers.map((member) => this.whyUnreachable(member, patienceMs)));
    const status = this.node.status();
    if (status.role !== 'leader') throw noLeader();
    const unreachable = newcomers.flatMap(({ id }, position) => {
      const reason = reasons[position];
      return reason === undefined ? [] : [[id, reason] as const];
    });
    return planMembership(change, {
      configuration: status.configuration,
      leader: this.self.id,
      live: liveMembers(status),
      unreachable: new Map(unreachable),
    });
  }

  private async whyUnreachable({ id, peer }: MemberAddress, timeoutMs: number): Promise<string | undefined> {
    try {
      const identity = await this.greet(peer, timeoutMs);
      return identity.id === id ? undefined : `${identity.id} answers at ${peer}.`;
    } catch (error) {
      if (error instanceof RaftkvError) return error.message;
      throw error;
    }
  }

  /** Hands leadership over and resolves with the new leader. */
  async transfer(to: NodeId | undefined, timeoutMs: number, signal?: AbortSignal): Promise<NodeId> {
    const started = this.node.change((raft) => {
      if (raft.role !== 'leader') throw noLeader();
      return raft.transfer(to);
    });
    if (typeof started === 'string') {
      if (to === this.self.id) return to;
      throw new RaftkvError(
        memberOf(this.node.raft.configuration, to ?? '') || to === undefined
          ? 'bad_request'
          : 'member_not_found',
        started,
      );
    }
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void) => {
        stopListening();
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
        outcome();
      };
      const onAbort = () => settle(() => reject(clientLeft()));
      signal?.addEventListener('abort', onAbort);
      const stopListening = this.node.onLeaderChange(() => {
        const { leader } = this.node.raft;
        if (leader !== null && leader !== this.self.id) settle(() => resolve(leader));
      });
      const timer = this.clock.after(timeoutMs, () =>
        settle(() =>
          reject(
            new RaftkvError(
              'unavailable',
              `${started.to} did not take over in time; see GET /v1/status for who leads.`,
            ),
          ),
        ),
      );
    });
  }
}

/** Whether the request says of a node for the first time who it is; one that was only named gets no log. */
function isNewcomer(configuration: Configuration, { id, incarnation }: AddMemberRequest): boolean {
  return incarnation !== '' && memberOf(configuration, id)?.incarnation !== incarnation;
}

/** Throws `member_exists` where the member of this name is another node. */
function requireSameNode(known: Member | undefined, { id, incarnation }: AddMemberRequest): void {
  if (known === undefined || known.incarnation === '' || incarnation === '') return;
  if (known.incarnation === incarnation) return;
  throw new RaftkvError(
    'member_exists',
    `${id} is bound to another incarnation, so this is a node that lost its disk or another node of that name. Remove the ` +
      `member (raftkv member remove ${id}), then start the node with --join.`,
  );
}

function healthOf(member: Member, follower: FollowerStatus | undefined): string {
  if (member.incarnation === '') return 'never started';
  if (!follower || !isInContact(follower)) return 'unreachable';
  return follower.state === 'replicate' ? 'healthy' : 'catching up';
}
