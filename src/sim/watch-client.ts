import { RaftkvError } from '../errors.js';
import type { Item, WatchEvent, Watcher } from '../kv/types.js';
import { textOf } from './bytes.js';
import { type EventOrder, WatchedEvents } from './checkers/watched-events.js';
import type { Cluster } from './cluster.js';
import type { Prng } from './prng.js';
import type { Server, SimNode } from './sim-node.js';
import { TraceKind } from './trace.js';
import type { Process } from './virtual-clock.js';

/** How often a client leaves after it was given something, and goes on at another node. */
const LEAVE_RATE = 0.05;
const RECONNECT_MS_MAX = 200;
const PROGRESS_MS_MAX = 500;
/** Some take what there is only now and then, and are behind for a while. */
const SLOW_MS_MAX = 600;

/** One stream of events from one process. */
interface Connection {
  readonly node: SimNode;
  readonly process: Process;
  watcher: Watcher | null;
}

/** An event, and what its key was before. */
interface Given {
  readonly event: WatchEvent;
  readonly previous: Item | undefined;
}

/** A client that watches all the time: where its node ends it goes on at another one, from where it was. */
export class WatchClient {
  private readonly events: WatchedEvents;
  private readonly target: { readonly key: Uint8Array; readonly isPrefix: boolean };
  private readonly slowMs: number;
  private connection: Connection | null = null;
  /** The only nodes that it may ask; null for any. */
  private allowed: readonly SimNode[] | null = null;

  constructor(
    private readonly name: string,
    private readonly cluster: Cluster,
    private readonly random: Prng,
    order: EventOrder,
  ) {
    const drawn = random.pick(['', 'key-', 'key-0', 'temporary-']) ?? '';
    const wanted = cluster.settings.watchesAll ? '' : drawn;
    const isPrefix = wanted !== 'key-0';
    this.target = { key: Buffer.from(wanted), isPrefix };
    const isAskedFor = (key: string) => (isPrefix ? key.startsWith(wanted) : key === wanted);
    this.events = new WatchedEvents(order, name, isAskedFor, 0);
    this.slowMs = random.chance(0.3) ? SLOW_MS_MAX : 0;
  }

  begin(): void {
    this.reconnect();
  }

  /** Goes on at one of these nodes, which can give everything, as fast as it can. */
  catchUpAt(nodes: readonly SimNode[]): void {
    this.allowed = nodes;
    if (this.connection === null || !nodes.includes(this.connection.node)) this.connect();
  }

  get isComplete(): boolean {
    return this.events.isComplete;
  }

  private reconnect(): void {
    this.close();
    this.cluster.scheduler.after(this.random.between(0, RECONNECT_MS_MAX), null, () => {
      if (this.connection === null) this.connect();
    });
  }

  private connect(): void {
    this.close();
    const node = this.random.pick(this.allowed ?? this.cluster.serving);
    const process = node?.process;
    if (!node || !process || node.server === null) {
      this.reconnect();
      return;
    }
    const connection: Connection = { node, process, watcher: null };
    this.connection = connection;
    const after = this.events.position;
    this.note(`watches at ${node.id} after ${after.revision}.${after.number}`);
    this.read(connection, ({ service }) => {
      connection.watcher = service.watch({ ...this.target, after });
      return connection.watcher;
    });
    this.askHowFar(connection);
  }

  private read(connection: Connection, watcherOf: (server: Server) => Watcher): void {
    this.cluster.read(
      connection.node,
      async (server) => {
        const watcher = watcherOf(server);
        const events = await watcher.read();
        return events.map((event): Given => ({ event, previous: watcher.previousOf(event) }));
      },
      (answer) => {
        if (this.connection !== connection) return;
        if ('value' in answer) this.take(connection, answer.value);
        else if (answer.error instanceof RaftkvError && answer.error.code === 'compacted')
          this.beginAnew(connection.node);
        else this.reconnect();
      },
    );
  }

  private take(connection: Connection, given: readonly Given[]): void {
    this.note(`is given ${given.map(({ event }) => describe(event)).join(', ')}`);
    this.cluster.check(() => {
      this.events.take(given.map(({ event }) => event));
      for (const { event, previous } of given) this.events.previous(event, previous);
    });
    if (this.allowed === null && this.random.chance(LEAVE_RATE)) {
      this.reconnect();
      return;
    }
    this.cluster.scheduler.after(this.allowed === null ? this.slowMs : 0, null, () => {
      if (this.isGone(connection)) return;
      const { watcher } = connection;
      if (watcher === null) this.reconnect();
      else this.read(connection, () => watcher);
    });
  }

  /** Now and then a client is told that there was nothing more up to a revision, and goes on from there (progress events). */
  private askHowFar(connection: Connection): void {
    this.cluster.scheduler.after(this.random.between(0, PROGRESS_MS_MAX), null, () => {
      if (this.isGone(connection)) return;
      this.cluster.ask(
        connection.node,
        () => connection.watcher?.settledThrough,
        (answer) => {
          if (this.connection !== connection || !('value' in answer)) return;
          const through = answer.value;
          if (through !== undefined) this.cluster.check(() => this.events.settled(through));
          this.askHowFar(connection);
        },
      );
    });
  }

  /** What it should have next is not kept any more: it reads what there is, and follows from there. */
  private beginAnew(node: SimNode): void {
    this.cluster.check(() => this.events.compacted());
    this.cluster.read(
      node,
      async ({ service }) => (await service.list(nothing)).revision,
      (answer) => {
        if ('value' in answer) this.events.beginAnew(answer.value);
        this.reconnect();
      },
    );
  }

  /** Whether another connection has taken its place, or must, because its process ended. */
  private isGone(connection: Connection): boolean {
    if (this.connection !== connection) return true;
    if (connection.node.process === connection.process) return false;
    this.reconnect();
    return true;
  }

  private close(): void {
    this.connection?.watcher?.close();
    this.connection = null;
  }

  private note(what: string): void {
    const { trace } = this.cluster;
    const { position } = this.events;
    trace.note(TraceKind.client, 0, what.length, position.revision, () => `${this.name} ${what}`);
  }
}

/** A listing that shows only how far a node is. */
const nothing = {
  prefix: new Uint8Array(0),
  after: undefined,
  limit: 1,
  keysOnly: true,
  revision: undefined,
};

function describe({ revision, number, kind, key }: WatchEvent): string {
  return `${revision}.${number} ${kind} ${textOf(key)}`;
}
