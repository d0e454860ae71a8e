import type { Clock } from '../clock.js';
import { RaftkvError } from '../errors.js';
import type { MemberAddress, SetMembersResult } from '../http/port.js';
import { isJoint, memberOf } from '../raft/configuration.js';
import type { Configuration, Index, NodeId, Term } from '../raft/types.js';
import { changeConfiguration, pause } from './change-configuration.js';
import {
  isInContact,
  liveMembers,
  quorumSize,
  requireAnsweringLearners,
  requireOwnAddress,
  requireSameAddress,
} from './membership-checks.js';
import type { RaftNode } from './raft-node.js';
import { clientLeft } from './waiting.js';

/** Members of whom some are missing, and all are to be the voters in the end. */
interface Target {
  readonly members: readonly MemberAddress[];
  readonly ids: readonly NodeId[];
  readonly force: boolean;
  readonly deadline: number;
  /** Aborted when the operator's client has left: then nothing more is begun. */
  readonly signal: AbortSignal | undefined;
  /** Leadership that was lost and won again in between is not the same. */
  readonly term: Term;
}

/**
 * Leader: makes the members that an operator names the voters, and nobody else a member (§6, thesis §4.3). Who is new becomes a
 * learner first, which counts for nothing; only when all of them have answered this leader and keep up with it does
 * one joint change replace the voters, so that a mistyped address never costs the quorum (correctness rule 15).
 */
export class VoterReplacement {
  private isRunning = false;

  constructor(
    private readonly node: RaftNode<unknown>,
    private readonly clock: Clock,
  ) {}

  /** Resolves when the new voters alone decide. Repeating it is harmless, and goes on where it stopped. */
  async replace(
    members: readonly MemberAddress[],
    force: boolean,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<SetMembersResult> {
    if (this.isRunning) {
      throw new RaftkvError(
        'change_in_progress',
        'The members are being set by another request. Nothing was changed; try again shortly.',
      );
    }
    this.isRunning = true;
    const { node, clock } = this;
    const ids = members.map((member) => member.id).sort();
    const deadline = clock.now() + timeoutMs;
    const target: Target = { members, ids, force, deadline, signal, term: node.raft.term };
    const learners: NodeId[] = [];
    try {
      const { configuration } = node.raft;
      for (const { id, peer } of members) {
        const known = memberOf(configuration, id);
        if (known) requireSameAddress(known, peer);
        else requireOwnAddress(configuration, { id, peer, client: '' });
      }
      this.checkQuorum(configuration, target, true);
      // They are waited for here, and are to become voters all at once.
      node.raft.holdPromotions(ids);
      for (const member of members) if (await this.addIfMissing(member, target)) learners.push(member.id);
      await this.whenReady(target);
      return await this.changeTo(target);
    } catch (error) {
      throw learners.length > 0 && error instanceof RaftkvError ? mention(error, learners) : error;
    } finally {
      this.isRunning = false;
      node.raft.holdPromotions([]);
    }
  }

  private async addIfMissing(member: MemberAddress, { deadline, signal }: Target): Promise<boolean> {
    const { id, peer } = member;
    const place = await changeConfiguration(
      this.node,
      this.clock,
      this.remaining(deadline),
      signal,
      (configuration) => {
        const known = memberOf(configuration, id);
        if (known) requireSameAddress(known, peer);
        if (known) return null;
        requireOwnAddress(configuration, { id, peer, client: '' });
        requireAnsweringLearners(this.node.status(), id);
        return { kind: 'addLearner', member: { id, incarnation: '', peerAddress: peer, clientUrl: '' } };
      },
    );
    return place !== null;
  }

  /** Waits until every learner among the members has answered and keeps up. */
  private async whenReady(target: Target): Promise<void> {
    for (;;) {
      const { role, term, configuration } = this.node.raft;
      if (this.node.stopping || role !== 'leader' || term !== target.term) {
        throw new RaftkvError(
          'no_leader',
          'Leadership changed before the voters did. Ask for the same again, which goes on from here.',
        );
      }
      const missing = target.ids.filter((id) => !configuration.voters.includes(id));
      const reasons = missing.flatMap((id) => this.whyNotReady(configuration, id) ?? []);
      if (reasons.length === 0) return;
      if (target.signal?.aborted) throw clientLeft();
      if (this.clock.now() >= target.deadline) {
        throw new RaftkvError(
          'member_not_ready',
          `${reasons.join('; ')}. The voters are what they were. See to that and ask for the same again, with a longer ` +
            'timeout if there is much to catch up with.',
          { notReady: missing },
        );
      }
      await pause(this.clock);
    }
  }

  private whyNotReady(configuration: Configuration, id: NodeId): string | undefined {
    const member = memberOf(configuration, id);
    if (!member) return `${id} was removed meanwhile`;
    if (member.incarnation === '') {
      return `${id} was never heard of, at ${member.peerAddress} or elsewhere: start it with --join, or correct its address`;
    }
    const follower = this.node.raft.follower(id);
    if (!follower || !isInContact(follower)) return `${id} does not answer at ${member.peerAddress}`;
    if (follower.keepsUp) return undefined;
    return `${id} is catching up and has ${this.node.raft.lastIndex - follower.match} entries to go`;
  }

  private async changeTo(target: Target): Promise<SetMembersResult> {
    const { node, clock } = this;
    const { ids, deadline, signal } = target;
    let added: readonly NodeId[] = [];
    let removed: readonly NodeId[] = [];
    const place = await changeConfiguration(
      node,
      clock,
      this.remaining(deadline),
      signal,
      (configuration) => {
        this.checkQuorum(configuration, target, false);
        added = ids.filter((id) => !configuration.voters.includes(id));
        removed = configuration.members.map(({ id }) => id).filter((id) => !ids.includes(id));
        return added.length + removed.length === 0 ? null : { kind: 'replaceVoters', voters: ids };
      },
    );
    if (place !== null) await this.whenFinal(place.index, target);
    return { voters: ids, added, removed };
  }

  /** The joint configuration at `index` is committed; whoever leads ends it. */
  private whenFinal(index: Index, { ids, deadline, signal }: Target): Promise<void> {
    const { raft } = this.node;
    return this.node.when(
      () =>
        !isJoint(raft.configuration) &&
        raft.configurationIndex > index &&
        raft.configurationIndex <= raft.commitIndex,
      this.remaining(deadline),
      () =>
        new RaftkvError(
          'outcome_unknown',
          `The change to ${ids.join(', ')} is committed and not finished: it ends by itself as soon as a majority of them ` +
            'answers. See raftkv member list.',
        ),
      signal,
    );
  }

  /** Refuses what would leave no live majority. @param hopes Whether members that are not there yet count as live. */
  private checkQuorum(configuration: Configuration, { ids, force }: Target, hopes: boolean): void {
    const live = liveMembers(this.node.status());
    const answering = ids.filter((id) => live.has(id) || (hopes && !configuration.voters.includes(id)));
    const needed = quorumSize(ids.length);
    if (force || answering.length >= needed) return;
    const silent = ids.filter((id) => !answering.includes(id));
    throw new RaftkvError(
      'quorum_at_risk',
      `Of the voters ${ids.join(', ')} ${needed} are needed, and ${silent.join(', ')} did not answer lately. Bring them back ` +
        'first, or leave them out. With force=true the change is begun all the same, and then nothing is written until ' +
        `${needed} of them are back.`,
      { needed, live: answering },
    );
  }

  private remaining(deadline: number): number {
    return Math.max(0, deadline - this.clock.now());
  }
}

/** The same error, which also says what was done before it. */
function mention(error: RaftkvError, learners: readonly NodeId[]): RaftkvError {
  const names = learners.join(', ');
  return new RaftkvError(
    error.code,
    `${error.message} Added before and still there as ${learners.length > 1 ? 'learners' : 'a learner'}: ${names}; ` +
      'a learner counts for nothing, is promoted by itself once it keeps up, and goes with raftkv member remove.',
    { ...error.data, learners },
  );
}
