import { RaftkvError } from '../errors.js';
import { memberOf } from '../raft/configuration.js';
import type { FollowerStatus, RaftStatus } from '../raft/raft.js';
import type { Configuration, Member, NodeId } from '../raft/types.js';
import { SILENT_LEARNERS_MAX } from './limits.js';

/** What a leader asks of the members before it changes who they are. */

/** How many of so many voters decide. */
export function quorumSize(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

export function requireMember(configuration: Configuration, id: NodeId): void {
  if (memberOf(configuration, id)) return;
  throw new RaftkvError(
    'member_not_found',
    `There is no member ${id}; the members are ${configuration.members.map((member) => member.id).join(', ')}.`,
  );
}

/** Only the node itself can say that it is somewhere else now; from anybody else it may be a slip. */
export function requireSameAddress(known: Member, peer: string): void {
  if (known.peerAddress === peer) return;
  throw new RaftkvError(
    'member_exists',
    `${known.id} is a member already, at ${known.peerAddress}. Remove it first, or start the node itself with its new address.`,
  );
}

/** Refuses addresses of another member: one of the two would never be reached. */
export function requireOwnAddress(
  { members }: Configuration,
  { id, peer, client }: { readonly id: NodeId; readonly peer: string; readonly client: string },
): void {
  for (const other of members) {
    if (other.id === id) continue;
    const taken =
      other.peerAddress === peer ? peer : client !== '' && other.clientUrl === client ? client : undefined;
    if (taken === undefined) continue;
    throw new RaftkvError(
      'member_exists',
      `${taken} is where the member ${other.id} is. Give ${id} an address of its own, or remove ${other.id} first if it is gone.`,
    );
  }
}

/** Refuses another learner while many do not answer, which wrong addresses or a script gone astray have left. */
export function requireAnsweringLearners({ configuration, followers }: RaftStatus, id: NodeId): void {
  const live = new Set(followers.filter(isInContact).map((follower) => follower.id));
  const silent = configuration.learners.filter((learner) => !live.has(learner));
  if (silent.length < SILENT_LEARNERS_MAX) return;
  throw new RaftkvError(
    'too_many_learners',
    `${silent.length} learners do not answer, and ${id} was not added: ${silent.join(', ')}. Start them, or remove those that are ` +
      'not meant to come.',
    { silent },
  );
}

/** The voters that would be left, at least one; not even force does without. */
export function votersWithout(configuration: Configuration, id: NodeId): readonly NodeId[] {
  const rest = configuration.voters.filter((voter) => voter !== id);
  if (rest.length > 0) return rest;
  throw new RaftkvError('quorum_at_risk', `${id} is the last voter; a cluster cannot be left without one.`);
}

/** A member that has not answered for this many ticks is called unreachable. */
const CONTACT_TICKS_MAX = 100;

export function isInContact(follower: FollowerStatus): boolean {
  return follower.lastContactTicks !== null && follower.lastContactTicks <= CONTACT_TICKS_MAX;
}

/** The members that answered this leader lately, and the leader itself. */
export function liveMembers({ id, followers }: RaftStatus): ReadonlySet<NodeId> {
  return new Set([id, ...followers.filter(isInContact).map((follower) => follower.id)]);
}
