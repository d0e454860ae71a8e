import type { Configuration, NodeId } from './types.js';

/**
 * Who counts the majority, and how. Every decision of Raft, an election, a commit, a confirmed read, is the same
 * question: what holds on a majority of the voters, and during joint consensus also on a majority of the outgoing
 * voters (§6)?
 */

/** The greatest value that a majority has reached: the median, rounded towards the majority (§5.3). */
export function majorityValue(configuration: Configuration, reachedBy: (id: NodeId) => number): number {
  const incoming = majorityOf(configuration.voters, reachedBy);
  if (configuration.outgoingVoters.length === 0) return incoming;
  return Math.min(incoming, majorityOf(configuration.outgoingVoters, reachedBy));
}

/** Whether a majority of the voters satisfies the predicate. */
export function hasMajority(
  { voters, outgoingVoters }: Configuration,
  holds: (id: NodeId) => boolean,
): boolean {
  return isMajorityOf(voters, holds) && (outgoingVoters.length === 0 || isMajorityOf(outgoingVoters, holds));
}

/**
 * Whether a majority of the voters is against it, or in joint consensus a majority of either half: then no majority can come
 * to hold.
 */
export function isVotedDown(configuration: Configuration, isAgainst: (id: NodeId) => boolean): boolean {
  const { voters, outgoingVoters } = configuration;
  return isMajorityOf(voters, isAgainst) || isMajorityOf(outgoingVoters, isAgainst);
}

/** Asked several times for each message, so it counts and sorts nothing. */
function isMajorityOf(voters: readonly NodeId[], holds: (id: NodeId) => boolean): boolean {
  let count = 0;
  for (const id of voters) if (holds(id)) count += 1;
  return 2 * count > voters.length;
}

function majorityOf(voters: readonly NodeId[], reachedBy: (id: NodeId) => number): number {
  // Without voters there is no majority to reach: nothing can be decided.
  if (voters.length === 0) return 0;
  const descending = voters.map(reachedBy).sort((a, b) => b - a);
  return descending[Math.floor(voters.length / 2)] ?? 0;
}
