import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { get, list, put } from './client.js';
import type { Cluster } from './cluster.js';
import { until } from './wait.js';

/** After a refusal a client waits this long before it tries the next node. */
const REFUSED_PAUSE_MS = 10;
/** After a write a client waits this long: writes go on all the time, and leave the processors to the nodes. */
const WRITTEN_PAUSE_MS = 10;

export interface LoadOptions {
  /** All keys begin with it. */
  readonly prefix: string;
  readonly writers?: number;
}

/** Clients that put unique values at unique keys, each one at a time, and write down what they were told. */
export class Load {
  readonly acknowledged = new Map<string, string>();
  /** May be there or not. */
  readonly unknown = new Map<string, string>();
  private readonly writers: readonly Promise<void>[];
  private isStopping = false;

  private constructor(
    private readonly cluster: Cluster,
    private readonly options: LoadOptions,
  ) {
    const { writers = 8 } = options;
    this.writers = Array.from({ length: writers }, (_, writer) => this.writeAlone(writer));
  }

  static start(cluster: Cluster, options: LoadOptions): Load {
    return new Load(cluster, options);
  }

  /** Waits until so many more writes were acknowledged. */
  async progress(count: number, timeoutMs?: number): Promise<void> {
    const target = this.acknowledged.size + count;
    await until(
      `${count} more acknowledged writes`,
      () => (this.acknowledged.size >= target ? true : undefined),
      timeoutMs,
    );
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.writers);
  }

  /**
   * Every acknowledged write is on every running node, read in both ways, and nothing that nobody wrote. Writes of unknown
   * outcome are there as they were written, or not at all.
   */
  async verify(): Promise<void> {
    const { prefix } = this.options;
    for (const node of this.cluster.running) {
      const confirmed = await until(`a linearizable listing of ${node.id}`, () =>
        list(node.url, prefix, 'redirect=never').catch(() => undefined),
      );
      this.check(confirmed, `${node.id}, linearizable`);
    }
    await this.cluster.settled();
    for (const node of this.cluster.running) {
      this.check(await list(node.url, prefix, 'consistency=stale'), `${node.id}, stale`);
      const sample = [...this.acknowledged].filter((_, place) => place % 50 === 0);
      for (const [key, value] of sample) {
        expect(await get(node.url, key, { query: 'redirect=never' }), `${key} on ${node.id}`).toMatchObject({
          value,
        });
      }
    }
  }

  private check(found: ReadonlyMap<string, string>, where: string): void {
    const lost = [...this.acknowledged].filter(([key, value]) => found.get(key) !== value);
    expect(lost, `acknowledged and not on ${where}`).toEqual([]);
    const strange = [...found].filter(
      ([key, value]) => (this.acknowledged.get(key) ?? this.unknown.get(key)) !== value,
    );
    expect(strange, `on ${where}, and nobody wrote it`).toEqual([]);
  }

  private async writeAlone(writer: number): Promise<void> {
    const { nodes } = this.cluster;
    let target = writer;
    // Half of them are redirected, for the others the nodes do the work.
    const query = writer % 2 === 0 ? '' : 'redirect=never';
    for (let count = 0; !this.isStopping; count += 1) {
      const key = `${this.options.prefix}${writer}/${count}`;
      const value = `value ${count} of writer ${writer}`;
      for (let isWritten = false; !isWritten && !this.isStopping; ) {
        const node = nodes[target % nodes.length];
        const outcome = await put(node?.url ?? '', key, value, { query });
        if (outcome.kind === 'done') this.acknowledged.set(key, value);
        else if (outcome.kind === 'unknown') this.unknown.set(key, value);
        isWritten = outcome.kind === 'done' || outcome.kind === 'unknown';
        if (!isWritten) {
          if (outcome.kind !== 'refused') throw new Error(`A plain put of ${key} was ${outcome.kind}.`);
          target += 1;
        }
        await sleep(isWritten ? WRITTEN_PAUSE_MS : REFUSED_PAUSE_MS);
      }
    }
  }
}
