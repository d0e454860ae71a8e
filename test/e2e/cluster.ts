import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach } from 'vitest';
import { present } from '../../src/assert.js';
import type { NodeStatus } from '../../src/http/port.js';
import { call, isReady, membersOf, put, statusOf } from './client.js';
import { freePorts } from './ports.js';
import { currentProgram, type Exit, type ProgramOptions, ProgramRun } from './program.js';
import { until } from './wait.js';

/** Lines of each node's log that a failed test shows. */
const LINES_SHOWN = 80;

export interface ClusterOptions extends ProgramOptions {
  /** Further flags of every node, such as `--log-entries-max`. */
  readonly flags?: readonly string[];
  /** Where nodes listen for their peers, which reach them at 127.0.0.1 all the same; there alone unless given. */
  readonly peerHost?: string;
  /** Where the cluster's directory is made; with the system's temporary files unless given. */
  readonly directory?: string;
}

/** One node: its addresses and its directory stay, its processes come and go. */
export class TestNode {
  readonly url: string;
  readonly peer: string;
  /** The newest of its processes. */
  run: ProgramRun | undefined;
  /** What its next process runs. */
  program: string;
  private readonly earlier: string[] = [];

  constructor(
    readonly id: string,
    readonly dataDirectory: string,
    readonly httpPort: number,
    readonly peerPort: number,
    private readonly options: ClusterOptions,
  ) {
    this.program = options.program ?? currentProgram;
    this.url = `http://127.0.0.1:${httpPort}`;
    this.peer = `127.0.0.1:${peerPort}`;
  }

  get isUp(): boolean {
    return this.run !== undefined && this.run.exit === undefined;
  }

  /** What `serve` needs to be this node. */
  get parameters(): readonly string[] {
    const { id, dataDirectory, httpPort, peerPort, peer } = this;
    const { peerHost } = this.options;
    return [
      ['serve', '--id', id, '--data-dir', dataDirectory],
      [
        '--http',
        `127.0.0.1:${httpPort}`,
        '--peer',
        peerHost === undefined ? peer : `${peerHost}:${peerPort}`,
      ],
      peerHost === undefined ? [] : ['--advertise-peer', peer],
      this.options.flags ?? [],
    ].flat();
  }

  /** @param flags How to start with an empty directory; none for one that knows its cluster. */
  start(flags: readonly string[] = []): ProgramRun {
    if (this.run !== undefined) this.earlier.push(this.run.output + this.run.errors);
    const { options, program } = this;
    this.run = new ProgramRun([...this.parameters, ...flags], { ...options, program });
    return this.run;
  }

  async kill(): Promise<void> {
    await this.run?.kill();
  }

  /** SIGTERM, and how it ended. */
  async stop(): Promise<Exit> {
    const run = present(this.run, `${this.id} runs.`);
    run.signal('SIGTERM');
    return run.ended();
  }

  status(): Promise<NodeStatus | undefined> {
    return statusOf(this.url);
  }

  get log(): string {
    return [...this.earlier, this.run?.output ?? '', this.run?.errors ?? ''].join('');
  }
}

/** Nodes on this machine, as real processes in a directory of their own. */
export class Cluster {
  readonly nodes: TestNode[] = [];

  private constructor(
    readonly directory: string,
    private readonly options: ClusterOptions,
  ) {}

  /** Makes the nodes n1, n2, … and starts none. */
  static async of(size: number, options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = new Cluster(await mkdtemp(join(options.directory ?? tmpdir(), 'raftkv-e2e-')), options);
    for (let count = 0; count < size; count += 1) await cluster.addNode();
    return cluster;
  }

  /** A running cluster that has elected a leader. */
  static async started(size: number, options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = await Cluster.of(size, options);
    try {
      for (const node of cluster.nodes) node.start(cluster.founding);
      await cluster.ready();
    } catch (error) {
      console.error(cluster.logs());
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  /** One more node, which is not started and not a member. */
  async addNode(options: ClusterOptions = this.options): Promise<TestNode> {
    const [http = 0, peer = 0] = await freePorts(2);
    const id = `n${this.nodes.length + 1}`;
    const node = new TestNode(id, join(this.directory, id), http, peer, options);
    this.nodes.push(node);
    return node;
  }

  /** A node of the same name and addresses whose disk is new. */
  async replacementOf(node: TestNode): Promise<TestNode> {
    await node.kill();
    await rm(node.dataDirectory, { recursive: true, force: true });
    const { id, dataDirectory, httpPort, peerPort } = node;
    const replacement = new TestNode(id, dataDirectory, httpPort, peerPort, this.options);
    this.nodes[this.nodes.indexOf(node)] = replacement;
    return replacement;
  }

  /** The same node with its disk at other addresses; stopped, and not started again yet. */
  async moved(node: TestNode): Promise<TestNode> {
    if (node.isUp) await node.stop();
    const [http = 0, peer = 0] = await freePorts(2);
    const moved = new TestNode(node.id, node.dataDirectory, http, peer, this.options);
    this.nodes[this.nodes.indexOf(node)] = moved;
    return moved;
  }

  /** The flags with which the nodes that there are now form a cluster. */
  get founding(): readonly string[] {
    if (this.nodes.length === 1) return ['--single'];
    return ['--initial-cluster', this.nodes.map((node) => `${node.id}=${node.peer}`).join(',')];
  }

  get running(): readonly TestNode[] {
    return this.nodes.filter((node) => node.isUp);
  }

  node(id: string): TestNode {
    return present(
      this.nodes.find((node) => node.id === id),
      `There is a node ${id}.`,
    );
  }

  /** Every running node knows its leader and has what is committed. */
  async ready(timeoutMs?: number): Promise<void> {
    await until(
      'every running node ready',
      async () => {
        const died = this.nodes.find((node) => node.run?.exit !== undefined && node.run.exit.code !== null);
        if (died?.run?.exit?.code) throw new Error(`${died.id} ended: ${died.run.errors}`);
        const answers = await Promise.all(this.running.map((node) => isReady(node.url)));
        return answers.every((ready) => ready) ? true : undefined;
      },
      timeoutMs,
    );
  }

  /** The running node that leads in the highest term; a deposed one may not know it yet. */
  async leader(timeoutMs?: number): Promise<TestNode> {
    return until(
      'a leader',
      async () => {
        const statuses = await Promise.all(this.running.map((node) => node.status()));
        const leaders = statuses.flatMap((status) => (status?.role === 'leader' ? [status] : []));
        const newest = leaders.toSorted((one, two) => two.term - one.term)[0];
        const known = statuses.filter((status) => status?.leader === newest?.id).length;
        return newest !== undefined && known * 2 > statuses.length ? this.node(newest.id) : undefined;
      },
      timeoutMs,
    );
  }

  async follower(): Promise<TestNode> {
    const leader = await this.leader();
    return present(
      this.running.find((node) => node !== leader),
      'A cluster that has a leader has followers, too.',
    );
  }

  /** Puts until it is certain that the value is there; for a value that may as well be put twice. */
  async put(key: string, value: string): Promise<number> {
    let turn = 0;
    return until(`the value of ${key} acknowledged`, async () => {
      const node = this.running[turn++ % this.running.length];
      const outcome = await put(present(node, 'A node runs.').url, key, value);
      return outcome.kind === 'done' ? outcome.revision : undefined;
    });
  }

  /** Waits until all running nodes have applied the same and no less than there is, and returns their digests. */
  async settled(timeoutMs?: number): Promise<ReadonlyMap<string, string>> {
    return until(
      'all nodes at one applied index',
      async () => {
        const statuses = await Promise.all(this.running.map((node) => node.status()));
        const first = statuses[0];
        if (first === undefined) return undefined;
        const settled = statuses.every(
          (status) =>
            status?.appliedIndex === first.appliedIndex &&
            status.lastIndex === first.lastIndex &&
            status.commitIndex === first.lastIndex &&
            status.appliedIndex === first.lastIndex,
        );
        if (!settled) return undefined;
        return new Map(statuses.flatMap((status) => (status ? [[status.id, status.digest] as const] : [])));
      },
      timeoutMs,
    );
  }

  /**
   * Removes a member through whoever leads, and asks again while the cluster is between two leaders or has not heard the others
   * lately, as the refusals say.
   */
  async removeMember(id: string): Promise<void> {
    await until(`${id} removed`, async () => {
      const { url } = await this.leader();
      const init = { method: 'DELETE' };
      const answer = await call(url, `/v1/members/${id}`, {}, init).catch(() => undefined);
      const text = await answer?.text();
      // An earlier request may have done it, whose answer was lost.
      if (answer === undefined || answer.status === 200 || answer.status === 404) return answer && true;
      if (answer.status >= 503 || text?.includes('"quorum_at_risk"')) return undefined;
      throw new Error(`${id} could not be removed: ${answer.status} ${text}`);
    });
  }

  /** Waits until these and no others are members, all of them voters. */
  async voters(...ids: readonly string[]): Promise<void> {
    await until(`the voters ${ids.join(', ')}`, async () => {
      const leader = await this.leader();
      const members = await membersOf(leader.url);
      const voters = members.filter((member) => member.role === 'voter').map((member) => member.id);
      return members.length === ids.length && ids.every((id) => voters.includes(id)) ? true : undefined;
    });
  }

  /** The end of each node's log. */
  logs(): string {
    return this.nodes
      .map((node) => `--- ${node.id}\n${node.log.trimEnd().split('\n').slice(-LINES_SHOWN).join('\n')}`)
      .join('\n');
  }

  /** Ends every process and removes every file. */
  async remove(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Shows what the nodes said when a test of this file fails. */
export function showLogsOfFailures(cluster: () => Cluster | undefined): void {
  beforeEach(({ onTestFailed }) => {
    onTestFailed(() => console.error(cluster()?.logs() ?? 'There is no cluster.'));
  });
}
