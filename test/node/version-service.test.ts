import { expect, it } from 'vitest';
import type { VersionRange } from '../../src/cluster-version.js';
import { RaftkvError } from '../../src/errors.js';
import type { VersionServiceParts } from '../../src/node/version-service.js';
import { VersionService } from '../../src/node/version-service.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger } from './fakes.js';

/** What a follower answers to a command of cluster version 2; the leader is n2, which speaks this, or is not connected. */
function outcome(clusterVersion: number, leaderSpeaks: VersionRange | undefined): string {
  const report = leaderSpeaks && { report: { incarnation: 'n2-1', versions: leaderSpeaks } };
  const parts: Partial<VersionServiceParts> = {
    node: { raft: { leader: 'n2' }, onLeaderChange: () => {} } as unknown as VersionServiceParts['node'],
    clock: new FakeClock(),
    logger: new FakeLogger(),
    clusterVersion: () => clusterVersion,
    connections: () => [{ id: 'n2', address: '', state: 'connected', reason: '', clientUrl: '', ...report }],
  };
  try {
    new VersionService(parts as VersionServiceParts).requireOfLeader(2, 'This add');
    return 'sent';
  } catch (error) {
    return error instanceof RaftkvError ? error.code : String(error);
  }
}

it('a command that an older leader would commit without being able to apply it is not sent there', () => {
  expect(outcome(1, { oldest: 1, newest: 1 })).toBe('cluster_not_upgraded');
  expect(outcome(1, undefined)).toBe('no_leader');
});

it('and is sent to one that checks it itself, also by a node that has not applied the raise yet', () => {
  expect(outcome(1, { oldest: 1, newest: 2 })).toBe('sent');
  expect(outcome(2, { oldest: 1, newest: 2 })).toBe('sent');
});
