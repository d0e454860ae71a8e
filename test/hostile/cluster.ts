/** Three real nodes on loopback that hold a cluster secret, and what is asked of them while they are attacked. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeStatus } from '../../src/http/port.js';
import { isReady, put, statusOf } from '../e2e/client.js';
import { freePorts } from '../e2e/ports.js';
import { type Exit, ProgramRun } from '../e2e/program.js';
import { until } from '../e2e/wait.js';

export class Target {
  run: ProgramRun | undefined;
  #isRestarting = false;

  constructor(
    readonly id: string,
    readonly dataDirectory: string,
    readonly httpPort: number,
    readonly peerPort: number,
    private readonly secretFile: string,
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.httpPort}`;
  }

  get peer(): string {
    return `127.0.0.1:${this.peerPort}`;
  }

  start(flags: readonly string[] = []): void {
    this.run = new ProgramRun([
      ...['serve', '--id', this.id, '--data-dir', this.dataDirectory],
      ...['--http', `127.0.0.1:${this.httpPort}`, '--peer', this.peer],
      ...['--cluster-secret-file', this.secretFile],
      ...flags,
    ]);
  }

  /** Stops it in good order and starts it again: as an operator does with a node in quarantine. */
  async restart(): Promise<void> {
    this.#isRestarting = true;
    this.run?.signal('SIGTERM');
    const exit = await this.run?.ended();
    if (exit?.code !== 0) throw new Error(this.#describe(exit));
    this.start();
    this.#isRestarting = false;
  }

  /** How its process ended of its own accord; undefined while it runs. */
  get ending(): string | undefined {
    const exit = this.run?.exit;
    return exit === undefined || this.#isRestarting ? undefined : this.#describe(exit);
  }

  #describe(exit: Exit | undefined): string {
    if (exit === undefined) return `${this.id} never ran.`;
    return `${this.id} ended (code ${exit.code}, signal ${exit.signal}): ${this.run?.errors.slice(-1000)}`;
  }

  /** Bytes of memory, 0 where the system does not tell. */
  get residentBytes(): number {
    const path = `/proc/${this.run?.pid ?? 0}/status`;
    if (!existsSync(path)) return 0;
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(path, 'utf8'))?.[1] ?? 0) * 1024;
  }
}

export class TargetCluster {
  private constructor(
    readonly directory: string,
    readonly secret: Buffer,
    readonly nodes: readonly Target[],
  ) {}

  static async started(): Promise<TargetCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'raftkv-hostile-'));
    const secretFile = join(directory, 'secret');
    const secret = randomBytes(32).toString('hex');
    writeFileSync(secretFile, `${secret}\n`, { mode: 0o600 });
    const ports = await freePorts(6);
    const nodes = ['n1', 'n2', 'n3'].map(
      (id, place) =>
        new Target(id, join(directory, id), ports[place] ?? 0, ports[place + 3] ?? 0, secretFile),
    );
    const cluster = new TargetCluster(directory, Buffer.from(secret), nodes);
    const founding = nodes.map(({ id, peer }) => `${id}=${peer}`).join(',');
    for (const node of nodes) node.start(['--initial-cluster', founding]);
    await cluster.settled();
    return cluster;
  }

  /** All nodes ready and at one index, with nothing under way. */
  async settled(): Promise<readonly NodeStatus[]> {
    return until('all nodes ready, at one index', async () => {
      this.assertAllUp();
      if (!(await Promise.all(this.nodes.map(({ url }) => isReady(url)))).every(Boolean)) return undefined;
      const statuses = await this.statuses();
      const [first] = statuses;
      if (first === undefined || statuses.length < this.nodes.length) return undefined;
      const isSettled = statuses.every(
        (status) => status.lastIndex === first.lastIndex && status.appliedIndex === first.lastIndex,
      );
      return isSettled && first.leader !== null ? statuses : undefined;
    });
  }

  async statuses(): Promise<readonly NodeStatus[]> {
    const statuses = await Promise.all(this.nodes.map(({ url }) => statusOf(url)));
    return statuses.flatMap((status) => status ?? []);
  }

  assertAllUp(): void {
    for (const { ending } of this.nodes) if (ending !== undefined) throw new Error(ending);
  }

  /** A write is acknowledged within the patience. */
  async takesWrites(): Promise<void> {
    await until('a write acknowledged', async () => {
      this.assertAllUp();
      for (const { url } of this.nodes) {
        if ((await put(url, 'hostile/steady', 'x', { timeoutMs: 2000 })).kind === 'done') return true;
      }
      return undefined;
    });
  }

  async stop(): Promise<void> {
    for (const { run } of this.nodes) run?.signal('SIGTERM');
    await Promise.all(this.nodes.map(({ run }) => run?.ended()));
  }

  async remove(): Promise<void> {
    await Promise.all(this.nodes.map(({ run }) => run?.kill()));
    await rm(this.directory, { recursive: true, force: true });
  }
}
