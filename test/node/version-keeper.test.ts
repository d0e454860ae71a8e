import { describe, expect, it } from 'vitest';
import type { VersionRange } from '../../src/cluster-version.js';
import { RaftkvError } from '../../src/errors.js';
import type { Command, CommandResult } from '../../src/kv/types.js';
import { NEW_CLUSTER_REVIEW_MS, VERSION_REVIEW_MS } from '../../src/node/limits.js';
import { VersionKeeper } from '../../src/node/version-keeper.js';
import type { Raft } from '../../src/raft/raft.js';
import type { PeerConnection } from '../../src/transport/contract.js';
import { threeVoters } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger } from './fakes.js';
import { Outcome } from './node-kit.js';

const DELAY_MS = 60_000;
const old = { oldest: 1, newest: 1 };
const present = { oldest: 1, newest: 2 };

/** The keeper of n1, a member of {n1, n2, n3}; the test says what the others speak and what became of a raise. */
function start({ founded = false, delayMs = DELAY_MS } = {}) {
  const clock = new FakeClock();
  const logger = new FakeLogger();
  const listeners: (() => void)[] = [];
  const raft: Pick<Raft, 'role' | 'term' | 'configuration' | 'lastIndex'> = {
    role: 'follower',
    term: 3,
    lastIndex: 5,
    configuration: threeVoters,
  };
  const lead = async () => {
    Object.assign(raft, { role: 'leader', term: raft.term + 1 });
    for (const listener of listeners) listener();
    await clock.settle();
  };
  const world = {
    connections: [connectionTo('n2', present), connectionTo('n3', present)],
    clusterVersion: 1,
    held: false,
    proposed: [] as Command[],
    finish: (_result: CommandResult) => {},
    fail: (_error: RaftkvError) => {},
    appliedIndex: 4,
  };
  const keeper = new VersionKeeper({
    node: { raft, onLeaderChange: (listener) => void listeners.push(listener) },
    clock,
    logger,
    identity: () => ({
      cluster: 'c',
      id: 'n1',
      incarnation: 'n1-1',
      peerAddress: '',
      clientUrl: '',
      versions: present,
    }),
    connections: () => world.connections,
    clusterVersion: () => world.clusterVersion,
    appliedIndex: () => world.appliedIndex,
    isHeld: () => world.held,
    delayMs,
    founded,
    propose: (command) => {
      world.proposed.push(command);
      return new Promise((resolve, reject) => {
        world.fail = reject;
        world.finish = (result) => {
          if (result.kind === 'versionRaised') world.clusterVersion = result.clusterVersion;
          resolve(result);
        };
      });
    },
  });
  keeper.start();
  return { clock, lead, logger, world, keeper, raft };
}

function connectionTo(id: string, versions?: VersionRange, incarnation = `${id}-1`): PeerConnection {
  return {
    id,
    address: `${id}:7000`,
    state: versions ? 'connected' : 'connecting',
    reason: '',
    clientUrl: '',
    ...(versions && { report: { incarnation, versions } }),
  };
}

const raise = { kind: 'raiseVersion', version: 2, unlessHeld: true };
const raised = { kind: 'versionRaised', revision: 0, clusterVersion: 2 } as const;

describe('the automatic raise', () => {
  it('comes once all members have spoken the version for the delay', async () => {
    const { clock, lead, world, keeper } = start();
    await lead();
    await clock.pass(DELAY_MS - 2 * VERSION_REVIEW_MS);
    expect(world.proposed).toEqual([]);
    const { raiseInMs } = keeper.status();
    expect(raiseInMs).toBeGreaterThan(0);
    expect(raiseInMs).toBeLessThan(4 * VERSION_REVIEW_MS);
    await clock.pass(4 * VERSION_REVIEW_MS);
    expect(world.proposed).toEqual([raise]);
    expect(keeper.raisingTo).toBe(2);
    world.finish(raised);
    await clock.pass(10 * VERSION_REVIEW_MS);
    expect(world.proposed).toEqual([raise]);
    expect([keeper.raisingTo, keeper.status().raiseInMs]).toEqual([null, null]);
  });

  it.each([
    ['is not connected', connectionTo('n3')],
    ['runs an older program', connectionTo('n3', old)],
    ['answers as another incarnation', connectionTo('n3', present, 'n3-2')],
  ])('does not come while a member %s', async (_, connection) => {
    const { clock, lead, world } = start({ delayMs: 0 });
    world.connections = [connectionTo('n2', present), connection];
    await lead();
    await clock.pass(10 * VERSION_REVIEW_MS);
    expect(world.proposed).toEqual([]);
    world.connections = [connectionTo('n2', present), connectionTo('n3', present)];
    await clock.pass(2 * VERSION_REVIEW_MS);
    expect(world.proposed).toEqual([raise]);
  });

  it('counts the delay anew when a member was away', async () => {
    const { clock, lead, world } = start();
    await lead();
    await clock.pass(DELAY_MS - 5 * VERSION_REVIEW_MS);
    const connected = world.connections;
    world.connections = [connectionTo('n2', present), connectionTo('n3')];
    await clock.pass(2 * VERSION_REVIEW_MS);
    world.connections = connected;
    await clock.pass(DELAY_MS - 5 * VERSION_REVIEW_MS);
    expect(world.proposed).toEqual([]);
    await clock.pass(7 * VERSION_REVIEW_MS);
    expect(world.proposed).toEqual([raise]);
  });

  it('does not come while it is held, and not from a node that does not lead', async () => {
    const { clock, lead, world } = start({ delayMs: 0 });
    world.held = true;
    await clock.pass(5 * VERSION_REVIEW_MS);
    await lead();
    await clock.pass(5 * VERSION_REVIEW_MS);
    expect(world.proposed).toEqual([]);
    world.held = false;
    await clock.pass(2 * VERSION_REVIEW_MS);
    expect(world.proposed).toEqual([raise]);
  });

  it('comes at once in a new cluster', async () => {
    const { clock, lead, world } = start({ founded: true });
    world.connections = [connectionTo('n2', present), connectionTo('n3')];
    await lead();
    await clock.pass(5 * VERSION_REVIEW_MS);
    expect(world.proposed).toEqual([]);
    world.connections = [connectionTo('n2', present), connectionTo('n3', present)];
    await clock.pass(2 * NEW_CLUSTER_REVIEW_MS);
    expect(world.proposed).toEqual([raise]);
  });

  it('waits in a new cluster in which a member ran an older program', async () => {
    const { clock, lead, world } = start({ founded: true });
    world.connections = [connectionTo('n2', present), connectionTo('n3', old)];
    await lead();
    await clock.pass(VERSION_REVIEW_MS);
    world.connections = [connectionTo('n2', present), connectionTo('n3', present)];
    await clock.pass(DELAY_MS / 2);
    expect(world.proposed).toEqual([]);
    await clock.pass(DELAY_MS);
    expect(world.proposed).toEqual([raise]);
  });
});

describe('the raise by command', () => {
  it('does not wait, held or not', async () => {
    const { clock, lead, world, keeper } = start();
    world.held = true;
    await lead();
    const outcome = new Outcome(keeper.raise(2, 1000));
    expect(world.proposed).toEqual([{ kind: 'raiseVersion', version: 2 }]);
    world.finish(raised);
    await clock.settle();
    expect(outcome.value).toBe(2);
    await expect(keeper.raise(2, 1000)).resolves.toBe(2);
    expect(world.proposed).toEqual([{ kind: 'raiseVersion', version: 2 }]);
  });

  it('names the members that do not speak the version', async () => {
    const { lead, world, keeper } = start();
    world.connections = [connectionTo('n2', old), connectionTo('n3')];
    await lead();
    await expect(keeper.raise(2, 1000)).rejects.toMatchObject({
      code: 'cluster_not_upgraded',
      message: expect.stringContaining('n2 speaks version 1; n3 is not connected'),
      data: { clusterVersion: 1, missing: ['n2', 'n3'] },
    });
    await expect(keeper.raise(3, 1000)).rejects.toMatchObject({ data: { missing: ['n1', 'n2', 'n3'] } });
    expect(world.proposed).toEqual([]);
  });
});

describe('a raise whose outcome is not known', () => {
  const unknown = new RaftkvError('outcome_unknown', 'It is in the log.');
  async function unknownRaise() {
    const kit = start({ delayMs: 0 });
    await kit.lead();
    await kit.clock.pass(2 * VERSION_REVIEW_MS);
    kit.world.fail(unknown);
    await kit.clock.settle();
    expect(kit.keeper.raisingTo).toBe(2);
    return kit;
  }

  it('may take effect until the log up to there is applied, and is proposed again only then', async () => {
    const { clock, world, keeper } = await unknownRaise();
    await clock.pass(5 * VERSION_REVIEW_MS);
    expect([keeper.raisingTo, world.proposed]).toEqual([2, [raise]]);
    world.appliedIndex = 5;
    expect(keeper.raisingTo).toBe(null);
    await clock.pass(2 * VERSION_REVIEW_MS);
    expect(world.proposed).toEqual([raise, raise]);
  });

  it('is no concern of this node any more once it leads in another term', async () => {
    const { keeper, raft } = await unknownRaise();
    Object.assign(raft, { term: raft.term + 1 });
    expect(keeper.raisingTo).toBe(null);
  });

  it('stays one although another raise fails for certain', async () => {
    const { world, keeper, clock } = await unknownRaise();
    const second = new Outcome(keeper.raise(2, 1000));
    world.fail(new RaftkvError('overloaded', 'Too much waits.'));
    await clock.settle();
    expect([second.value, keeper.raisingTo]).toEqual(['overloaded', 2]);
  });
});

it('says what each member speaks, and why nothing is known of it', async () => {
  const { lead, world, keeper } = start();
  world.connections = [
    connectionTo('n2', old),
    { ...connectionTo('n3'), state: 'refused', reason: 'n3 is somebody else.' },
  ];
  await lead();
  expect(keeper.status()).toEqual({
    clusterVersion: 1,
    spokenByAll: 1,
    held: false,
    raiseInMs: null,
    members: [
      { id: 'n1', oldest: 1, newest: 2, reason: '' },
      { id: 'n2', oldest: 1, newest: 1, reason: '' },
      { id: 'n3', oldest: null, newest: null, reason: 'is refused: n3 is somebody else.' },
    ],
  });
});
