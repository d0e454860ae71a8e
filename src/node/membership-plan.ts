import { RaftkvError } from '../errors.js';
import type {
  MemberAddress,
  MembershipChange,
  MembershipPlan,
  PlannedMembership,
  PlannedStep,
} from '../http/port.js';
import { isJoint, isLearner, isVoter, memberOf } from '../raft/configuration.js';
import type { Configuration, NodeId } from '../raft/types.js';
import { quorumSize, requireMember, requireSameAddress, votersWithout } from './membership-checks.js';

/** What a leader knows when it plans. */
export interface Situation {
  readonly configuration: Configuration;
  readonly leader: NodeId;
  /** The members that answered lately, the leader included. */
  readonly live: ReadonlySet<NodeId>;
  /** Of those who are no members yet, why they could not be reached; who is not in here could be. */
  readonly unreachable: ReadonlyMap<NodeId, string>;
}

/** Who takes part in the end, and how it comes to that. */
interface Outcome {
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
  readonly steps: readonly PlannedStep[];
  /** Whether force is needed, and possible, where the voters would have no live majority. */
  readonly isGuarded: boolean;
}

/** Who is named by a change and is no member yet, so that nobody knows whether anybody is there. */
export function newcomersOf(
  change: MembershipChange,
  configuration: Configuration,
): readonly MemberAddress[] {
  const named = change.kind === 'set' ? change.members : change.kind === 'add' ? [change.member] : [];
  return named.filter((member) => !memberOf(configuration, member.id));
}

/**
 * What a change of the membership would do, changing nothing. Throws what the change itself would, except where force makes it
 * possible: then there is a warning.
 */
export function planMembership(change: MembershipChange, situation: Situation): MembershipPlan {
  const { configuration, live, unreachable } = situation;
  if (isJoint(configuration)) {
    throw new RaftkvError(
      'change_in_progress',
      'The voters are being replaced, which is not finished yet. Nothing can be planned on that; try again shortly.',
    );
  }
  const outcome = outcomeOf(change, configuration);
  const before = membership(configuration.voters, configuration.learners);
  const after = membership(outcome.voters, outcome.learners);
  const newcomers = newcomersOf(change, configuration);
  const answers = (id: NodeId) =>
    live.has(id) || (newcomers.some((newcomer) => newcomer.id === id) && !unreachable.has(id));
  const liveVotersAfter = after.voters.filter(answers);
  return {
    before,
    after,
    liveVotersAfter,
    steps: outcome.steps,
    warnings: warningsOf(change, situation, outcome, before, after, liveVotersAfter),
  };
}

function membership(voters: readonly NodeId[], learners: readonly NodeId[]): PlannedMembership {
  const quorum = quorumSize(voters.length);
  return { voters, learners, quorum, faultTolerance: voters.length - quorum };
}

function outcomeOf(change: MembershipChange, configuration: Configuration): Outcome {
  const { voters, learners } = configuration;
  switch (change.kind) {
    case 'add':
      return additionOf(change.member, configuration);
    case 'promote': {
      const { id } = change;
      requireMember(configuration, id);
      if (isVoter(configuration, id)) return { voters, learners, steps: [], isGuarded: false };
      const steps = [promotion(id, `${id} becomes a voter at once, without waiting until it keeps up.`)];
      return { ...withVoter(configuration, id), steps, isGuarded: false };
    }
    case 'remove': {
      const { id } = change;
      requireMember(configuration, id);
      const description = isVoter(configuration, id)
        ? `${id} leaves; from then on a majority of the other voters decides.`
        : `${id} leaves, which changes no majority.`;
      return {
        voters: votersWithout(configuration, id),
        learners: learners.filter((learner) => learner !== id),
        steps: [{ step: 'remove', members: [id], description }],
        isGuarded: isVoter(configuration, id),
      };
    }
    case 'set':
      return replacementOf(change.members, configuration);
  }
}

function additionOf(member: MemberAddress, configuration: Configuration): Outcome {
  const { id, peer } = member;
  const { voters, learners } = configuration;
  const known = memberOf(configuration, id);
  if (known) requireSameAddress(known, peer);
  if (isVoter(configuration, id)) return { voters, learners, steps: [], isGuarded: false };
  const steps = [
    ...(known ? [] : [learnerStep([member])]),
    catchUp([id]),
    promotion(id, `${id} becomes a voter by itself, when it has kept up for a round.`),
  ];
  return { ...withVoter(configuration, id), steps, isGuarded: false };
}

function replacementOf(members: readonly MemberAddress[], configuration: Configuration): Outcome {
  const ids = members.map((member) => member.id).sort();
  for (const { id, peer } of members) {
    const known = memberOf(configuration, id);
    if (known) requireSameAddress(known, peer);
  }
  const missing = members.filter((member) => !memberOf(configuration, member.id));
  const rising = ids.filter((id) => !isVoter(configuration, id));
  const leaving = configuration.members.map((member) => member.id).filter((id) => !ids.includes(id));
  const steps: PlannedStep[] = [];
  if (missing.length > 0) steps.push(learnerStep(missing));
  if (rising.length > 0) steps.push(catchUp(rising));
  if (rising.length + leaving.length > 0) {
    const together = `a majority of ${ids.join(', ')} together with one of ${configuration.voters.join(', ')} decides`;
    const goes =
      leaving.length === 0
        ? ''
        : `, and ${leaving.join(', ')} ${leaving.length > 1 ? 'are members' : 'is a member'} no more`;
    steps.push(
      { step: 'joint', members: ids, description: `All at once: ${together}, until that is committed.` },
      { step: 'final', members: ids, description: `Then ${ids.join(', ')} alone decide${goes}.` },
    );
  }
  return { voters: ids, learners: [], steps, isGuarded: true };
}

function withVoter({ voters, learners }: Configuration, id: NodeId) {
  return { voters: [...voters, id].sort(), learners: learners.filter((learner) => learner !== id) };
}

function learnerStep(members: readonly MemberAddress[]): PlannedStep {
  const places = members.map(({ id, peer }) => `${id} at ${peer}`).join(', ');
  return {
    step: 'addLearner',
    members: members.map((member) => member.id),
    description: `Gets the log and counts for nothing: ${places}. Start it with --join, if it does not run yet.`,
  };
}

function catchUp(ids: readonly NodeId[]): PlannedStep {
  return {
    step: 'catchUp',
    members: ids,
    description: `Waits until the leader hears from ${ids.join(', ')} and they keep up with the log.`,
  };
}

function promotion(id: NodeId, description: string): PlannedStep {
  return { step: 'promote', members: [id], description };
}

function warningsOf(
  change: MembershipChange,
  { configuration, leader, live, unreachable }: Situation,
  { steps, isGuarded }: Outcome,
  before: PlannedMembership,
  after: PlannedMembership,
  liveAfter: readonly NodeId[],
): readonly string[] {
  if (steps.length === 0) return [];
  const warnings = [...unreachable].map(
    ([id, reason]) => `${id} cannot be reached yet: ${reason} It counts for nothing until it is.`,
  );
  if (change.kind === 'promote' && isLearner(configuration, change.id) && !live.has(change.id)) {
    warnings.push(`${change.id} did not answer lately: this is refused until it does.`);
  }
  if (after.voters.length % 2 === 0) {
    const fewer = after.voters.length - 1;
    warnings.push(
      `${after.voters.length} voters is an even number: no more of them may fail than of ${fewer}, and more have to agree.`,
    );
  }
  if (after.faultTolerance === 0 && before.faultTolerance > 0) {
    warnings.push('No voter may fail afterwards: with any of them gone nothing can be read or written.');
  }
  if (!after.voters.includes(leader)) {
    warnings.push(`${leader} leads and leaves: it hands over to another, which takes a moment.`);
  }
  // A voter to be that is not there is waited for; of the others it takes enough.
  const rising = after.voters.filter((id) => !before.voters.includes(id) && !liveAfter.includes(id));
  if (isGuarded && liveAfter.length + rising.length < after.quorum) {
    warnings.push(
      `Of the voters ${after.voters.join(', ')} ${after.quorum} are needed and only ${liveAfter.join(', ') || 'none'} ` +
        'answered lately: this is refused without force=true.',
    );
  }
  return warnings;
}
