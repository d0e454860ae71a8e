/**
 * The steady client: puts and linearizable gets in turn at a fixed rate, whatever becomes of the ones before. It runs in a thread of
 * its own, so that its times are those of the node and not of the attackers in this process.
 */
import { Agent, request } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { present } from '../../../src/assert.js';
import { STEADY_PREFIX } from './requests.js';

/** A request a second for each of these. */
export const STEADY_RATE = 50;
const TIMEOUT_MS = 5_000;
const RESENT_MAX = 5;
/** How often the client looks how late its event loop is. */
const DELAY_RESOLUTION_MS = 2;

/** What became of the requests since the last report. */
export interface SteadyReport {
  /** Milliseconds from the time at which a request was due to its answer, in ascending order. */
  readonly timesMs: readonly number[];
  /** The same of its puts and of its linearizable gets alone. */
  readonly putsMs: readonly number[];
  readonly getsMs: readonly number[];
  /** The p99 of how late the client's own event loop was, in milliseconds: what of its times is not the nodes'. */
  readonly ownDelayMs: number;
  /** Sentences about requests that got no good answer in time. */
  readonly failures: readonly string[];
  /** Every value that was acknowledged so far, by its key. */
  readonly acknowledged: ReadonlyMap<string, string>;
}

interface Start {
  /** The leader first. */
  readonly urls: readonly string[];
}

export class SteadyClient {
  private readonly worker: Worker;

  constructor(urls: readonly string[]) {
    this.worker = new Worker(new URL(import.meta.url), { workerData: { urls } satisfies Start });
  }

  /** What happened since the last report; `stop` ends the client once all of its requests are answered. */
  report(what: 'go on' | 'stop'): Promise<SteadyReport> {
    return new Promise((resolve, reject) => {
      this.worker.once('error', reject);
      this.worker.once('message', (report: SteadyReport) => {
        this.worker.off('error', reject);
        resolve(report);
      });
      this.worker.postMessage(what);
    });
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}

/** By nearest rank. */
export function percentile(timesMs: readonly number[], share: number): number {
  return timesMs[Math.max(0, Math.ceil(timesMs.length * share) - 1)] ?? 0;
}

interface Reply {
  readonly status: number;
  readonly location: string | undefined;
  readonly text: string;
}

class Pace {
  private readonly agent = new Agent({ keepAlive: true });
  private readonly startedAtMs = performance.now();
  private readonly acknowledged = new Map<string, string>();
  private readonly underWay = new Set<Promise<void>>();
  private lastKey: string | undefined;
  private url: string;
  private readonly delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  private times: { readonly kind: 'put' | 'get'; readonly ms: number }[] = [];
  private failures: string[] = [];
  private count = 0;
  private isStopping = false;

  constructor(private readonly urls: readonly string[]) {
    this.url = urls[0] ?? '';
    this.delay.enable();
    this.next();
  }

  async report(): Promise<SteadyReport> {
    const { failures, acknowledged } = this;
    const times = this.times.sort((one, two) => one.ms - two.ms);
    const of = (wanted: 'put' | 'get') => times.filter(({ kind }) => kind === wanted).map(({ ms }) => ms);
    const ownDelayMs = Math.max(0, this.delay.percentile(99) / 1e6 - DELAY_RESOLUTION_MS);
    this.times = [];
    this.failures = [];
    this.delay.reset();
    return {
      timesMs: times.map(({ ms }) => ms),
      putsMs: of('put'),
      getsMs: of('get'),
      ownDelayMs,
      failures,
      acknowledged,
    };
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.underWay);
    this.agent.destroy();
  }

  private next(): void {
    if (this.isStopping) return;
    const dueAtMs = this.startedAtMs + (this.count * 1000) / STEADY_RATE;
    setTimeout(
      () => {
        const one = this.one(this.count, dueAtMs);
        this.count += 1;
        this.underWay.add(one);
        void one.then(() => this.underWay.delete(one));
        this.next();
      },
      Math.max(0, dueAtMs - performance.now()),
    );
  }

  private async one(number: number, dueAtMs: number): Promise<void> {
    const key = number % 2 === 0 ? undefined : this.lastKey;
    const kind = key === undefined ? 'put' : 'get';
    try {
      if (key === undefined) await this.put(number);
      else await this.get(key);
      this.times.push({ kind, ms: performance.now() - dueAtMs });
    } catch (error) {
      this.times.push({ kind, ms: Number.POSITIVE_INFINITY });
      this.failures.push(`request ${number}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private async put(number: number): Promise<void> {
    const key = `${STEADY_PREFIX}${number}`;
    const value = `value ${number}`;
    const { status, text } = await this.send('PUT', key, value);
    if (status !== 200 && status !== 201) throw new Error(`a put was answered with ${status}: ${text}`);
    this.acknowledged.set(key, value);
    this.lastKey = key;
  }

  private async get(key: string): Promise<void> {
    const { status, text } = await this.send('GET', key);
    if (status !== 200 || text !== this.acknowledged.get(key)) {
      throw new Error(`a get of an acknowledged value was answered with ${status}: ${text}`);
    }
  }

  /** To the leader, and to its successor where a node says that it is another. */
  private async send(method: string, key: string, body?: string): Promise<Reply> {
    for (let sent = 0; ; sent += 1) {
      const reply = await this.once(method, `${this.url}/v1/kv/${key}`, body);
      if (reply.status !== 307 || sent >= RESENT_MAX) return reply;
      const { location = '' } = reply;
      this.url = present(
        this.urls.find((url) => location.startsWith(url)),
        `A redirect leads to a node, and not to ${location}.`,
      );
    }
  }

  private once(method: string, url: string, body: string | undefined): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const sent = request(
        url,
        { method, agent: this.agent, signal: AbortSignal.timeout(TIMEOUT_MS) },
        (answer) => {
          let text = '';
          answer.on('data', (chunk) => {
            text += chunk;
          });
          answer.on('end', () =>
            resolve({ status: answer.statusCode ?? 0, location: answer.headers.location, text }),
          );
          answer.on('error', reject);
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }
}

function runInThread(): void {
  const pace = new Pace((workerData as Start).urls);
  const port = present(parentPort, 'A thread has a port.');
  port.on('message', async (what: 'go on' | 'stop') => {
    if (what === 'stop') await pace.stop();
    port.postMessage(await pace.report());
    if (what === 'stop') port.close();
  });
}

if (!isMainThread) runInThread();
