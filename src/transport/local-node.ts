import type { ClusterVersion } from '../cluster-version.js';
import type { NodeId } from '../raft/types.js';
import type { Identity } from './contract.js';
import type { PeerAuth } from './peer-auth.js';

/** This node, as both sides of its connections need it. Everything is asked for anew, because it changes. */
export interface LocalNode {
  /** What this node says about itself; a new node has no cluster yet. */
  readonly identity: () => Identity;
  /** The cluster version in force, as this node knows it: peers that cannot be in such a cluster are refused. */
  readonly clusterVersion: () => ClusterVersion;
  readonly auth: PeerAuth;
  /** Whether a node of this name and incarnation is a member, as far as this node knows. */
  readonly knows: (id: NodeId, incarnation: string) => boolean;
}
