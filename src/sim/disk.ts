import { MemoryDisk, type PendingWrite, type WriteFate } from '../storage/memory-store.js';
import type { StoreDirectory } from '../storage/ordered-store.js';
import { DurableLog } from './durable-log.js';
import type { Prng } from './prng.js';
import { type Trace, TraceKind } from './trace.js';
import type { Process, Scheduler } from './virtual-clock.js';

/** How long a synced write takes at present, drawn anew for each. */
export interface DiskPace {
  readonly latencyMsMin: number;
  readonly latencyMsMax: number;
}

/** The name of the store that holds the log; the others hold states. */
export const LOG_STORE = 'log';

/**
 * A disk whose writes take virtual time. A crash keeps or loses each write that was under way, as a coin falls; a write
 * may also fail, after which nobody knows whether it is there (correctness rule 30).
 */
export class SimDisk {
  pace: DiskPace;
  /** What the log's store holds, for the checkers. */
  readonly durable = new DurableLog();
  /** The next write to the log fails. */
  failsNextWrite = false;
  readonly counts = { writes: 0, failed: 0, lost: 0, kept: 0 };
  private readonly disk: MemoryDisk;
  private process: Process | null = null;
  /** When the last write to each store will be done: those to one store are done in their order. */
  private readonly busyUntilMs = new Map<string, number>();

  constructor(
    private readonly parts: {
      readonly number: number;
      readonly scheduler: Scheduler;
      readonly random: Prng;
      readonly trace: Trace;
      /** Called when a write to the log reached the disk, before the node hears of it. */
      readonly onDurable: () => void;
    },
    readonly calm: DiskPace,
  ) {
    this.pace = calm;
    this.disk = new MemoryDisk((write) => this.schedule(write));
  }

  /** The directory for a process that has just started. */
  open(process: Process): StoreDirectory {
    this.process = process;
    return this.disk.directory();
  }

  /** The process ended. */
  crash(): void {
    this.disk.crash((write) => {
      const fate: WriteFate = this.parts.random.chance(0.5) ? 'durable' : 'lost';
      this.note(write, fate === 'durable' ? 'kept by the crash' : 'lost in the crash');
      this.counts[fate === 'durable' ? 'kept' : 'lost'] += 1;
      if (fate === 'durable') this.reached(write);
      return fate;
    });
    this.busyUntilMs.clear();
    this.failsNextWrite = false;
    this.process = null;
  }

  private schedule(write: PendingWrite): void {
    const { process } = this;
    const { scheduler, random } = this.parts;
    // The process may die just before it writes, or with the write handed over and nothing done.
    if (process === null || !process.step()) return;
    this.counts.writes += 1;
    const { latencyMsMin, latencyMsMax } = this.pace;
    const doneAtMs = Math.max(
      scheduler.nowMs + random.between(latencyMsMin, latencyMsMax),
      this.busyUntilMs.get(write.store) ?? 0,
    );
    this.busyUntilMs.set(write.store, doneAtMs);
    scheduler.after(doneAtMs - scheduler.nowMs, process, () => this.complete(write));
  }

  private complete(write: PendingWrite): void {
    if (this.failsNextWrite && write.store === LOG_STORE) {
      this.failsNextWrite = false;
      this.counts.failed += 1;
      const fate: WriteFate = this.parts.random.chance(0.5) ? 'durable' : 'lost';
      this.note(write, `failed and is ${fate}`);
      if (fate === 'durable') this.reached(write);
      write.fail(new InjectedDiskError(), fate);
      return;
    }
    this.note(write, 'done');
    this.reached(write);
    write.complete();
  }

  private reached(write: PendingWrite): void {
    if (write.store !== LOG_STORE) return;
    this.durable.apply(write.operations);
    this.parts.onDurable();
  }

  private note(write: PendingWrite, what: string): void {
    const { number, trace } = this.parts;
    const { length } = write.operations;
    trace.note(TraceKind.disk, number, length, write.store.length, () => {
      const { term, vote, startIndex, lastIndex } = this.durable;
      const held =
        write.store === LOG_STORE
          ? ` (was term ${term} vote ${vote} log ${startIndex + 1}..${lastIndex})`
          : '';
      return `disk: write of ${length} to ${write.store} ${what}${held}`;
    });
  }
}

/** The disk refused a write because the plan of faults said so; a node must stop with it. */
export class InjectedDiskError extends Error {
  constructor() {
    super('The simulated disk failed.');
  }
}
