import { StorageDamaged } from '../errors.js';
import { MemoryDisk, type PendingWrite, type WriteFate } from '../storage/memory-store.js';
import type { Operation, StoreDirectory } from '../storage/ordered-store.js';
import { DurableLog } from './durable-log.js';
import { LogShadow, withFlippedBit } from './log-shadow.js';
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

export type StoreKind = 'log' | 'state';

/** `cut`: the end of the log is missing, as after a write that never finished. `damaged`: an open must refuse it. */
export type LogDamage = 'none' | 'cut' | 'damaged';

/** How long reads, steps of long reads and turns of the event loop take at most; the shortest take no time. */
export interface ReadTimes {
  readonly readMsMax: number;
  /** How long a write may be on the disk before its process hears of it. */
  readonly settleMsMax: number;
  /** Bytes in one step of a scan. */
  readonly scanStepBytes: number;
}

/** Every other read is answered at once. */
const AT_ONCE_RATE = 0.5;
/** Once the faults have ended, nothing takes longer than this. */
const CALM_READ_MS_MAX = 0.5;

/**
 * A disk whose reads and writes take virtual time. A write can be read before its process hears that it is done. A crash keeps
 * or loses each write that was under way, as a coin falls; a write may also fail, after which nobody knows whether it is there
 * (correctness rule 30).
 */
export class SimDisk {
  /** How long writes to the log take, and those to the states. */
  private readonly pace: Record<StoreKind, DiskPace>;
  /** What the log's store holds, for the checkers. */
  readonly durable = new DurableLog();
  /** The next write to the log, or to a state, fails. */
  failsNextWrite: StoreKind | null = null;
  /** What the log's store lost of what it had. */
  damage: LogDamage = 'none';
  /** The names of the states whose files are damaged. */
  private readonly damagedStates = new Set<string>();
  readonly counts = { writes: 0, failed: 0, lost: 0, kept: 0 };
  private readonly disk: MemoryDisk;
  private readonly readRandom: Prng;
  private isCalm = false;
  private readonly shadow = new LogShadow();
  private process: Process | null = null;
  /** When the last write to each store will be done: those to one store are done in their order. */
  private readonly busyUntilMs = new Map<string, number>();

  constructor(
    private readonly parts: {
      readonly number: number;
      readonly scheduler: Scheduler;
      readonly random: Prng;
      readonly trace: Trace;
      /** Asked at the write to the log that names another state: whether the process dies with it. */
      readonly diesAtInstall: () => boolean;
      /** Called when a write to the log reached the disk, before the node hears of it. */
      readonly onDurable: () => void;
    },
    private readonly calm: DiskPace,
    private readonly readTimes: ReadTimes,
  ) {
    this.pace = { log: calm, state: calm };
    this.readRandom = parts.random.fork('reads');
    const pace = { stepBytes: readTimes.scanStepBytes, wait: () => this.waitToRead() };
    this.disk = new MemoryDisk((write) => this.schedule(write), pace);
  }

  /** The directory for a process that has just started. */
  open(process: Process): StoreDirectory {
    this.process = process;
    const directory = this.disk.directory();
    return {
      open: async (name) => {
        // The files of a store are looked at before it is opened (storage/store-check.ts).
        if (!this.damagedStates.has(name)) return directory.open(name);
        await this.waitToRead();
        throw damagedState(name);
      },
      list: () => directory.list(),
      remove: async (name) => {
        await directory.remove(name);
        this.damagedStates.delete(name);
      },
    };
  }

  get hasDamagedState(): boolean {
    return this.damagedStates.size > 0;
  }

  /** What a look at the files of this state finds; null where they are whole. */
  lookAt(store: string): StorageDamaged | null {
    return this.damagedStates.has(store) ? damagedState(store) : null;
  }

  /** Whether a write is under way. */
  get isWriting(): boolean {
    return this.disk.pendingWrites.length > 0;
  }

  /** Reads take next to no time from now on. */
  calmReads(): void {
    this.isCalm = true;
  }

  /** How long the next read, or step of one, takes. */
  readMs(): number {
    return this.drawMs(this.readTimes.readMsMax);
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
    this.failsNextWrite = null;
    this.process = null;
  }

  /** From now on writes to these stores take so long; without a pace, as long as usual. */
  setPace(kinds: readonly StoreKind[], pace = this.calm): void {
    for (const kind of kinds) this.pace[kind] = pace;
  }

  /** Takes the end of the log away, or changes something in it. Only while no process runs. Returns whether that was possible. */
  harmLog(damage: 'cut' | 'damaged'): boolean {
    const operations = damage === 'cut' ? this.shadow.cut() : this.shadow.damage(this.parts.random);
    if (operations.length === 0) return false;
    this.disk.tamper(LOG_STORE, operations);
    // What is damaged is never read again, so the checkers go on with what was promised.
    if (damage === 'cut') this.follow(operations);
    this.damage = damage;
    return true;
  }

  /**
   * Changes a bit of a record of the live state, or, while no process runs, takes one away. What is missing shows in the files, and
   * not in what is read of them. Returns whether there was a record.
   */
  harmState(): boolean {
    const { random } = this.parts;
    const { liveState } = this.durable;
    const records = liveState === null ? [] : this.disk.records(liveState);
    const record = random.pick(records.filter(({ value }) => value.length > 0));
    if (liveState === null || record === undefined) return false;
    const isLost = this.process === null && random.chance(0.5);
    this.disk.tamper(liveState, [
      isLost ? { kind: 'delete', key: record.key } : withFlippedBit(record, random),
    ]);
    this.damagedStates.add(liveState);
    return true;
  }

  private follow(operations: readonly Operation[]): void {
    this.shadow.follow(operations);
    this.durable.apply(operations);
  }

  private schedule(write: PendingWrite): void {
    const { process } = this;
    const { scheduler, random } = this.parts;
    const installs = write.store === LOG_STORE && this.durable.namesAnotherState(write.operations);
    if (installs && process !== null && this.parts.diesAtInstall()) process.stepsLeft = 1;
    // The process may die just before it writes, or with the write handed over and nothing done.
    if (process === null || !process.step()) return;
    this.counts.writes += 1;
    const { latencyMsMin, latencyMsMax } = this.pace[kindOf(write)];
    const doneAtMs = Math.max(
      scheduler.nowMs + random.between(latencyMsMin, latencyMsMax),
      this.busyUntilMs.get(write.store) ?? 0,
    );
    const settleMs = this.drawMs(this.readTimes.settleMsMax);
    this.busyUntilMs.set(write.store, doneAtMs + settleMs);
    scheduler.after(doneAtMs - scheduler.nowMs, process, () => this.complete(write, process, settleMs));
  }

  private waitToRead(): Promise<void> | undefined {
    const { process } = this;
    const readMs = this.readMs();
    if (process === null || readMs === 0) return undefined;
    return new Promise((resolve) => this.parts.scheduler.after(readMs, process, () => resolve()));
  }

  private drawMs(msMax: number): number {
    if (msMax === 0 || this.readRandom.chance(AT_ONCE_RATE)) return 0;
    return this.readRandom.between(0, this.isCalm ? Math.min(msMax, CALM_READ_MS_MAX) : msMax);
  }

  private complete(write: PendingWrite, process: Process, settleMs: number): void {
    if (this.failsNextWrite === kindOf(write)) {
      this.failsNextWrite = null;
      this.counts.failed += 1;
      const fate: WriteFate = this.parts.random.chance(0.5) ? 'durable' : 'lost';
      this.note(write, `failed and is ${fate}`);
      if (fate === 'durable') this.reached(write);
      write.fail(new InjectedDiskError(), fate);
      return;
    }
    this.note(write, 'done');
    this.reached(write);
    write.reach();
    if (settleMs === 0) write.settle();
    else this.parts.scheduler.after(settleMs, process, () => write.settle());
  }

  private reached(write: PendingWrite): void {
    if (write.store !== LOG_STORE) {
      this.durable.applyState(write.store, write.operations);
      return;
    }
    this.follow(write.operations);
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

function damagedState(store: string): StorageDamaged {
  return new StorageDamaged(
    'state',
    `The node's state is damaged: a block of a file of ${store} does not match its checksum.`,
  );
}

function kindOf(write: PendingWrite): StoreKind {
  return write.store === LOG_STORE ? 'log' : 'state';
}

/** The disk refused a write because the plan of faults said so; a node must stop with it. */
export class InjectedDiskError extends Error {
  constructor() {
    super('The simulated disk failed.');
  }
}
