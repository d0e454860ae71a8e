import { expectTypeOf, it } from 'vitest';
import type * as client from '../../src/client/index.js';
import type * as server from '../../src/http/port.js';

it('what the server answers is what the client library promises', () => {
  expectTypeOf<server.NodeStatus>().toExtend<client.NodeStatus>();
  expectTypeOf<server.MemberStatus>().toExtend<client.MemberStatus>();
  expectTypeOf<server.AddMemberResult>().toExtend<client.AddMemberResult>();
  expectTypeOf<server.SetMembersResult>().toExtend<client.SetMembersResult>();
  expectTypeOf<server.ClusterVersionStatus>().toExtend<client.ClusterVersionStatus>();
  expectTypeOf<server.MembershipPlan>().toExtend<client.MembershipPlan>();
  expectTypeOf<typeof globalThis.fetch>().toExtend<client.Fetch>();
});
