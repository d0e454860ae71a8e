import type { Answer, Call } from './call.js';
import type { MemberStatus } from './cluster-types.js';
import { textOf } from './wire.js';

/** The question for the members, as any member answers it. */
export const membersCall: Call = {
  method: 'GET',
  path: '/v1/members',
  where: 'anywhere',
  repeat: 'always',
};

export interface MembersAnswer {
  readonly members: readonly MemberStatus[];
  /** The id of the node that answered, and of its cluster; null where the node is of a version that does not name it. */
  readonly node: string | null;
  readonly cluster: string | null;
}

export function membersIn({ headers, body }: Answer): MembersAnswer {
  const { members }: { readonly members: readonly MemberStatus[] } = JSON.parse(textOf(body));
  return { members, node: headers.get('Raftkv-Node'), cluster: headers.get('Raftkv-Cluster') };
}

/** Whether the node that answered is a member: one that was removed knows the members of that time only. */
export function isMember({ members, node }: MembersAnswer): boolean {
  return node === null || members.some(({ id }) => id === node);
}
