import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { present } from '../../src/assert.js';
import { createSecretFile } from '../../src/cli/secret.js';
import type { NodeStatus } from '../../src/http/port.js';
import { isReady, membersOf, put, statusOf } from '../e2e/client.js';
import { ProgramRun } from '../e2e/program.js';
import { until } from '../e2e/wait.js';
import type { FaultNetwork } from './network.js';
import { limit } from './time-limits.js';

/** How long a single call may take that asks whether a node serves clients again. */
const CALL_TIMEOUT_MS = 1000;

/** Told of every process that starts and ends, so that somebody else can end those that are left when this one dies. */
export type ProcessWatch = (pid: number, isRunning: boolean) => void;

/** One node: its place and its directory stay, its processes come and go. */
export class FaultNode {
  readonly url: string;
  readonly peer: string;
  run: ProgramRun | undefined;
  /** How its next process makes sure who its peers are. */
  peerFlags: readonly string[];
  private readonly earlier: string[] = [];

  constructor(
    readonly id: string,
    readonly dataDirectory: string,
    private readonly network: FaultNetwork,
    secretFile: string,
    private readonly watch: ProcessWatch,
  ) {
    this.peerFlags = ['--cluster-secret-file', secretFile];
    const { host, httpPort, peerPort } = network.place(id);
    this.url = `http://${host}:${httpPort}`;
    this.peer = `${host}:${peerPort}`;
  }

  get isUp(): boolean {
    return this.run !== undefined && this.run.exit === undefined;
  }

  /** @param flags How to start with an empty directory; none for one that knows its cluster. */
  start(flags: readonly string[] = []): ProgramRun {
    if (this.run !== undefined) this.earlier.push(this.run.output, this.run.errors, '--- started again\n');
    const { host, httpPort, launcher, runtimeFlags, environment } = this.network.place(this.id);
    const run = new ProgramRun(
      [
        ['serve', '--id', this.id, '--data-dir', this.dataDirectory],
        ['--http', `${host}:${httpPort}`, '--peer', this.peer],
        this.peerFlags,
        flags,
      ].flat(),
      { launcher, runtimeFlags, environment },
    );
    this.run = run;
    this.watch(run.pid, true);
    void run.exited.then(() => this.watch(run.pid, false));
    return run;
  }

  signal(signal: NodeJS.Signals): void {
    this.run?.signal(signal);
  }

  async kill(): Promise<void> {
    await this.run?.kill();
  }

  async wipe(): Promise<void> {
    await rm(this.dataDirectory, { recursive: true, force: true });
  }

  status(): Promise<NodeStatus | undefined> {
    return statusOf(this.url);
  }

  get log(): string {
    return [...this.earlier, this.run?.output ?? '', this.run?.errors ?? ''].join('');
  }
}

/** The nodes under test. */
export class FaultCluster {
  readonly nodes: readonly FaultNode[];

  constructor(network: FaultNetwork, ids: readonly string[], directory: string, watch: ProcessWatch) {
    const secretFile = join(directory, 'cluster-secret');
    createSecretFile(secretFile);
    this.nodes = ids.map((id) => new FaultNode(id, join(directory, id), network, secretFile, watch));
  }

  async start(withinMs: number): Promise<void> {
    const members = this.nodes.map((node) => `${node.id}=${node.peer}`).join(',');
    for (const node of this.nodes) node.start(['--initial-cluster', members]);
    await this.serving(withinMs);
  }

  get urls(): readonly string[] {
    return this.nodes.map((node) => node.url);
  }

  others(...nodes: readonly FaultNode[]): readonly FaultNode[] {
    return this.nodes.filter((node) => !nodes.includes(node));
  }

  /** The node that leads in the highest term; a deposed one may not know it yet. */
  async leader(): Promise<FaultNode> {
    return until(
      'a leader',
      async () => {
        const statuses = await this.statuses();
        const leaders = statuses.filter((status) => status.role === 'leader');
        const newest = leaders.toSorted((one, two) => two.term - one.term)[0];
        return this.nodes.find((node) => node.id === newest?.id);
      },
      limit(CALL_TIMEOUT_MS * 10),
    );
  }

  async follower(): Promise<FaultNode> {
    const leader = await this.leader();
    return present(this.others(leader)[0], 'There is more than one node.');
  }

  async statuses(): Promise<readonly NodeStatus[]> {
    const statuses = await Promise.all(this.nodes.map((node) => node.status()));
    return statuses.flatMap((status) => (status === undefined ? [] : [status]));
  }

  /** Every node runs, is ready and takes a write, as a voter. Throws at once when one has ended by itself. */
  async serving(withinMs: number): Promise<void> {
    const missing = new Set(this.nodes);
    await until(
      'every node ready and taking writes',
      async () => {
        this.assertAllUp();
        await Promise.all([...missing].map(async (node) => (await serves(node)) && missing.delete(node)));
        return missing.size === 0 ? true : undefined;
      },
      withinMs,
    );
  }

  assertAllUp(): void {
    for (const { id, run } of this.nodes) {
      if (run?.exit === undefined) continue;
      const { code, signal } = run.exit;
      throw new Error(`${id} ended by itself (code ${code}, signal ${signal}): ${run.errors}`);
    }
  }

  async becomesVoter(node: FaultNode, withinMs: number): Promise<void> {
    await until(
      `${node.id} a voter`,
      async () => {
        this.assertAllUp();
        const members = await membersOf((await this.leader()).url);
        return members.some((member) => member.id === node.id && member.role === 'voter') ? true : undefined;
      },
      withinMs,
    );
  }

  /** Waits until all have applied everything; then the digests must be one. */
  async settled(withinMs: number): Promise<NodeStatus> {
    const statuses = await until(
      'all nodes at one applied index',
      async () => {
        const found = await this.statuses();
        const last = Math.max(...found.map((status) => status.lastIndex));
        const isSettled = found.every((status) => status.appliedIndex === last && status.lastIndex === last);
        return isSettled && found.length === this.nodes.length ? found : undefined;
      },
      withinMs,
    );
    const digests = statuses.map((status) => `${status.id} ${status.digest}`).join(', ');
    const first = present(statuses[0], 'There are nodes.');
    if (statuses.some((status) => status.digest !== first.digest)) {
      throw new Error(`The nodes differ at applied index ${first.appliedIndex}: ${digests}.`);
    }
    return first;
  }

  killAll(): void {
    for (const node of this.nodes) node.signal('SIGKILL');
  }
}

async function serves(node: FaultNode): Promise<boolean> {
  if (!(await isReady(node.url))) return false;
  const outcome = await put(node.url, `serving/${node.id}`, 'x', {
    query: 'redirect=never',
    timeoutMs: CALL_TIMEOUT_MS,
  });
  return outcome.kind === 'done';
}
