import type { Call } from './call.js';
import type { MembershipChange } from './cluster-types.js';
import { patience } from './key-values.js';
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
