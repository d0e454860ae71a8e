import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { NodePort, NodeStatus } from './port.js';

type Observe = (seconds: number) => void;

const knownMethods = new Set(['GET', 'HEAD', 'PUT', 'POST', 'DELETE']);
const roles: readonly NodeStatus['role'][] = ['leader', 'follower', 'candidate', 'learner', 'removed'];

let sharedProcessRegistry: Registry | undefined;

/**
 * Memory, CPU, garbage collection and the delay of the event loop. They belong to the process, not to a server in it,
 * and their observers cannot be taken back, so there is one set of them.
 */
function processRegistry(): Registry {
  if (sharedProcessRegistry === undefined) {
    sharedProcessRegistry = new Registry();
    collectDefaultMetrics({ register: sharedProcessRegistry });
  }
  return sharedProcessRegistry;
}

/**
 * The node's metrics in Prometheus's text format. Gauges are read from the node when they are asked for; only the
 * duration histogram is touched by a request, through a child that was looked up once.
 */
export class HttpMetrics {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  private readonly registry = new Registry();
  private readonly process = processRegistry();
  private readonly durations: Histogram<'route' | 'method' | 'status'>;
  private readonly observers = new Map<string, Map<number, Observe>>();

  constructor(port: NodePort) {
    this.durations = new Histogram({
      name: 'raftkv_http_request_duration_seconds',
      help: 'From the arrival of a request to the moment its answer is handed to the socket.',
      labelNames: ['route', 'method', 'status'],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [this.registry],
    });
    this.addGauges(port);
  }

  /** @param route A fixed name, never a part of a request: each one is a time series. */
  observe(route: string, method: string, status: number, durationMs: number): void {
    const methodLabel = knownMethods.has(method) ? method : 'other';
    const key = `${methodLabel} ${route}`;
    let byStatus = this.observers.get(key);
    if (byStatus === undefined) {
      byStatus = new Map();
      this.observers.set(key, byStatus);
    }
    let observe = byStatus.get(status);
    if (observe === undefined) {
      const child = this.durations.labels(route, methodLabel, String(status));
      observe = (seconds) => child.observe(seconds);
      byStatus.set(status, observe);
    }
    observe(durationMs / 1_000);
  }

  async text(): Promise<string> {
    const parts = await Promise.all([this.registry.metrics(), this.process.metrics()]);
    return parts.join('\n');
  }

  private addGauges(port: NodePort): void {
    const registers = [this.registry];
    new Gauge({
      name: 'raftkv_role',
      help: 'The role of this node: 1 for the one it has, 0 for the others.',
      labelNames: ['role'],
      registers,
      collect() {
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
      ['raftkv_revision', 'The revision of the store on this node.', (status) => status.revision],
    ];
    for (const [name, help, read] of simple) {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read(port.status()));
        },
      });
    }
  }
}
