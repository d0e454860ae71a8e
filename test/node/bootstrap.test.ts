import { describe, expect, it } from 'vitest';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import type { FirstStart } from '../../src/config.js';
import { RaftkvError } from '../../src/errors.js';
import { Bootstrap, type JoinRequest } from '../../src/node/bootstrap.js';
import {
  configurationOfVoters,
  decodeConfiguration,
  emptyConfiguration,
} from '../../src/raft/configuration.js';
import { LogStore } from '../../src/storage/log-store.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import type { Hello } from '../../src/transport/contract.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger } from './fakes.js';
import { Outcome } from './node-kit.js';

/** Machines that reach each other by address; each has a disk that outlives its process. */
class World {
  readonly clock = new FakeClock();
  readonly logger = new FakeLogger();
  private readonly running = new Map<string, { readonly bootstrap: Bootstrap; readonly log: LogStore }>();
  private readonly disks = new Map<string, MemoryDisk>();
  private incarnations = 0;
  join: (request: JoinRequest) => Promise<string> = () => Promise.reject(new Error('No cluster to join.'));

  /** Starts `id` at its address. `disk` names another disk than its own. */
  async start(
    id: string,
    firstStart: FirstStart,
    { disk = id, address = `${id}:7000` } = {},
  ): Promise<Bootstrap> {
    const log = await this.logOf(disk);
    const bootstrap = await Bootstrap.open(
      { id, peerAddress: address, clientUrl: `http://${id}:8000`, versions: SPOKEN_VERSIONS },
      firstStart,
      {
        log,
        transport: { handshake: (to, hello) => this.handshake(to, hello) },
        clock: this.clock,
        logger: this.logger,
        newIncarnation: () => {
          this.incarnations += 1;
          return `incarnation-${this.incarnations}`;
        },
        join: (request) => this.join(request),
      },
    );
    this.running.set(address, { bootstrap, log });
    return bootstrap;
  }

  async logOf(disk: string): Promise<LogStore> {
    const memory = this.disks.get(disk) ?? new MemoryDisk();
    this.disks.set(disk, memory);
    memory.crash();
    return LogStore.open(await memory.directory().open('log'));
  }

  stop(id: string): void {
    this.running.delete(`${id}:7000`);
  }

  wipe(id: string): void {
    this.stop(id);
    this.disks.delete(id);
  }

  private async handshake(to: string, hello: Hello): Promise<Hello> {
    const peer = this.running.get(to);
    if (peer === undefined) throw new RaftkvError('unavailable', `${to} does not answer.`);
    // Once the cluster is formed, its first configuration is in the log, and the core has it from there.
    const [first] = peer.log.entries;
    return peer.bootstrap.answer(hello, first ? decodeConfiguration(first.payload) : emptyConfiguration);
  }
}

const founding = (...ids: readonly string[]): FirstStart & { readonly kind: 'initialCluster' } => ({
  kind: 'initialCluster',
  members: ids.map((id) => ({ id, peerAddress: `${id}:7000` })),
});
const three = founding('n1', 'n2', 'n3');
const complete = (bootstrap: Bootstrap) => new Outcome(bootstrap.complete(new AbortController().signal));

describe('forming a cluster', () => {
  it('waits for all members, and then all write the same first entry and know the same cluster', async () => {
    const world = new World();
    const nodes = [await world.start('n1', three), await world.start('n2', three)];
    const outcomes = nodes.map(complete);
    await world.clock.pass(6000);
    expect(outcomes.map((outcome) => outcome.value)).toEqual(['waits', 'waits']);
    expect(nodes[0]?.waitingFor).toBe('forming the cluster, waiting for n3 (n3:7000)');
    expect(world.logger.lines).toContain('Still forming the cluster, waiting for n3 (n3:7000).');
    const last = await world.start('n3', three);
    outcomes.push(complete(last));
    await world.clock.pass(200);
    expect(outcomes.map((outcome) => outcome.value)).toEqual([undefined, undefined, undefined]);
    const clusters = [...nodes, last].map((node) => node.identity.cluster);
    expect(new Set(clusters).size).toBe(1);
    const entries = await Promise.all(['n1', 'n2', 'n3'].map(async (id) => (await world.logOf(id)).entries));
    expect(entries[1]).toEqual(entries[0]);
    expect(entries[2]).toEqual(entries[0]);
    const [first] = entries[0] ?? [];
    expect(first && decodeConfiguration(first.payload).voters).toEqual(['n1', 'n2', 'n3']);
  });

  it('alone asks nobody', async () => {
    const world = new World();
    const node = await world.start('n1', { kind: 'single' });
    expect(node.identity.cluster).toBe('');
    await node.complete(new AbortController().signal);
    expect(node.identity.cluster).toMatch(/^[0-9a-f]{16}$/);
  });

  it('refuses members that were told of different clusters', async () => {
    const world = new World();
    await world.start('n2', founding('n1', 'n2'));
    const outcome = complete(await world.start('n1', three));
    await world.clock.pass(100);
    expect(outcome.value).toBe('identity_conflict');
  });

  it('refuses another node at the address of a member', async () => {
    const world = new World();
    await world.start('n9', three, { address: 'n2:7000' });
    const outcome = complete(await world.start('n1', three));
    await world.clock.pass(100);
    expect(outcome.value).toBe('identity_conflict');
  });

  it('refuses to found a second cluster after a member was wiped, and says how to go on (row 16)', async () => {
    const world = new World();
    for (const id of ['n1', 'n2', 'n3']) complete(await world.start(id, three));
    await world.clock.pass(200);
    world.wipe('n3');
    const outcome = complete(await world.start('n3', three));
    await world.clock.pass(200);
    expect(outcome.value).toBe('identity_conflict');
    expect((await world.logOf('n3')).entries).toEqual([]);
  });
});

describe('who a node is', () => {
  it('is on disk before anything is said, and the same at the next start', async () => {
    const world = new World();
    const first = await world.start('n1', three);
    expect((await world.logOf('n1')).identity).toMatchObject({ id: 'n1', incarnation: 'incarnation-1' });
    const second = await world.start('n1', three);
    expect(second.identity.incarnation).toBe(first.identity.incarnation);
  });

  it('cannot change: a directory of another node is refused', async () => {
    const world = new World();
    await world.start('n1', three);
    await expect(world.start('n2', three, { disk: 'n1' })).rejects.toMatchObject({
      code: 'identity_conflict',
      message: expect.stringContaining('belongs to n1'),
    });
  });

  it('must be said at the first start: an empty directory without a flag may be a lost mount', async () => {
    const world = new World();
    await expect(world.start('n1', { kind: 'none' })).rejects.toMatchObject({ code: 'usage' });
    expect((await world.logOf('n1')).identity).toBeUndefined();
  });

  it('says what the flags of a first start mean once the directory knows its cluster', async () => {
    const world = new World();
    await (await world.start('n1', { kind: 'single' })).complete(new AbortController().signal);
    world.logger.entries.length = 0;
    for (const firstStart of [
      { kind: 'initialCluster', members: [{ id: 'n1', peerAddress: 'n1:7000' }] },
      { kind: 'join', endpoints: ['http://n2:8000'] },
    ] as const) {
      await (await world.start('n1', firstStart)).complete(new AbortController().signal);
    }
    expect(world.logger.lines).toEqual([
      expect.stringContaining('already: --initial-cluster does not change its members'),
      expect.stringContaining('already: --join is not used.'),
    ]);
  });

  it('needs no flag once the directory knows its cluster', async () => {
    const world = new World();
    const { identity } = await world.start('n1', { kind: 'single' }).then(async (node) => {
      await node.complete(new AbortController().signal);
      return node;
    });
    const again = await world.start('n1', { kind: 'none' });
    expect(again.identity).toEqual(identity);
    await again.complete(new AbortController().signal);
  });
});

describe('the answer to a handshake', () => {
  const hello = (content: Partial<Hello['identity']> = {}, initialCluster = ''): Hello => ({
    identity: {
      cluster: '',
      id: 'n2',
      incarnation: 'n2-1',
      peerAddress: 'n2:7000',
      clientUrl: 'http://n2:8000',
      versions: SPOKEN_VERSIONS,
      ...content,
    },
    initialCluster,
  });
  const member = { id: 'n2', incarnation: 'n2-1', peerAddress: 'n2:7000', clientUrl: '' };
  const running = async () => {
    const node = await new World().start('n1', { kind: 'single' });
    await node.complete(new AbortController().signal);
    return node;
  };

  it('tells a member who this is', async () => {
    const node = await running();
    const answer = node.answer(hello({ cluster: node.identity.cluster }), configurationOfVoters([member]));
    expect(answer).toEqual({ identity: node.identity, initialCluster: '' });
  });

  const refusals: readonly [string, Hello, RegExp][] = [
    ['a node of another cluster', hello({ cluster: 'feedfeedfeedfeed' }), /n1 belongs to cluster/],
    ['another node of this name', hello({ id: 'n1', incarnation: 'other' }), /Two nodes are called n1/],
    ['a member that was wiped (row 16)', hello({ incarnation: 'n2-2' }), /raftkv member remove n2/],
    [
      'a stranger that would form a new cluster',
      hello({ id: 'n5' }, 'n1=n1:7000,n5=n5:7000'),
      /start it with --join/,
    ],
  ];
  for (const [who, greeting, sentence] of refusals) {
    it(`refuses ${who}`, async () => {
      const node = await running();
      expect(() => node.answer(greeting, configurationOfVoters([member]))).toThrow(sentence);
    });
  }
});

describe('joining', () => {
  const join: FirstStart = { kind: 'join', endpoints: ['http://n1:8000'] };

  it('asks until the cluster has added it, and has its id on disk then', async () => {
    const world = new World();
    const answers: (() => Promise<string>)[] = [
      () => Promise.reject(new RaftkvError('no_leader', 'No leader is known.')),
      () => Promise.reject(new RaftkvError('outcome_unknown', 'It is not known.')),
      () => Promise.resolve('0123456789abcdef'),
    ];
    const requests: JoinRequest[] = [];
    world.join = (request) => {
      requests.push(request);
      return answers.shift()?.() ?? Promise.reject(new Error('It was added already.'));
    };
    const node = await world.start('n4', join);
    const outcome = complete(node);
    await world.clock.pass(2000);
    expect([outcome.value, node.identity.cluster]).toEqual([undefined, '0123456789abcdef']);
    expect(new Set(requests.map((request) => request.incarnation)).size).toBe(1);
    const log = await world.logOf('n4');
    expect([log.identity?.cluster, log.entries, log.hardState.term]).toEqual(['0123456789abcdef', [], 0]);
  });

  it('gives up when the cluster refuses it', async () => {
    const world = new World();
    world.join = () =>
      Promise.reject(new RaftkvError('member_exists', 'n4 is bound to another incarnation.'));
    const outcome = complete(await world.start('n4', join));
    await world.clock.pass(100);
    expect(outcome.value).toBe('member_exists');
  });
});

describe('a founding member whose disk is new', () => {
  /** Three nodes that have formed a cluster, and the second of them with an empty disk. */
  async function withLostDisk(world: World): Promise<string> {
    const nodes = await Promise.all(['n1', 'n2', 'n3'].map((id) => world.start(id, three)));
    const outcomes = nodes.map(complete);
    await world.clock.pass(2000);
    expect(outcomes.map(({ value }) => value)).toEqual([undefined, undefined, undefined]);
    world.wipe('n2');
    return nodes[0]?.identity.cluster ?? '';
  }

  it('waits for its removal, says once what to do, and then joins by itself', async () => {
    const world = new World();
    const cluster = await withLostDisk(world);
    let isRemoved = false;
    world.join = () =>
      isRemoved
        ? Promise.resolve(cluster)
        : Promise.reject(new RaftkvError('member_exists', 'n2 is bound to another incarnation.'));
    const node = await world.start('n2', { ...three, join: ['http://n1:8000', 'http://n3:8000'] });
    const outcome = complete(node);
    await world.clock.pass(30_000);
    expect([outcome.value, node.identity.cluster]).toEqual(['waits', '']);
    expect(node.waitingFor).toContain('raftkv member remove n2');
    const advice = world.logger.lines.filter((line) => line.includes('raftkv member remove n2'));
    expect(advice).toHaveLength(1);
    isRemoved = true;
    await world.clock.pass(2_000);
    expect([outcome.value, node.identity.cluster, node.founded]).toEqual([undefined, cluster, false]);
  });

  it('gives up where it was told of no URL to ask', async () => {
    const world = new World();
    await withLostDisk(world);
    const outcome = complete(await world.start('n2', three));
    await world.clock.pass(2000);
    expect(outcome.value).toBe('identity_conflict');
  });
});
