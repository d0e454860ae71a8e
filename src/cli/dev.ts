import { join, relative } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { sleep } from '../clock.js';
import { parseCount } from './client-command.js';
import { DevLock } from './dev-lock.js';
import { DevNode } from './dev-node.js';
import { DevSize } from './dev-size.js';
import { createSecretFile } from './secret.js';
import { optionOf } from './serve.js';
import { onStopSignals } from './signals.js';
import { printLine, type Terminal, table } from './terminal.js';

interface DevFlags {
  readonly nodes: number;
  readonly dataDir: string;
  readonly baseHttp: number;
  readonly basePeer: number;
  readonly allowedHost?: string;
  readonly corsOrigin?: string;
}

const nodesMax = 9;
const dataDirectoryDefault = 'data/dev';
/** While the cluster starts, a user waits: look often. Afterwards, only changes are of interest. */
const startPollMs = 25;
const watchPollMs = 250;
/** When to say what the start is waiting for. */
const slowStartMs = 10_000;

export function addDev(program: Command, terminal: Terminal): void {
  program
    .command('dev')
    .description('run a local cluster of real processes, to try and to develop against')
    .option('--nodes <N>', 'how many', parseNodes, 3)
    .addOption(
      new Option('--data-dir <DIR>', 'where data and logs are kept; survives a restart').default(
        dataDirectoryDefault,
        dataDirectoryDefault,
      ),
    )
    .option('--base-http <PORT>', 'client port of the first node', parsePort, 8101)
    .option('--base-peer <PORT>', 'peer port of the first node', parsePort, 7101)
    .addOption(optionOf('allowed-host'))
    .addOption(optionOf('cors-origin'))
    .action(async (flags: DevFlags) => {
      terminal.exit(await new DevCluster(flags, terminal).run());
    });
}

function parseNodes(text: string): number {
  const count = parseCount(text);
  if (count > nodesMax) throw new InvalidArgumentError(`At most ${nodesMax}.`);
  return count;
}

function parsePort(text: string): number {
  const port = parseCount(text);
  if (port > 65_535 - nodesMax) throw new InvalidArgumentError(`At most ${65_535 - nodesMax}.`);
  return port;
}

/** What a user who serves a page beside the cluster says of it; the nodes judge it. */
function furtherFlags({ allowedHost, corsOrigin }: DevFlags): readonly string[] {
  return [
    ...(allowedHost === undefined ? [] : ['--allowed-host', allowedHost]),
    ...(corsOrigin === undefined ? [] : ['--cors-origin', corsOrigin]),
  ];
}

/** The processes of one local cluster, from their start to their end. */
class DevCluster {
  private readonly terminal: Terminal;
  private readonly nodes: readonly DevNode[];
  private readonly size: DevSize;
  private readonly dataDirectory: string;
  private leader: string | null = null;
  /** The id of the cluster that the nodes of this program have formed; undefined until all of them were ready. */
  private cluster: string | undefined;
  private stopping = false;

  constructor(flags: DevFlags, terminal: Terminal) {
    this.terminal = terminal;
    this.dataDirectory = flags.dataDir;
    this.size = new DevSize(flags.dataDir, flags.nodes);
    const secretFile = join(flags.dataDir, 'cluster-secret');
    createSecretFile(secretFile);
    const ids = Array.from({ length: flags.nodes }, (_, index) => `n${index + 1}`);
    const initialCluster = ids.map((id, index) => `${id}=127.0.0.1:${flags.basePeer + index}`).join(',');
    this.nodes = ids.map(
      (id, index) =>
        new DevNode({
          id,
          dataDirectory: join(flags.dataDir, id),
          logFile: join(flags.dataDir, `${id}.log`),
          httpPort: flags.baseHttp + index,
          peerPort: flags.basePeer + index,
          initialCluster,
          secretFile,
          furtherFlags: furtherFlags(flags),
        }),
    );
  }

  async run(): Promise<number> {
    const lock = DevLock.take(this.dataDirectory, this.nodes[0]?.httpUrl ?? '');
    try {
      return await this.runNodes(lock);
    } finally {
      lock.release();
    }
  }

  private async runNodes(lock: DevLock): Promise<number> {
    const interrupted = new Promise<void>((resolve) => {
      onStopSignals(
        this.terminal,
        () => {
          this.stopping = true;
          resolve();
        },
        () => {
          for (const node of this.nodes) node.kill();
          lock.release();
          this.terminal.exit(1);
        },
      );
    });
    for (const node of this.nodes) node.start();
    if (!(await this.untilReady())) {
      await this.stopAll();
      return this.stopping ? 0 : 1;
    }
    this.announce();
    const watched = this.watch();
    await Promise.race([interrupted, watched]);
    const allGone = !this.stopping;
    this.stopping = true;
    await this.stopAll();
    if (allGone) this.say('no node is left; start again with the same command');
    return allGone ? 1 : 0;
  }

  /** False when a node ended instead, or when it was interrupted. */
  private async untilReady(): Promise<boolean> {
    const startedAtMs = performance.now();
    let complained = false;
    while (!this.stopping) {
      const failed = this.nodes.find((node) => node.exited !== undefined);
      if (failed !== undefined) {
        this.say(`${failed.id} could not start: ${failed.lastWords()}`);
        const other = await failed.whoAnswers();
        if (other !== undefined) {
          this.say(
            `${failed.httpUrl} is ${other.id} of cluster ${other.cluster}, which runs already. Use that one, or stop it; for a ` +
              'second cluster give --base-http and --base-peer.',
          );
        }
        this.say(`its log is ${shown(failed.logFile)}; the other nodes are stopped`);
        return false;
      }
      await Promise.all(this.nodes.map((node) => node.refresh(this.cluster)));
      if (this.nodes.some(({ status }) => status !== undefined && status.cluster !== ''))
        this.size.remember();
      if (this.nodes.every((node) => node.ready)) {
        this.cluster = this.nodes[0]?.status?.cluster;
        return true;
      }
      if (!complained && performance.now() - startedAtMs > slowStartMs) {
        complained = true;
        const waiting = this.nodes.filter((node) => !node.ready);
        this.say(
          `still waiting for ${waiting.map((node) => `${node.id} (${shown(node.logFile)})`).join(', ')}`,
        );
      }
      await sleep(startPollMs);
    }
    return false;
  }

  private announce(): void {
    const leader = this.nodes.find((node) => node.status?.role === 'leader');
    this.leader = leader?.id ?? null;
    const rows = this.nodes.map((node) => [
      node.id,
      node.status?.role ?? '?',
      String(node.status?.term ?? '?'),
      node.httpUrl,
      shown(node.logFile),
    ]);
    const victim = leader ?? this.nodes[0];
    // The lines still work when that node is gone.
    const url = (this.nodes.find((node) => node !== victim) ?? victim)?.httpUrl ?? '';
    printLine(
      this.terminal,
      [
        'ready',
        '',
        table(['ID', 'ROLE', 'TERM', 'CLIENT URL', 'LOG'], rows),
        '',
        'Try, in another terminal:',
        `  curl -L -X PUT --data-binary 'hello' ${url}/v1/kv/greeting`,
        `  curl -L ${url}/v1/kv/greeting`,
        `  curl -L '${url}/v1/kv?prefix=greet'`,
        `  curl ${url}/v1/status`,
        `  kill -9 ${victim?.pid ?? ''}    # ${victim?.id ?? ''}, and write again`,
        '',
        'Ctrl-C stops all nodes; their data stays.',
      ].join('\n'),
    );
  }

  /** Tells of changes until no node is left. */
  private async watch(): Promise<void> {
    const down = new Set<string>();
    while (!this.stopping) {
      await sleep(watchPollMs);
      await Promise.all(this.nodes.map((node) => node.refresh(this.cluster)));
      if (this.stopping) return;
      for (const node of this.nodes) this.tellOfNode(node, down);
      this.tellOfLeader();
      if (down.size === this.nodes.length) return;
    }
  }

  private tellOfNode(node: DevNode, down: Set<string>): void {
    const gone = node.exited !== undefined && node.status === undefined;
    if (gone && !down.has(node.id)) {
      down.add(node.id);
      this.say(`${node.id} ended (${node.exited}); the others go on. Start it again with:`);
      this.say(`  ${node.restartLine()}`);
    } else if (!gone && down.delete(node.id)) {
      this.say(`${node.id} is back`);
    }
  }

  private tellOfLeader(): void {
    const leaders = this.nodes.flatMap(({ status }) => (status?.role === 'leader' ? [status] : []));
    // A deposed leader may not know it yet; the highest term is the newest.
    const newest = leaders.toSorted((one, two) => two.term - one.term)[0];
    if (newest === undefined || newest.id === this.leader) return;
    this.leader = newest.id;
    this.say(`${newest.id} leads now (term ${newest.term})`);
  }

  private async stopAll(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  private say(line: string): void {
    printLine(this.terminal, line);
  }
}

/** A path as the user would type it here. */
function shown(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere.startsWith('..') ? path : fromHere;
}
