import { describe, expect, it } from 'vitest';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import { RaftkvError } from '../../src/errors.js';
import type { AddMemberRequest } from '../../src/http/port.js';
import { MembershipService } from '../../src/node/membership-service.js';
import type { Identity } from '../../src/transport/contract.js';
import { NodeKit, Outcome } from './node-kit.js';

const nobodyAnswers = () => Promise.reject(new RaftkvError('unavailable', 'Nobody answers.'));

/** The service of the leader n1 of {n1, n2, n3}; n2 answers, and n3 does when a test says so. */
async function start(greet: (address: string) => Promise<Identity> = nobodyAnswers, neededVersion = () => 1) {
  const kit = new NodeKit();
  await kit.lead();
  const self = { id: 'n1', clientUrl: 'http://n1:8000' };
  const service = new MembershipService(kit.node, kit.clock, self, () => [], greet, neededVersion);
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

  it('again is answered only when it is certain: what is not committed may be lost with this leader', async () => {
    const { kit, service, commit } = await start();
    const first = new Outcome(service.add(newcomer, 1000));
    const again = new Outcome(service.add(newcomer, 1000));
    await kit.clock.pass(300);
    expect([first.value, again.value]).toEqual(['waits', 'waits']);
    await commit();
    await kit.clock.pass(200);
    expect([first.value, again.value]).toEqual([true, false]);
  });

  it.each([
    ['peer address', { peer: 'n2:7000' }],
    ['client URL', { client: 'http://n2:8000' }],
  ])('at the %s of another member is refused', async (_, other) => {
    const { service, kit } = await start();
    const { lastIndex } = kit.node.raft;
    await expect(service.add({ ...newcomer, ...other }, 1000)).rejects.toMatchObject({
      code: 'member_exists',
    });
    expect(kit.node.raft.lastIndex).toBe(lastIndex);
  });

  it('is refused while many learners do not answer: wrong addresses must not use up connections', async () => {
    const { service, kit, commit, members } = await start();
    const learner = (number: number) => ({
      id: `x${number}`,
      incarnation: '',
      peer: `nowhere:${number}`,
      client: '',
    });
    for (let number = 1; number <= 16; number += 1) {
      const added = service.add(learner(number), 1000);
      await commit();
      await added;
    }
    await expect(service.add(learner(17), 1000)).rejects.toMatchObject({ code: 'too_many_learners' });
    const more = [17, 18].map((number) => ({ id: `x${number}`, peer: `nowhere:${number}` }));
    await expect(service.set(more, true, 1000)).rejects.toMatchObject({ code: 'too_many_learners' });
    expect(members()).toHaveLength(19);
    const removed = service.remove('x1', false, 1000);
    await commit();
    await removed;
    const added = new Outcome(service.add(learner(17), 1000));
    await commit();
    expect(added.value).toBe(true);
    expect(kit.node.raft.configuration.learners).toHaveLength(16);
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
    const late = new Outcome(
      service.add({ ...newcomer, id: 'n5', peer: 'n5:7000', client: 'http://n5:8000' }, 50),
    );
    const patient = new Outcome(
      service.add({ ...newcomer, id: 'n6', peer: 'n6:7000', client: 'http://n6:8000' }, 10_000),
    );
    await kit.clock.pass(80);
    expect(late.value).toBe('change_in_progress');
    await commit();
    await kit.clock.pass(40);
    await commit();
    expect(patient.value).toBe(true);
  });
});

describe('a change of the members that waits for its turn', () => {
  it('is not begun once its client has left', async () => {
    const { kit, service, members, commit } = await start();
    const first = new Outcome(service.add(newcomer, 1000));
    const client = new AbortController();
    const second = new Outcome(service.remove('n3', true, 3_600_000, client.signal));
    await kit.clock.pass(40);
    client.abort();
    await kit.clock.pass(40);
    expect([first.value, second.value]).toEqual(['waits', 'unavailable']);
    await commit();
    await kit.clock.pass(40);
    expect(members()).toEqual(['n1', 'n2', 'n3', 'n4']);
  });
});

describe('removing a member', () => {
  it('again is answered only when it is certain that it is gone', async () => {
    const { kit, service, commit } = await start();
    const first = new Outcome(service.remove('n3', false, 1000));
    const again = new Outcome(service.remove('n3', false, 1000));
    await kit.clock.pass(300);
    expect([first.value, again.value]).toEqual(['waits', 'waits']);
    await commit();
    await kit.clock.pass(200);
    expect(again.value).toBe('member_not_found');
  });

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

describe('setting the members', () => {
  const at = (...ids: readonly string[]) => ids.map((id) => ({ id, peer: `${id}:7000` }));

  /** The leader n1, and what a test does with those it waits for. */
  async function startSetting() {
    const world = await start();
    const { kit, service, commit } = world;
    const { raft } = kit.node;
    /** The node starts with --join and says who it is. */
    const join = async (id: string) => {
      const joined = service.add(
        { id, incarnation: `${id}-1`, peer: `${id}:7000`, client: `http://${id}:8000` },
        1000,
      );
      await commit();
      await joined;
    };
    /** They have all there is on disk. */
    const hold = async (...ids: readonly string[]) => {
      for (const id of ids) await kit.acknowledge(raft.lastIndex, id);
    };
    /** So much time that whoever keeps up would be promoted, if nothing held that back. */
    const passRounds = async (...ids: readonly string[]) => {
      for (let round = 0; round < 4; round += 1) {
        await kit.clock.pass(50);
        await hold('n2', ...ids);
      }
    };
    return { ...world, raft, join, hold, passRounds };
  }

  it('adds who is missing, waits until all of them keep up, and replaces the voters at once (row 15)', async () => {
    const { kit, service, raft, commit, join, hold, passRounds, members } = await startSetting();
    const set = new Outcome(service.set(at('n1', 'n4', 'n5'), false, 10_000));
    await commit();
    await commit();
    expect(raft.configuration).toMatchObject({ voters: ['n1', 'n2', 'n3'], learners: ['n4', 'n5'] });
    await join('n4');
    await hold('n4');
    await passRounds('n4');
    // n4 waits as a learner for n5, who has not been heard of.
    expect(raft.configuration).toMatchObject({ voters: ['n1', 'n2', 'n3'], learners: ['n4', 'n5'] });
    await join('n5');
    await hold('n5', 'n4');
    await kit.clock.pass(20);
    expect(raft.configuration.learners).toEqual(['n4', 'n5']);
    for (let round = 0; round < 20 && raft.configuration.outgoingVoters.length === 0; round += 1) {
      await hold('n2', 'n4', 'n5');
      await kit.clock.pass(10);
    }
    expect(raft.configuration).toMatchObject({
      voters: ['n1', 'n4', 'n5'],
      outgoingVoters: ['n1', 'n2', 'n3'],
      learners: [],
    });
    expect(members()).toEqual(['n1', 'n2', 'n3', 'n4', 'n5']);
    expect(service.view().map(({ id, role, leaving }) => [id, role, leaving])).toEqual([
      ['n1', 'voter', undefined],
      ['n2', 'voter', true],
      ['n3', 'voter', true],
      ['n4', 'voter', undefined],
      ['n5', 'voter', undefined],
    ]);

    // Nothing else is changed meanwhile.
    const other = new Outcome(service.remove('n3', true, 50));
    const again = new Outcome(service.set(at('n1'), true, 50));
    await kit.clock.pass(70);
    expect([other.value, again.value]).toEqual(['change_in_progress', 'change_in_progress']);

    await hold('n4', 'n2');
    expect(raft.configuration).toMatchObject({ voters: ['n1', 'n4', 'n5'], outgoingVoters: [] });
    expect(set.value).toBe('waits');
    await hold('n4');
    expect([set.value, members()]).toEqual([
      { voters: ['n1', 'n4', 'n5'], added: ['n4', 'n5'], removed: ['n2', 'n3'] },
      ['n1', 'n4', 'n5'],
    ]);
  });

  it('says who did not come in time; what was added stays a learner, like any other', async () => {
    const { kit, service, raft, commit, join, hold, passRounds } = await startSetting();
    const set = service.set(at('n1', 'n2', 'n4', 'n5'), false, 300);
    const outcome = new Outcome(set);
    await commit();
    await commit();
    await join('n4');
    await hold('n4');
    await passRounds('n4');
    await kit.clock.pass(150);
    expect(outcome.value).toBe('member_not_ready');
    await expect(set).rejects.toMatchObject({
      message: expect.stringMatching(/^n5 was never heard of, at n5:7000 .* as learners: n4, n5;/),
      data: { notReady: ['n4', 'n5'], learners: ['n4', 'n5'] },
    });
    expect(raft.configuration).toMatchObject({ voters: ['n1', 'n2', 'n3'], learners: ['n4', 'n5'] });
    await passRounds('n4');
    expect(raft.configuration).toMatchObject({ voters: ['n1', 'n2', 'n3', 'n4'], learners: ['n5'] });
  });

  it('tells who is silent, and who is behind', async () => {
    const { kit, service, commit, join, hold, passRounds } = await startSetting();
    const silent = service.set(at('n1', 'n2', 'n4'), false, 200);
    new Outcome(silent);
    await commit();
    await join('n4');
    await passRounds();
    await kit.clock.pass(20);
    await expect(silent).rejects.toMatchObject({
      message: expect.stringMatching(/^n4 does not answer at n4:7000/),
    });

    const behind = service.set(at('n1', 'n2', 'n4'), false, 400);
    new Outcome(behind);
    for (let round = 0; round < 9; round += 1) {
      await kit.propose('x');
      await kit.clock.pass(50);
      await hold('n2');
      await kit.acknowledge(round, 'n4');
    }
    await expect(behind).rejects.toMatchObject({
      message: expect.stringMatching(/^n4 is catching up and has \d+ entries to go/),
    });
  });

  it('is refused where the voters would have no live majority, unless it is forced', async () => {
    const { kit, service, raft, members } = await startSetting();
    await expect(service.set(at('n1', 'n3'), false, 1000)).rejects.toMatchObject({
      code: 'quorum_at_risk',
      data: { needed: 2, live: ['n1'] },
    });
    expect([members(), raft.lastIndex]).toEqual([['n1', 'n2', 'n3'], 2]);
    const forced = new Outcome(service.set(at('n1', 'n3'), true, 200));
    await kit.clock.settle();
    expect(raft.configuration.outgoingVoters).toEqual(['n1', 'n2', 'n3']);
    await kit.acknowledge(3);
    await kit.clock.pass(200);
    expect(forced.value).toBe('outcome_unknown');
  });

  it('that are the members already changes nothing', async () => {
    const { service, raft } = await startSetting();
    expect(await service.set(at('n3', 'n1', 'n2'), false, 1000)).toEqual({
      voters: ['n1', 'n2', 'n3'],
      added: [],
      removed: [],
    });
    expect(raft.lastIndex).toBe(2);
  });

  it('without this leader is answered although it steps down by it', async () => {
    const { service, kit, raft, hold } = await startSetting();
    await kit.acknowledge(2, 'n3');
    const set = new Outcome(service.set(at('n2', 'n3'), false, 1000));
    await kit.clock.settle();
    await hold('n2', 'n3');
    expect([raft.role, raft.configuration.voters, raft.configuration.outgoingVoters]).toEqual([
      'leader',
      ['n2', 'n3'],
      [],
    ]);
    await hold('n2', 'n3');
    expect([set.value, raft.role]).toEqual([
      { voters: ['n2', 'n3'], added: [], removed: ['n1'] },
      'follower',
    ]);
  });

  it('at another address than the one that is known is refused, before anything is added', async () => {
    const { service, raft } = await startSetting();
    const moved = [...at('n1', 'n4'), { id: 'n2', peer: 'elsewhere:7000' }];
    await expect(service.set(moved, false, 1000)).rejects.toMatchObject({ code: 'member_exists' });
    expect(raft.lastIndex).toBe(2);
  });

  it('at the address of another member is refused, before anything is added', async () => {
    const { kit, service } = await startSetting();
    const { lastIndex } = kit.node.raft;
    const taken = [...at('n1', 'n5'), { id: 'n4', peer: 'n3:7000' }];
    await expect(service.set(taken, false, 1000)).rejects.toMatchObject({ code: 'member_exists' });
    await expect(service.plan({ kind: 'set', members: taken }, 1000)).rejects.toMatchObject({
      code: 'member_exists',
    });
    expect(kit.node.raft.lastIndex).toBe(lastIndex);
  });

  it('ends when leadership is lost while it waits, and says what was added', async () => {
    const { kit, service, commit } = await startSetting();
    const set = service.set(at('n1', 'n2', 'n4'), false, 5000);
    new Outcome(set);
    await commit();
    await kit.hear('heartbeat', { term: 3, round: 1, commitIndex: 3 });
    await kit.clock.pass(40);
    await expect(set).rejects.toMatchObject({ code: 'no_leader', data: { learners: ['n4'] } });
  });

  it('ends when the client has left, and holds up no other change', async () => {
    const { kit, service, commit } = await startSetting();
    const client = new AbortController();
    const set = service.set(at('n1', 'n2', 'n4'), false, 3_600_000, client.signal);
    new Outcome(set);
    await commit();
    const meanwhile = service.set(at('n1', 'n2'), false, 1000);
    await expect(meanwhile).rejects.toMatchObject({ code: 'change_in_progress' });
    client.abort();
    await kit.clock.pass(40);
    await expect(set).rejects.toMatchObject({ code: 'unavailable', data: { learners: ['n4'] } });
    const next = new Outcome(service.set(at('n1', 'n2', 'n3'), false, 1000));
    await commit();
    await commit();
    await kit.clock.pass(40);
    await commit();
    expect(next.value).toMatchObject({ removed: ['n4'] });
  });
});

describe('adding a member in a cluster that has moved on', () => {
  const newest = (newest: number) => async () => ({
    ...identity,
    id: 'n4',
    incarnation: 'n4-1',
    versions: { oldest: 1, newest },
  });

  it('asks the node what it speaks, and adds one that speaks the version', async () => {
    const { kit, service, commit } = await start(newest(2), () => 2);
    const added = new Outcome(service.add(newcomer, 1000));
    await commit();
    expect([added.value, kit.node.raft.configuration.learners]).toEqual([true, ['n4']]);
  });

  it('refuses an older program, with a code that it knows and a sentence', async () => {
    const { kit, service } = await start(newest(1), () => 2);
    const { lastIndex } = kit.node.raft;
    await expect(service.add(newcomer, 1000)).rejects.toMatchObject({
      code: 'member_not_ready',
      message: expect.stringContaining('n4 speaks cluster version 1 and the cluster has moved to version 2'),
    });
    expect(kit.node.raft.lastIndex).toBe(lastIndex);
  });

  it('refuses what it cannot ask, and an address at which another node answers', async () => {
    const silent = await start(nobodyAnswers, () => 2);
    await expect(silent.service.add(newcomer, 1000)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('n1 cannot ask n4 which cluster version it speaks: Nobody answers.'),
    });
    const other = await start(
      async () => ({ ...identity, id: 'n9' }),
      () => 2,
    );
    await expect(other.service.add(newcomer, 1000)).rejects.toMatchObject({
      code: 'bad_request',
      message: expect.stringContaining('At n4:7000 answers n9'),
    });
  });

  it('waits until this leader knows what its predecessors may have raised', async () => {
    let version = 1;
    const { kit, service, members, commit } = await start(newest(1), () => version);
    let apply = () => {};
    kit.stateMachine.prepare = () =>
      new Promise((resolve) => {
        apply = resolve;
      });
    kit.propose('a command that was left');
    await commit();
    const added = new Outcome(service.add(newcomer, 1000));
    await kit.clock.settle();
    expect([added.value, members()]).toEqual(['waits', ['n1', 'n2', 'n3']]);
    version = 2;
    kit.stateMachine.prepare = () => undefined;
    apply();
    await kit.clock.settle();
    expect([added.value, members()]).toEqual(['member_not_ready', ['n1', 'n2', 'n3']]);
  });

  it('lets a node ask again that came while the version was being raised', async () => {
    let needed = 1;
    const { kit, service, commit } = await start(newest(2), () => needed);
    // Another change is under way, and the cluster moves on before it is committed.
    const first = new Outcome(
      service.add({ ...newcomer, id: 'n5', incarnation: 'n5-1', peer: 'n5:7000' }, 1000),
    );
    const second = new Outcome(service.add(newcomer, 1000));
    await kit.clock.settle();
    needed = 2;
    await commit();
    await kit.clock.pass(200);
    expect([first.value, second.value]).toEqual([true, 'change_in_progress']);
    expect(kit.node.raft.configuration.learners).toEqual(['n5']);
  });

  it('takes a member that is only named, because it gets nothing before it says who it is', async () => {
    const { kit, service, commit } = await start(nobodyAnswers, () => 2);
    const added = new Outcome(service.add({ ...newcomer, incarnation: '' }, 1000));
    await commit();
    expect([added.value, kit.node.raft.configuration.learners]).toEqual([true, ['n4']]);
  });
});

describe('planning', () => {
  it('tries to reach who is new, and changes nothing', async () => {
    const { kit, service } = await start(async (address) => {
      if (address === 'n4:7000') return { ...identity, id: 'n4' };
      if (address === 'n5:7000') return { ...identity, id: 'n9' };
      throw new RaftkvError('unavailable', `${address} did not answer: no connection.`);
    });
    const { lastIndex } = kit.node.raft;
    const members = ['n1', 'n4', 'n5', 'n6'].map((id) => ({ id, peer: `${id}:7000` }));
    const plan = await service.plan({ kind: 'set', members }, 1000);
    expect(plan.liveVotersAfter).toEqual(['n1', 'n4']);
    expect(plan.warnings).toEqual(
      expect.arrayContaining([
        'n5 cannot be reached yet: n9 answers at n5:7000. It counts for nothing until it is.',
        'n6 cannot be reached yet: n6:7000 did not answer: no connection. It counts for nothing until it is.',
      ]),
    );
    expect(kit.node.raft.lastIndex).toBe(lastIndex);
  });
});

const identity = {
  cluster: 'c',
  id: '',
  incarnation: 'i',
  peerAddress: '',
  clientUrl: '',
  versions: SPOKEN_VERSIONS,
};

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

  it('is waited for no longer than the client stays', async () => {
    const { kit, service } = await start();
    const client = new AbortController();
    const transferred = new Outcome(service.transfer('n3', 3_600_000, client.signal));
    client.abort();
    await kit.clock.settle();
    expect(transferred.value).toBe('unavailable');
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
