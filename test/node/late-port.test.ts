import { describe, expect, it } from 'vitest';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import type { NodePort } from '../../src/http/port.js';
import { LatePort } from '../../src/node/late-port.js';

const identity = () => ({
  cluster: '',
  id: 'n1',
  incarnation: 'i',
  peerAddress: 'p:1',
  clientUrl: 'http://c',
  versions: SPOKEN_VERSIONS,
});

it('who waits hears when the node serves, and from then on what the node tells', () => {
  const port = new LatePort(
    identity,
    () => '',
    () => [],
    '1.2.3',
    'follower',
  );
  let heard = 0;
  port.onRouteChange(() => {
    heard += 1;
  });
  let tell = (): void => {};
  port.open({ onRouteChange: (listener: () => void) => (tell = listener) } as unknown as NodePort);
  expect(heard).toBe(1);
  tell();
  expect(heard).toBe(2);
});

describe('a node that does not know its cluster yet', () => {
  it.each(['learner', 'follower'] as const)('says what it waits for, as a %s', (role) => {
    const port = new LatePort(
      identity,
      () => 'waiting for n2',
      () => [],
      '1.2.3',
      role,
    );
    expect(port.status()).toMatchObject({
      id: 'n1',
      cluster: '',
      role,
      leader: null,
      version: '1.2.3',
      reason: 'This node is waiting for n2.',
    });
    expect(port.readiness()).toEqual({ ready: false, reason: 'waiting for n2' });
    expect(port.route()).toEqual({ kind: 'noLeader', isStarting: true });
    expect(() => port.get(new Uint8Array(1), undefined)).toThrow(
      expect.objectContaining({ code: 'no_leader' }),
    );
  });
});
