import { expect, it } from 'vitest';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import { AddressKeeper } from '../../src/node/address-keeper.js';
import { ADDRESS_REVIEW_MS } from '../../src/node/limits.js';
import type { PeerConnection } from '../../src/transport/contract.js';
import { NodeKit } from './node-kit.js';

/** The keeper of n1, a member of {n1, n2, n3}, with what the test knows of the others. */
function start(kit: NodeKit) {
  const world = {
    self: {
      cluster: 'c',
      id: 'n1',
      incarnation: 'n1-1',
      peerAddress: 'n1:7000',
      clientUrl: 'http://n1:8000',
      versions: SPOKEN_VERSIONS,
    },
    connections: [connectionTo('n2'), connectionTo('n3')],
  };
  const keeper = new AddressKeeper(
    kit.node,
    kit.clock,
    () => world.self,
    () => world.connections,
  );
  keeper.start();
  return { world, keeper };
}

const connectionTo = (id: string, changes: Partial<PeerConnection> = {}): PeerConnection => ({
  id,
  address: `${id}:7000`,
  state: 'connected',
  reason: '',
  clientUrl: `http://${id}:8000`,
  ...changes,
});

const addressOf = (kit: NodeKit, id: string) => {
  const member = kit.node.raft.configuration.members.find((candidate) => candidate.id === id);
  return [member?.peerAddress, member?.clientUrl];
};

/** Time passes until the next look of the keeper, and n2 answers all the while. */
async function review(kit: NodeKit): Promise<void> {
  for (let passed = 0; passed < ADDRESS_REVIEW_MS; passed += 100) {
    await kit.clock.pass(100);
    await kit.acknowledge(kit.node.raft.lastIndex);
  }
}

it('writes down where members are, this leader too, one change after the other', async () => {
  const kit = new NodeKit();
  await kit.lead();
  const { world } = start(kit);
  const { lastIndex } = kit.node.raft;
  await review(kit);
  expect(kit.node.raft.lastIndex).toBe(lastIndex);

  world.connections = [connectionTo('n2', { address: 'new:7000' }), connectionTo('n3')];
  world.self = { ...world.self, clientUrl: 'http://new:8000' };
  await review(kit);
  await review(kit);
  expect([addressOf(kit, 'n1'), addressOf(kit, 'n2')]).toEqual([
    ['n1:7000', 'http://new:8000'],
    ['new:7000', 'http://n2:8000'],
  ]);
});

it('believes neither what is not connected nor what it never heard', async () => {
  const kit = new NodeKit();
  await kit.lead();
  const { world } = start(kit);
  world.connections = [
    connectionTo('n2', { address: 'new:7000', state: 'connecting' }),
    connectionTo('n3', { clientUrl: '' }),
  ];
  const { lastIndex } = kit.node.raft;
  await review(kit);
  expect(kit.node.raft.lastIndex).toBe(lastIndex);
});

it('does nothing on a node that does not lead, and none at all once it is stopped', async () => {
  const kit = new NodeKit();
  const { world, keeper } = start(kit);
  world.connections = [connectionTo('n2', { address: 'new:7000' }), connectionTo('n3')];
  await kit.clock.pass(ADDRESS_REVIEW_MS);
  expect(kit.node.raft.lastIndex).toBe(1);
  keeper.stop();
  await kit.lead();
  const { lastIndex } = kit.node.raft;
  await review(kit);
  expect(kit.node.raft.lastIndex).toBe(lastIndex);
});
