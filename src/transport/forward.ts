import { type ServiceError, status } from '@grpc/grpc-js';
import { RaftkvError } from '../errors.js';
import type { NodeId } from '../raft/types.js';
import type { ForwardOperation } from './contract.js';

/** Every operation, and whether it changes something: then a lost answer leaves its outcome unknown. */
const operations: Readonly<Record<ForwardOperation, { readonly changes: boolean }>> = {
  propose: { changes: true },
  readIndex: { changes: false },
  members: { changes: false },
  addMember: { changes: true },
  removeMember: { changes: true },
  promoteMember: { changes: true },
  setMembers: { changes: true },
  planMembers: { changes: false },
  transferLeadership: { changes: true },
  clusterVersionStatus: { changes: false },
  raiseClusterVersion: { changes: true },
  digests: { changes: false },
  sendState: { changes: false },
};

export function isForwardOperation(name: string): name is ForwardOperation {
  return Object.hasOwn(operations, name);
}

export function notReached(to: NodeId): RaftkvError {
  return new RaftkvError(
    'no_leader',
    `${to}, which is taken for the leader, cannot be reached from this node.`,
  );
}

/**
 * What a call that failed means to the client. Only a refusal by the peer's own check proves that nothing was done:
 * gRPC says UNAVAILABLE both for what never left and for what was on its way when the connection broke.
 */
export function forwardFailed(to: NodeId, operation: ForwardOperation, failed: ServiceError): RaftkvError {
  const refused = failed.code === status.FAILED_PRECONDITION || failed.code === status.ABORTED;
  if (refused) return notReached(to);
  const why = failed.code === status.DEADLINE_EXCEEDED ? 'did not answer in time' : 'was lost on the way';
  return unanswered(to, operation, why);
}

/** @param why Completes "n2 was asked, and …". */
export function unanswered(to: NodeId, operation: ForwardOperation, why: string): RaftkvError {
  return operations[operation].changes
    ? new RaftkvError(
        'outcome_unknown',
        `${to} was asked to make the change, and ${why}; it may have been made.`,
      )
    : new RaftkvError('unavailable', `${to} was asked to answer as the leader, and ${why}.`);
}
