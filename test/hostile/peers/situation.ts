/** What the members of a cluster know, for whoever forges messages in their name. */
import { present } from '../../../src/assert.js';
import type { Member } from '../../../src/raft/types.js';
import { membersOf } from '../../e2e/client.js';
import type { TargetCluster } from '../cluster.js';
import type { Situation } from './messages.js';

/** What every member knows now, as the node that is furthest tells it; undefined while none tells. */
export async function situationOf(
  cluster: TargetCluster,
  members: readonly Member[],
): Promise<Situation | undefined> {
  const statuses = await cluster.statuses();
  const furthest = statuses.toSorted((one, two) => two.lastIndex - one.lastIndex)[0];
  if (furthest === undefined) return undefined;
  const { term, commitIndex, lastIndex } = furthest;
  return { cluster: furthest.cluster, members, term, commitIndex, lastIndex, lastTerm: term };
}

export async function raftMembersOf(cluster: TargetCluster): Promise<readonly Member[]> {
  const statuses = await cluster.statuses();
  const leader = present(
    cluster.nodes.find(({ id }) => id === statuses[0]?.leader),
    'A settled cluster has a leader.',
  );
  const members = await membersOf(leader.url);
  return members.map(({ id }) => {
    const node = cluster.nodes.find((candidate) => candidate.id === id);
    const incarnation = statuses.find((status) => status.id === id)?.incarnation ?? '';
    return { id, incarnation, peerAddress: node?.peer ?? '', clientUrl: node?.url ?? '' };
  });
}
