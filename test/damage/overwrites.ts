import { setTimeout as sleep } from 'node:timers/promises';
import { get, list, put, type ReadOutcome } from '../e2e/client.js';
import type { Cluster } from '../e2e/cluster.js';

const KEYS = 60;
/** Nodes that are not there are asked again after it. */
const PAUSE_MS = 20;
/** Between two puts of a key: the nodes are to have time for other things. */
const THINK_MS = 5;
const PREFIX = 'register/';

/** What its one writer knows of a key. Values are counted, so that of two values it is known which is the older one. */
interface Register {
  /** The newest that was acknowledged. */
  acknowledged: number;
  /** The newest that was sent. */
  sent: number;
}

/**
 * One writer for each key, which overwrites it again and again, so that an older value is as wrong as none. What is read is judged
 * against what the writers were told.
 */
export class Overwrites {
  /** What must not have been read, a line each. */
  readonly violations: string[] = [];
  private readonly registers = new Map<string, Register>();
  private isPaused = false;
  private isEnded = false;
  private writing: Promise<unknown> = Promise.resolve();

  constructor(private readonly cluster: Cluster) {
    for (let count = 0; count < KEYS; count += 1)
      this.registers.set(`${PREFIX}${count}`, { acknowledged: 0, sent: 0 });
  }

  start(): void {
    this.isPaused = false;
    const writers = [...this.registers].map(([key, register], place) => this.write(key, register, place));
    this.writing = Promise.all(writers);
  }

  /** Waits for what is in flight. */
  async pause(): Promise<void> {
    this.isPaused = true;
    await this.writing;
  }

  /** Reads from one node, linearizable and stale, until it is told to stop. */
  async readFrom(url: string, signal: AbortSignal): Promise<number> {
    let answered = 0;
    for (let count = 0; !signal.aborted && !this.isEnded; count += 1) {
      const key = `${PREFIX}${count % KEYS}`;
      const register = this.registers.get(key);
      if (register === undefined) continue;
      const isStale = count % 2 === 1;
      const query = isStale ? 'consistency=stale&timeout=200ms' : 'redirect=never&timeout=200ms';
      // A stale read may show any earlier value; that it is not mixed up with another key is seen by its text.
      const floor = isStale ? 0 : register.acknowledged;
      const outcome = await get(url, key, { query });
      if (outcome.kind === 'unavailable') {
        await sleep(PAUSE_MS);
        continue;
      }
      answered += 1;
      const problem = problemOf(key, outcome, floor, register.sent);
      if (problem !== null)
        this.violations.push(`${isStale ? 'stale' : 'linearizable'} at ${url}: ${problem}`);
    }
    return answered;
  }

  /** While the writers pause and all nodes have applied the same: everything that each node holds. */
  async verify(): Promise<void> {
    for (const { id, url } of this.cluster.running) {
      const found = await list(url, PREFIX, 'consistency=stale');
      for (const [key, { acknowledged, sent }] of this.registers) {
        const problem = problemIn(key, found.get(key), acknowledged, sent);
        if (problem !== null) this.violations.push(`listing of ${id}: ${problem}`);
      }
    }
  }

  end(): Promise<unknown> {
    this.isEnded = true;
    this.isPaused = true;
    return this.writing;
  }

  private async write(key: string, register: Register, place: number): Promise<void> {
    const { nodes } = this.cluster;
    for (let target = place; !this.isPaused; ) {
      register.sent += 1;
      const outcome = await put(nodes[target % nodes.length]?.url ?? '', key, textOf(key, register.sent), {
        query: 'timeout=2s',
      });
      if (outcome.kind === 'done') {
        register.acknowledged = register.sent;
        await sleep(THINK_MS);
      } else {
        target += 1;
        await sleep(PAUSE_MS);
      }
    }
  }
}

function textOf(key: string, count: number): string {
  return `${key} ${count} ${'x'.repeat(count % 700)}`;
}

function problemOf(key: string, outcome: ReadOutcome, floor: number, ceiling: number): string | null {
  return problemIn(key, outcome.kind === 'found' ? outcome.value : undefined, floor, ceiling);
}

function problemIn(key: string, value: string | undefined, floor: number, ceiling: number): string | null {
  if (value === undefined) return floor === 0 ? null : `${key} is gone, which had value ${floor}`;
  const count = Number(value.split(' ')[1]);
  if (value !== textOf(key, count))
    return `${key} is ${JSON.stringify(value.slice(0, 60))}, which nobody wrote`;
  if (count < floor) return `${key} has value ${count}, which is older than ${floor}`;
  return count <= ceiling ? null : `${key} has value ${count}, and only ${ceiling} were written`;
}
