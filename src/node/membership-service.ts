import type { Clock } from '../clock.js';
import { RaftkvError } from '../errors.js';
import type { AddMemberRequest, MemberStatus } from '../http/port.js';
import { type ConfigurationChange, isVoter, memberOf } from '../raft/configuration.js';
import type { FollowerStatus } from '../raft/raft.js';
import type { Configuration, Member, NodeId } from '../raft/types.js';
import type { PeerConnection } from '../transport/contract.js';
import { CHANGE_RETRY_MS, TICK_MS } from './limits.js';
import type { RaftNode } from './raft-node.js';
import { noLeader } from './waiting.js';

/** The leader's side of membership: checks what an operator asks for, proposes it and waits until it is in force. */
export class MembershipService {
  constructor(
    private readonly node: RaftNode<unknown>,
    private readonly clock: Clock,
    private readonly self: { readonly id: NodeId; readonly clientUrl: string },
    private readonly connections: () => readonly PeerConnection[],
  ) {}

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
  async add(request: AddMemberRequest, timeoutMs: number): Promise<boolean> {
    return this.change(timeoutMs, (configuration) => {
      const member: Member = {
        id: request.id,
        incarnation: request.incarnation,
        peerAddress: request.peer,
        clientUrl: request.client,
      };
      const known = memberOf(configuration, request.id);
      if (!known) return { kind: 'addLearner', member };
      if (
        known.incarnation !== '' &&
        request.incarnation !== '' &&
        known.incarnation !== request.incarnation
      ) {
        throw new RaftkvError(
          'member_exists',
          `${request.id} is bound to another incarnation, so this is a node that lost its disk or another node of that ` +
            `name. Remove the member (raftkv member remove ${request.id}), then start the node with --join.`,
        );
      }
      const merged: Member = {
        id: known.id,
        incarnation: request.incarnation || known.incarnation,
        peerAddress: request.peer,
        clientUrl: request.client || known.clientUrl,
      };
      if (request.incarnation === '' && known.peerAddress !== request.peer) {
        throw new RaftkvError(
          'member_exists',
          `${request.id} is a member already, at ${known.peerAddress}. Remove it first, or start the node itself with its new address.`,
        );
      }
      const isSame =
        merged.incarnation === known.incarnation &&
        merged.peerAddress === known.peerAddress &&
        merged.clientUrl === known.clientUrl;
      return isSame ? null : { kind: 'updateMember', member: merged };
    });
  }

  /** Removes a member, this leader included, unless the rest would have no live quorum. */
  async remove(id: NodeId, force: boolean, timeoutMs: number): Promise<void> {
    await this.change(timeoutMs, (configuration) => {
      requireMember(configuration, id);
      const rest = configuration.voters.filter((voter) => voter !== id);
      if (rest.length === 0) {
        throw new RaftkvError(
          'quorum_at_risk',
          `${id} is the last voter; a cluster cannot be left without one.`,
        );
      }
      const live = this.liveVoters().filter((voter) => voter !== id);
      const needed = Math.floor(rest.length / 2) + 1;
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

  async promote(id: NodeId, timeoutMs: number): Promise<void> {
    await this.change(timeoutMs, (configuration) => {
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

  /** Hands leadership over and resolves with the new leader. */
  async transfer(to: NodeId | undefined, timeoutMs: number): Promise<NodeId> {
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
        outcome();
      };
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

  /** Proposes what `plan` says of the configuration in force, and again for as long as another change is under way. */
  private async change(
    timeoutMs: number,
    plan: (configuration: Configuration) => ConfigurationChange | null,
  ): Promise<boolean> {
    const deadline = this.clock.now() + timeoutMs;
    for (;;) {
      if (this.node.stopping || this.node.raft.role !== 'leader') throw noLeader();
      const change = plan(this.node.raft.configuration);
      if (change === null) return false;
      const result = this.node.change((raft) => raft.proposeChange(change));
      if ('index' in result) {
        await this.node.whenConfigured(result, Math.max(0, deadline - this.clock.now()));
        return true;
      }
      if (result.reason === 'notLeader') throw noLeader();
      if (result.reason === 'invalid') throw new RaftkvError('bad_request', result.detail);
      if (this.clock.now() >= deadline) {
        throw new RaftkvError(
          'change_in_progress',
          `${result.detail} Nothing was changed; try again shortly.`,
        );
      }
      await new Promise<void>((resolve) => this.clock.after(CHANGE_RETRY_MS, () => resolve()));
    }
  }

  private liveVoters(): readonly NodeId[] {
    const { configuration, followers } = this.node.status();
    return configuration.voters.filter(
      (voter) => voter === this.self.id || followers.some((one) => one.id === voter && isInContact(one)),
    );
  }
}

function requireMember(configuration: Configuration, id: NodeId): void {
  if (memberOf(configuration, id)) return;
  throw new RaftkvError(
    'member_not_found',
    `There is no member ${id}; the members are ${configuration.members.map((member) => member.id).join(', ')}.`,
  );
}

/** A member that has not answered for this many ticks is called unreachable. */
const CONTACT_TICKS_MAX = 100;

function isInContact(follower: FollowerStatus): boolean {
  return follower.lastContactTicks !== null && follower.lastContactTicks <= CONTACT_TICKS_MAX;
}

function healthOf(member: Member, follower: FollowerStatus | undefined): string {
  if (member.incarnation === '') return 'never started';
  if (!follower || !isInContact(follower)) return 'unreachable';
  return follower.state === 'replicate' ? 'healthy' : 'catching up';
}
