import { setTimeout as sleep } from 'node:timers/promises';
import { list, put, type WriteOutcome } from '../e2e/client.js';
import type { Revisions } from '../e2e/revisions.js';
import { until } from '../e2e/wait.js';
import type { FaultCluster } from './cluster.js';
import { limit } from './time-limits.js';

const PREFIX = 'ledger/';
const WRITE = { query: 'timeout=2s', timeoutMs: 2500 };
/** Between two tries of {@link Ledger.nextWrite}, which go to the nodes in turn. */
const TRY_EVERY_MS = 20;
const LIST_MS_MAX = 20_000;

/** Values that were put once each at keys of their own, so that every one can be asked for at the end. */
export class Ledger {
  private readonly acknowledged = new Map<string, string>();
  private readonly unknown = new Map<string, string>();
  private count = 0;

  constructor(
    private readonly cluster: FaultCluster,
    private readonly revisions: Revisions,
  ) {}

  get sizes(): { readonly acknowledged: number; readonly unknown: number } {
    return { acknowledged: this.acknowledged.size, unknown: this.unknown.size };
  }

  /** Puts one more value, through this node. */
  async write(url: string): Promise<WriteOutcome> {
    this.count += 1;
    const key = `${PREFIX}${this.count}`;
    const value = `value ${this.count}`;
    const { floor } = this.revisions;
    const outcome = await put(url, key, value, WRITE);
    if (outcome.kind === 'done') {
      this.revisions.acknowledged(outcome.revision, floor, { [key]: value });
      this.acknowledged.set(key, value);
    } else if (outcome.kind === 'unknown') {
      this.unknown.set(key, value);
    }
    return outcome;
  }

  /** Milliseconds until a write is acknowledged that begins from now on; one begins every {@link TRY_EVERY_MS}. */
  async nextWrite(withinMs: number): Promise<number> {
    const { urls } = this.cluster;
    const startedAt = performance.now();
    let acknowledgedAt: number | undefined;
    for (let turn = 0; acknowledgedAt === undefined; turn += 1) {
      if (performance.now() - startedAt > withinMs) {
        throw new Error(`No write was acknowledged for ${withinMs} ms, although a majority can talk.`);
      }
      void this.write(urls[turn % urls.length] ?? '').then(({ kind }) => {
        if (kind === 'done') acknowledgedAt ??= performance.now();
      });
      await sleep(TRY_EVERY_MS);
    }
    return acknowledgedAt - startedAt;
  }

  /** What every node must have and has not, or has and nobody put; asked for in both ways. */
  async differences(): Promise<readonly string[]> {
    const found: string[] = [];
    for (const { id, url } of this.cluster.nodes) {
      for (const query of ['redirect=never', 'consistency=stale']) {
        const listed = await until(
          `a listing of ${id}`,
          () => list(url, PREFIX, query).catch(() => undefined),
          limit(LIST_MS_MAX),
        );
        found.push(...this.differencesOf(listed).map((difference) => `${id}, ${query}: ${difference}`));
      }
    }
    return found;
  }

  private differencesOf(listed: ReadonlyMap<string, string>): readonly string[] {
    const found: string[] = [];
    for (const [key, value] of this.acknowledged) {
      if (listed.get(key) !== value)
        found.push(`${key} was acknowledged and is ${listed.get(key) ?? 'lost'}`);
    }
    for (const [key, value] of listed) {
      const put = this.acknowledged.get(key) ?? this.unknown.get(key);
      if (put !== value) found.push(`${key} is ${value}, which nobody put`);
    }
    return found;
  }
}
