import type { Configuration, NodeId } from '../../raft/types.js';

/**
 * Whether these are more than half of the voters, and of the outgoing ones while there are any (§6). The checkers count for
 * themselves: with the product's own count they would share its errors.
 */
export function isMajority(configuration: Configuration, holds: (id: NodeId) => boolean): boolean {
  const { voters, outgoingVoters } = configuration;
  return [voters, outgoingVoters].every(
    (group) => group.length === 0 || 2 * group.filter(holds).length > group.length,
  );
}
