import { clientMutants } from './clients.js';
import { damageMutants } from './damage.js';
import { electionMutants } from './elections.js';
import { loyaltyMutants } from './loyalty.js';
import { membershipMutants } from './membership.js';
import type { Mutant } from './mutant.js';
import { peerMutants } from './peers.js';
import { replicationMutants } from './replication.js';
import { requestMutants } from './requests.js';
import { stateMutants } from './state.js';
import { timingMutants } from './timing.js';
import { versionMutants } from './versions.js';

/** Every planted bug. */
export const catalogue: readonly Mutant[] = [
  ...electionMutants,
  ...replicationMutants,
  ...membershipMutants,
  ...clientMutants,
  ...stateMutants,
  ...versionMutants,
  ...damageMutants,
  ...peerMutants,
  ...timingMutants,
  ...loyaltyMutants,
  ...requestMutants,
];
