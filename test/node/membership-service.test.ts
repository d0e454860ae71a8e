import { describe, expect, it } from 'vitest';
import type { AddMemberRequest } from '../../src/http/port.js';
import { MembershipService } from '../../src/node/membership-service.js';
import { NodeKit, Outcome } from './node-kit.js';

/** The service of the leader n1 of {n1, n2, n3}; n2 answers, and n3 does when a test says so. */
async function start() {
  const kit = new NodeKit();
  await kit.lead();
  const self = { id: 'n1', clientUrl: 'http://n1:8000' };
  const service = new MembershipService(kit.node, kit.clock, self, () => []);
  const members = () => kit.node.raft.configuration.members.map((member) => member.id);
  /** n2 acknowledges all there is, so that what was proposed is committed. */
  const commit = async () => {
    await kit.clock.settle();
    await kit.acknowledge(kit.node.raft.lastIndex);
  };
  return { kit, service, members, commit };
}

const newcomer: AddMemberRequest = {
  id: 'n4',
  incarnation: 'n4-1',
  peer: 'n4:7000',
  client: 'http://n4:8000',
};

describe('adding a member', () => {
  it('makes it a learner, and is done when that is committed', async () => {
    const { kit, service, commit } = await start();
    const added = new Outcome(service.add(newcomer, 1000));
    await kit.clock.settle();
    expect(added.value).toBe('waits');
    await commit();
    expect([added.value, kit.node.raft.configuration.learners]).toEqual([true, ['n4']]);
  });

  it('again changes nothing, because a joining node asks until it is answered', async () => {
    const { kit, service, commit } = await start();
    const first = service.add(newcomer, 1000);
    await commit();
    await first;
    const { lastIndex } = kit.node.raft;
    expect(await service.add(newcomer, 1000)).toBe(false);
    expect(kit.node.raft.lastIndex).toBe(lastIndex);
  });

  it('takes a new address from the node itself', async () => {
    const { kit, service, commit } = await start();
    const moved = service.add({ ...newcomer, id: 'n2', incarnation: 'n2-1', peer: 'new:7000' }, 1000);
    await commit();
    expect(await moved).toBe(true);
    expect(kit.node.raft.configuration.members[1]?.peerAddress).toBe('new:7000');
    expect(kit.node.raft.configuration.voters).toEqual(['n1', 'n2', 'n3']);
  });

  it('refuses a new address from anybody else', async () => {
    const { service } = await start();
    const request = { ...newcomer, id: 'n2', incarnation: '', peer: 'new:7000' };
    await expect(service.add(request, 1000)).rejects.toMatchObject({ code: 'member_exists' });
  });

  it('refuses another incarnation of a member: its disk is not the one that promised (row 16)', async () => {
    const { service } = await start();
    await expect(service.add({ ...newcomer, id: 'n2', incarnation: 'n2-2' }, 1000)).rejects.toMatchObject({
      code: 'member_exists',
    });
  });

  it('binds one that was added by hand to the first incarnation that comes', async () => {
    const { kit, service, commit } = await start();
    const byHand = service.add({ ...newcomer, incarnation: '', client: '' }, 1000);
    await commit();
    await byHand;
    const joined = service.add(newcomer, 1000);
    await commit();
    await joined;
    expect(kit.node.raft.configuration.members[3]).toMatchObject({
      incarnation: 'n4-1',
      clientUrl: 'http://n4:8000',
    });
  });

  it('waits for another change, and says so when that takes too long (row 13)', async () => {
    const { kit, service, commit } = await start();
    new Outcome(service.add(newcomer, 10_000));
    await kit.clock.settle();
    const late = new Outcome(service.add({ ...newcomer, id: 'n5' }, 50));
    const patient = new Outcome(service.add({ ...newcomer, id: 'n6' }, 10_000));
    await kit.clock.pass(80);
    expect(late.value).toBe('change_in_progress');
    await commit();
    await kit.clock.pass(40);
    await commit();
    expect(patient.value).toBe(true);
  });
});

describe('removing a member', () => {
  it('is done when it is committed', async () => {
    const { service, members, commit } = await start();
    const removed = service.remove('n3', false, 1000);
    await commit();
    await removed;
    expect(members()).toEqual(['n1', 'n2']);
  });

  it('is refused when the others would have no live majority, unless it is forced', async () => {
    const { kit, service, members } = await start();
    // n3 never answered, so without n2 one of two is alive.
    await expect(service.remove('n2', false, 1000)).rejects.toMatchObject({
      code: 'quorum_at_risk',
      data: { needed: 2, live: ['n1'] },
    });
    expect(members()).toEqual(['n1', 'n2', 'n3']);
    const forced = service.remove('n2', true, 1000);
    await kit.clock.settle();
    await kit.acknowledge(kit.node.raft.lastIndex, 'n3');
    await forced;
    expect(members()).toEqual(['n1', 'n3']);
  });

  it('of the leader itself is answered although it steps down by it', async () => {
    const { kit, service } = await start();
    await kit.acknowledge(2, 'n3');
    const removed = new Outcome(service.remove('n1', false, 1000));
    await kit.clock.settle();
    await kit.acknowledge(3);
    await kit.acknowledge(3, 'n3');
    expect([removed.value, kit.node.raft.role]).toEqual([undefined, 'follower']);
  });

  it('that does not exist, or is the last voter, is refused', async () => {
    const { kit, service, commit } = await start();
    await expect(service.remove('n9', true, 1000)).rejects.toMatchObject({ code: 'member_not_found' });
    for (const id of ['n3', 'n2']) {
      const removed = service.remove(id, true, 1000);
      await commit();
      await removed;
    }
    await expect(service.remove('n1', true, 1000)).rejects.toMatchObject({ code: 'quorum_at_risk' });
    expect(kit.node.raft.role).toBe('leader');
  });
});

describe('promoting a learner by hand', () => {
  it('is refused while it has taken nothing: a mistyped address must not cost the quorum (row 15)', async () => {
    const { service, commit } = await start();
    const added = service.add(newcomer, 1000);
    await commit();
    await added;
    await expect(service.promote('n4', 1000)).rejects.toMatchObject({ code: 'quorum_at_risk' });
  });

  it('makes one that answers a voter, and a voter stays what it is', async () => {
    const { kit, service, commit } = await start();
    const added = service.add(newcomer, 1000);
    await commit();
    await added;
    await kit.acknowledge(3, 'n4');
    const promoted = service.promote('n4', 1000);
    await kit.clock.settle();
    await kit.acknowledge(4);
    await kit.acknowledge(4, 'n4');
    await promoted;
    expect(kit.node.raft.configuration.voters).toContain('n4');
    await service.promote('n4', 1000);
    expect(kit.node.raft.lastIndex).toBe(4);
  });
});

describe('handing leadership over', () => {
  it('is done when another leads', async () => {
    const { kit, service } = await start();
    const transferred = new Outcome(service.transfer('n2', 1000));
    await kit.hear('heartbeat', { term: 3, round: 1, commitIndex: 2 });
    expect(transferred.value).toBe('n2');
  });

  it('to this node is done already, to nobody is refused, and fails in time', async () => {
    const { kit, service } = await start();
    expect(await service.transfer('n1', 1000)).toBe('n1');
    await expect(service.transfer('n9', 1000)).rejects.toMatchObject({ code: 'member_not_found' });
    const late = new Outcome(service.transfer('n3', 100));
    await kit.clock.pass(100);
    expect(late.value).toBe('unavailable');
  });
});

describe('the members as the leader sees them', () => {
  it('say who is healthy, who is silent and who never started', async () => {
    const { service, commit } = await start();
    const added = service.add({ ...newcomer, incarnation: '' }, 1000);
    await commit();
    await added;
    expect(service.view().map(({ id, role, health }) => [id, role, health])).toEqual([
      ['n1', 'voter', 'healthy'],
      ['n2', 'voter', 'healthy'],
      ['n3', 'voter', 'unreachable'],
      ['n4', 'learner', 'never started'],
    ]);
  });
});
