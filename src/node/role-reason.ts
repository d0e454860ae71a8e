import type { RaftEvent } from '../raft/types.js';

/** Events that say why a node has its role. */
const ROLE_EVENTS: ReadonlySet<RaftEvent['name']> = new Set([
  'becameFollower',
  'becamePreCandidate',
  'becameCandidate',
  'becameLeader',
]);

/** A sentence that tells why a node has its role; of one that was removed, that it was, whoever it hears of since (rule 17). */
export class RoleReason {
  text = 'This node has just started.';

  note(event: RaftEvent, isRemoved: boolean): void {
    if (isRemoved ? event.name === 'removed' : ROLE_EVENTS.has(event.name)) this.text = event.message;
  }
}
