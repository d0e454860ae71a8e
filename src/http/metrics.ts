import { version as nodeVersion } from 'node:process';
import type { Counter, Gauge, Registry } from 'prom-client';
import { Durations, histogramText } from './durations.js';
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
    // Gauges with the suffix of a counter; the same without it, by type, is there as well.
    for (const kind of ['handles', 'requests', 'resources']) {
      sharedProcessRegistry.removeSingleMetric(`nodejs_active_${kind}_total`);
    }
  }
  return sharedProcessRegistry;
}

/** Counts of the process around the node, since its start. */
export interface ProcessCounts {
  /** Log lines that standard output did not take. */
  logLinesDropped(): number;
  /** Connections and messages that were refused at the peer port, by reason. */
  peerRefusals(): ReadonlyMap<string, number>;
  /** What the background check of the data directory's files has read, and whether it found damage. */
  storage(): Readonly<{ checkedBytes: number; isDamaged: boolean; repairs: number }>;
  /** What the databases take on disk, in bytes. */
  diskBytes(): Promise<Readonly<Record<'log' | 'state', number>>>;
}

/** Counts of what this server does for all its clients together. */
export interface TrafficCounts {
  readonly connections: Readonly<{ stalled: number }>;
  readonly budget: Readonly<{ heldBytes: number; refusals: number }>;
}

/**
 * The node's metrics in Prometheus's text format. Requests touch the durations only; the gauges are read from the node
 * when somebody asks, and the process is observed from the first time on.
 */
export class HttpMetrics {
  readonly contentType = 'text/plain; version=0.0.4; charset=utf-8';
  private readonly port: NodePort;
  private readonly process: ProcessCounts;
  private readonly traffic: TrafficCounts;
  private readonly durations = new Durations();
  private library: Promise<PromClient> | undefined;
  private registries: Promise<readonly Registry[]> | undefined;
  private beingMade: Promise<string> | undefined;
  private connections: Readonly<{ refused: number }> = { refused: 0 };
  private streams: Readonly<{ size: number; eventsSent: number }> = { size: 0, eventsSent: 0 };

  constructor(port: NodePort, process: ProcessCounts, traffic: TrafficCounts) {
    this.port = port;
    this.traffic = traffic;
    this.process = process;
  }

  /** @param route A fixed name, never a part of a request. */
  observe(route: string, method: string, status: number, durationMs: number): void {
    this.durations.observe(route, knownMethods.has(method) ? method : 'other', status, durationMs / 1_000);
  }

  /** Whose refused connections are counted. */
  followConnections(connections: Readonly<{ refused: number }>): void {
    this.connections = connections;
  }

  /** Whose watches are counted. */
  follow(streams: Readonly<{ size: number; eventsSent: number }>): void {
    this.streams = streams;
  }

  /** Whoever asks while an answer is being made, which takes some milliseconds, gets that one. */
  text(): Promise<string> {
    this.beingMade ??= this.make().finally(() => {
      this.beingMade = undefined;
    });
    return this.beingMade;
  }

  private async make(): Promise<string> {
    this.registries ??= this.load();
    const parts = (await this.registries).map((registry) => registry.metrics());
    return [this.durations.text(), this.nodeTimes(), this.deprecated(), ...(await Promise.all(parts))].join(
      '',
    );
  }

  /** Series under the names that they had while they passed for gauges; they go with the next version. */
  private deprecated(): string {
    const { logWrites, logBatches, stalls } = this.port.status().counters;
    const series = [
      ['raftkv_log_writes', 'raftkv_log_syncs_total', logWrites],
      ['raftkv_log_batches', 'raftkv_log_batches_written_total', logBatches],
      ['raftkv_stalls', 'raftkv_process_stalls_total', stalls],
    ] as const;
    const lines = series.map(
      ([name, now, value]) =>
        `# HELP ${name} Deprecated: the same as ${now}.\n# TYPE ${name} untyped\n${name} ${value}\n`,
    );
    return lines.join('');
  }

  private nodeTimes(): string {
    const { logWriteTimes, commitTimes } = this.port.measures();
    return [
      histogramText('raftkv_log_sync_duration_seconds', 'How long synced writes to the log took.', [
        { labels: '', histogram: logWriteTimes },
      ]),
      histogramText(
        'raftkv_commit_duration_seconds',
        'On the leader, from the moment a batch of proposals entered the log until it was committed.',
        [{ labels: '', histogram: commitTimes }],
      ),
    ].join('');
  }

  /** Loads the library, which takes the event loop for 100 ms and more: before anybody is served. */
  loadLibrary(): Promise<PromClient> {
    this.library ??= import('prom-client');
    return this.library;
  }

  private async load(): Promise<readonly Registry[]> {
    const client = await this.loadLibrary();
    const registry = new client.Registry();
    this.addGauges(client, registry);
    return [registry, processRegistry(client)];
  }

  private addGauges(client: PromClient, registry: Registry): void {
    const { port, process, traffic } = this;
    const registers = [registry];
    const counters: readonly (readonly [string, string, () => number])[] = [
      [
        'raftkv_log_lines_dropped_total',
        'Log lines that were lost, because standard output did not take them.',
        () => process.logLinesDropped(),
      ],
      [
        'raftkv_peer_messages_refused_total',
        'Messages between members that no member sends, and that were dropped.',
        () => port.status().counters.messagesRefused,
      ],
      ['raftkv_watch_events_total', 'Events that were sent to watches.', () => this.streams.eventsSent],
      ['raftkv_log_syncs_total', 'Synced writes to the log.', () => port.status().counters.logWrites],
      [
        'raftkv_log_batches_written_total',
        'Batches that those writes carried; more than one each is group commit.',
        () => port.status().counters.logBatches,
      ],
      [
        'raftkv_process_stalls_total',
        'How often the process missed its ticks.',
        () => port.status().counters.stalls,
      ],
      [
        'raftkv_elections_started_total',
        'Elections in which this node campaigned.',
        () => port.measures().campaigns,
      ],
      [
        'raftkv_leader_changes_total',
        'How often this node learned of another leader.',
        () => port.measures().leaderChanges,
      ],
      [
        'raftkv_http_over_budget_total',
        'Requests that were refused, and watches that were ended, because clients held too many bytes here.',
        () => traffic.budget.refusals,
      ],
      [
        'raftkv_http_stalled_connections_total',
        'Connections that were ended because their client took nothing of what waited for it.',
        () => traffic.connections.stalled,
      ],
    ];
    for (const [name, help, read] of counters) {
      new client.Counter({
        name,
        help,
        registers,
        collect() {
          this.reset();
          this.inc(read());
        },
      });
    }
    new client.Counter({
      name: 'raftkv_peer_refusals_total',
      help: 'Connections and messages at the peer port that were refused, by reason.',
      labelNames: ['reason'],
      registers,
      collect(this: Counter<'reason'>) {
        this.reset();
        for (const [reason, count] of process.peerRefusals()) this.inc({ reason }, count);
      },
    });
    new client.Counter({
      name: 'raftkv_storage_checked_bytes_total',
      help: 'Bytes of the data directory that were read in the background to look for damage.',
      registers,
      collect() {
        this.reset();
        this.inc(process.storage().checkedBytes);
      },
    });
    new client.Counter({
      name: 'raftkv_storage_repairs_total',
      help: 'Times since the start of the process that a snapshot took the place of a damaged state.',
      registers,
      collect() {
        this.reset();
        this.inc(process.storage().repairs);
      },
    });
    new client.Gauge({
      name: 'raftkv_storage_damaged',
      help: '1 where the background check has found damage in the data directory.',
      registers,
      collect() {
        this.set(process.storage().isDamaged ? 1 : 0);
      },
    });
    new client.Gauge({
      name: 'raftkv_http_held_bytes',
      help: 'Bytes of request bodies that are worked on and of answers that clients have not taken.',
      registers,
      collect() {
        this.set(traffic.budget.heldBytes);
      },
    });
    const streams = () => this.streams;
    const connections = () => this.connections;
    new client.Counter({
      name: 'raftkv_http_connections_refused_total',
      help: 'Connections of clients that were refused, because too many were open.',
      registers,
      collect() {
        this.reset();
        this.inc(connections().refused);
      },
    });
    new client.Gauge({
      name: 'raftkv_watches',
      help: 'Open watches on this node.',
      registers,
      collect() {
        this.set(streams().size);
      },
    });
    new client.Gauge({
      name: 'raftkv_build_info',
      help: 'The version of this program and of Node; always 1.',
      labelNames: ['version', 'node_version'],
      registers,
      collect(this: Gauge<'version' | 'node_version'>) {
        this.set({ version: port.status().version, node_version: nodeVersion }, 1);
      },
    });
    new client.Gauge({
      name: 'raftkv_keys',
      help: 'How many keys exist, as far as the log is applied here. Absent while they are still to be counted.',
      registers,
      collect() {
        const keys = port.countKeys();
        if (keys === undefined) this.remove();
        else this.set(keys);
      },
    });
    new client.Gauge({
      name: 'raftkv_disk_bytes',
      help: 'What the databases of this node take on disk.',
      labelNames: ['database'],
      registers,
      async collect(this: Gauge<'database'>) {
        for (const [database, bytes] of Object.entries(await process.diskBytes()))
          this.set({ database }, bytes);
      },
    });
    new client.Gauge({
      name: 'raftkv_follower_lag_entries',
      help: 'On the leader: entries of the log that are not known to be on the disk of each other member.',
      labelNames: ['member'],
      registers,
      collect(this: Gauge<'member'>) {
        // Members leave, and a node that leads no more knows nothing of the others.
        this.reset();
        for (const { id, lagEntries } of port.measures().followers) this.set({ member: id }, lagEntries);
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
        'raftkv_longest_stall_seconds',
        'The longest time for which the process missed its ticks.',
        (status) => status.counters.longestStallMs / 1_000,
      ],
      [
        'raftkv_pending_proposals',
        'Proposals that wait for a batch, for their commit or to be applied here.',
        () => port.measures().pendingProposals,
      ],
      [
        'raftkv_waits',
        'Reads that wait for a confirmation, and requests that wait for a revision or another condition.',
        () => port.measures().waits,
      ],
      ['raftkv_log_bytes', 'What the log takes in memory.', () => port.measures().logBytes],
      [
        'raftkv_cluster_version',
        'The version that every member speaks; 0 while this node has not opened its state.',
        (status) => status.clusterVersion,
      ],
      [
        'raftkv_digest_differs',
        'Members whose digest differed from the one here when they were asked last.',
        (status) => status.digestDiffersFrom.length,
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
