import type { Gauge, Registry } from 'prom-client';
import { Durations } from './durations.js';
import type { NodePort, NodeStatus } from './port.js';

const knownMethods = new Set(['GET', 'HEAD', 'PUT', 'POST', 'DELETE']);
const roles: readonly NodeStatus['role'][] = ['leader', 'follower', 'candidate', 'learner', 'removed'];

type PromClient = typeof import('prom-client');

let sharedProcessRegistry: Registry | undefined;

/**
 * Memory, CPU, garbage collection and the delay of the event loop. They belong to the process, not to a server in it,
 * and their observers cannot be taken back, so there is one set of them.
 */
function processRegistry({ collectDefaultMetrics, Registry }: PromClient): Registry {
  if (sharedProcessRegistry === undefined) {
    sharedProcessRegistry = new Registry();
    collectDefaultMetrics({ register: sharedProcessRegistry });
  }
  return sharedProcessRegistry;
}

/** Counts of the process around the node, since its start. */
export interface ProcessCounts {
  /** Log lines that standard output did not take. */
  logLinesDropped(): number;
}

/**
 * The node's metrics in Prometheus's text format. Requests touch the durations only; the gauges are read from the node
 * when somebody asks, and the library is loaded then, because a start should not wait for it.
 */
export class HttpMetrics {
  readonly contentType = 'text/plain; version=0.0.4; charset=utf-8';
  private readonly port: NodePort;
  private readonly process: ProcessCounts;
  private readonly durations = new Durations();
  private registries: Promise<readonly Registry[]> | undefined;
  private streams: Readonly<{ size: number; eventsSent: number }> = { size: 0, eventsSent: 0 };

  constructor(port: NodePort, process: ProcessCounts) {
    this.port = port;
    this.process = process;
  }

  /** @param route A fixed name, never a part of a request. */
  observe(route: string, method: string, status: number, durationMs: number): void {
    this.durations.observe(route, knownMethods.has(method) ? method : 'other', status, durationMs / 1_000);
  }

  /** Whose watches are counted. */
  follow(streams: Readonly<{ size: number; eventsSent: number }>): void {
    this.streams = streams;
  }

  async text(): Promise<string> {
    this.registries ??= this.load();
    const parts = (await this.registries).map((registry) => registry.metrics());
    return [this.durations.text(), ...(await Promise.all(parts))].join('');
  }

  private async load(): Promise<readonly Registry[]> {
    const client = await import('prom-client');
    const registry = new client.Registry();
    this.addGauges(client, registry);
    return [registry, processRegistry(client)];
  }

  private addGauges(client: PromClient, registry: Registry): void {
    const { port, process } = this;
    const registers = [registry];
    new client.Counter({
      name: 'raftkv_log_lines_dropped_total',
      help: 'Log lines that were lost, because standard output did not take them.',
      registers,
      collect() {
        this.reset();
        this.inc(process.logLinesDropped());
      },
    });
    new client.Counter({
      name: 'raftkv_peer_messages_refused_total',
      help: 'Messages between members that no member sends, and that were dropped.',
      registers,
      collect() {
        this.reset();
        this.inc(port.status().counters.messagesRefused);
      },
    });
    const streams = () => this.streams;
    new client.Gauge({
      name: 'raftkv_watches',
      help: 'Open watches on this node.',
      registers,
      collect() {
        this.set(streams().size);
      },
    });
    new client.Counter({
      name: 'raftkv_watch_events_total',
      help: 'Events that were sent to watches.',
      registers,
      collect() {
        this.reset();
        this.inc(streams().eventsSent);
      },
    });
    new client.Gauge({
      name: 'raftkv_role',
      help: 'The role of this node: 1 for the one it has, 0 for the others.',
      labelNames: ['role'],
      registers,
      collect(this: Gauge<'role'>) {
        const current = port.status().role;
        for (const role of roles) this.set({ role }, role === current ? 1 : 0);
      },
    });
    const simple: readonly (readonly [string, string, (status: NodeStatus) => number])[] = [
      ['raftkv_term', 'The current term.', (status) => status.term],
      [
        'raftkv_has_leader',
        'Whether this node knows a leader.',
        (status) => (status.leader === null ? 0 : 1),
      ],
      ['raftkv_commit_index', 'The last log entry known to be committed.', (status) => status.commitIndex],
      ['raftkv_applied_index', 'The last log entry applied to the state.', (status) => status.appliedIndex],
      [
        'raftkv_flushed_index',
        'The last log entry whose changes are on disk.',
        (status) => status.flushedIndex,
      ],
      ['raftkv_log_first_index', 'The first entry that the log still holds.', (status) => status.firstIndex],
      ['raftkv_log_last_index', 'The last entry of the log.', (status) => status.lastIndex],
      [
        'raftkv_log_writes',
        'Synced writes to the log since the start.',
        (status) => status.counters.logWrites,
      ],
      [
        'raftkv_log_batches',
        'Batches that those writes carried; more than one each is group commit.',
        (status) => status.counters.logBatches,
      ],
      ['raftkv_stalls', 'How often the process missed its ticks.', (status) => status.counters.stalls],
      [
        'raftkv_longest_stall_milliseconds',
        'The longest of those stalls.',
        (status) => status.counters.longestStallMs,
      ],
      [
        'raftkv_cluster_version',
        'The version that every member speaks; 0 while this node has not opened its state.',
        (status) => status.clusterVersion,
      ],
      ['raftkv_revision', 'The revision of the store on this node.', (status) => status.revision],
    ];
    for (const [name, help, read] of simple) {
      new client.Gauge({
        name,
        help,
        registers,
        collect(this: Gauge) {
          this.set(read(port.status()));
        },
      });
    }
  }
}
