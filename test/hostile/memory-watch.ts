import { setTimeout as sleep } from 'node:timers/promises';
import type { Target } from './cluster.js';

/** A node takes about 130 MiB at rest; what an attack adds must stay below the rest. */
const RESIDENT_BYTES_MAX = 640 * 1024 * 1024;
const SAMPLE_EVERY_MS = 500;

/** The largest memory that any of the nodes took. */
export class MemoryWatch {
  residentBytes = 0;
  #isStopped = false;

  constructor(private readonly nodes: readonly Target[]) {
    void this.#watch();
  }

  assertBounded(): void {
    if (this.residentBytes <= RESIDENT_BYTES_MAX) return;
    throw new Error(`A node takes ${Math.round(this.residentBytes / 2 ** 20)} MiB.`);
  }

  stop(): void {
    this.#isStopped = true;
  }

  async #watch(): Promise<void> {
    while (!this.#isStopped) {
      this.residentBytes = Math.max(this.residentBytes, ...this.nodes.map((node) => node.residentBytes));
      await sleep(SAMPLE_EVERY_MS);
    }
  }
}
