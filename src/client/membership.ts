import type { Call } from './call.js';
import type { Caller } from './caller.js';
import type { MemberStatus, MembershipChange } from './cluster-types.js';
import { RaftkvClientError } from './errors.js';
import { patience } from './key-values.js';
import { isMember, membersCall, membersIn } from './members-call.js';
import type { CallOptions } from './options.js';
import { namePath } from './wire.js';

/**
 * The call that makes a change of the membership, or plans it. A change is sent once: the server knows no idempotency keys
 * for it, and a repeat could undo what somebody else did meanwhile.
 */
export function membershipCall(change: MembershipChange, plan: boolean, options: CallOptions): Call {
  const { query, ...request } = requestOf(change);
  return {
    ...request,
    ...patience(options),
    query: { ...query, ...(plan ? { plan: true } : {}) },
    where: 'leader',
    repeat: plan ? 'always' : 'never',
  };
}

function requestOf(change: MembershipChange): Pick<Call, 'method' | 'path' | 'query' | 'body'> {
  switch (change.kind) {
    case 'add':
      return { method: 'POST', path: '/v1/members', body: JSON.stringify(change.member) };
    case 'remove':
      return { method: 'DELETE', path: namePath('/v1/members', change.id), query: forced(change.force) };
    case 'promote':
      return { method: 'POST', path: `${namePath('/v1/members', change.id)}/promote` };
    case 'set':
      return {
        method: 'PUT',
        path: '/v1/members',
        query: forced(change.force),
        body: JSON.stringify({ members: change.members }),
      };
  }
}

function forced(force: boolean | undefined): Call['query'] & object {
  return { force: force === true ? true : undefined };
}

/** The members, as a member sees them: a node that was removed knows those of that time, and nothing of their health. */
export async function membersOf(caller: Caller, options: CallOptions): Promise<readonly MemberStatus[]> {
  const call = { ...membersCall, ...patience(options) };
  const first = membersIn(await caller.call(call));
  if (isMember(first)) return first.members;
  for (const endpoint of caller.endpoints.all) {
    try {
      const answer = membersIn(await caller.callOnce(endpoint, call));
      if (isMember(answer)) return answer.members;
    } catch (error) {
      if (!(error instanceof RaftkvClientError)) throw error;
    }
  }
  throw new RaftkvClientError(
    'not_a_member',
    `${first.node} was removed from the cluster, or has not joined it yet, and cannot tell its members. Ask another node: of ` +
      'the endpoints that are given, no member answers.',
  );
}
