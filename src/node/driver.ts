import { present } from '../assert.js';
import type { Clock } from '../clock.js';
import { Histogram } from '../histogram.js';
import type { Raft } from '../raft/raft.js';
import type {
  Entry,
  Message,
  Persist,
  RaftEvent,
  ReadConfirmed,
  Ready,
  SnapshotRequest,
} from '../raft/types.js';
import type { LogWriter, StagedSnapshot } from './contracts.js';

/** What the driver hands on; the node wires it to the transport, the state machine and those who wait. */
export interface DriverHooks {
  event(event: RaftEvent): void;
  send(message: Message): void;
  committed(entries: readonly Entry[]): void;
  reads(confirmed: readonly ReadConfirmed[]): void;
  readsRefused(contexts: readonly number[]): void;
  snapshotRequested(request: SnapshotRequest): void;
  /** A staged snapshot is named in the log's store now: make it the live state. */
  snapshotInstalled(staged: StagedSnapshot): void;
  /** A staged snapshot that the core took was replaced by a later one before it was named. */
  snapshotOvertaken(staged: StagedSnapshot): void;
  /** Called before a Ready is taken, to bring in what gathered. */
  gather(): void;
  /** Called after everything that could be done was done. */
  settled(): void;
  /** The disk or an invariant failed: nothing is safe but to end the process (correctness rule 30). */
  fatal(error: unknown): void;
}

/**
 * Performs what the core asks for, in the order that {@link Ready} states, and never waits for the disk before it takes
 * the next message. One write is in flight at a time; what the core wants written meanwhile gathers into the next, so
 * one sync serves many proposals (group commit), while replication to the followers runs beside it.
 */
export class Driver {
  private waiting: Persist[] = [];
  private isWriting = false;
  private delayed: { sequence: number; message: Message }[] = [];
  private isScheduled = false;
  private isRunning = false;
  private isStopped = false;
  /** The staged snapshot that the core is being told of right now. */
  private offered: StagedSnapshot | null = null;
  /** Staged snapshots that the core took, by the sequence of the batch that will name them. */
  private readonly taken = new Map<number, StagedSnapshot>();
  /** Synced writes to the log, and how many of the core's batches they carried. */
  readonly counts = { writes: 0, batches: 0 };
  /** How long each of those writes took. */
  readonly writeTimes = new Histogram();

  constructor(
    private readonly raft: Raft,
    private readonly log: LogWriter,
    private readonly clock: Clock,
    private readonly hooks: DriverHooks,
  ) {}

  /** Something changed: run once the input that is already there has been read too. */
  wake(): void {
    if (this.isScheduled || this.isStopped) return;
    this.isScheduled = true;
    this.clock.soon(() => {
      this.isScheduled = false;
      this.run();
    });
  }

  /** Does everything that can be done now. */
  run(): void {
    // A hook may lead back here; the loop below sees what it changed.
    if (this.isRunning || this.isStopped) return;
    this.isRunning = true;
    try {
      this.raft.timeIs(this.clock.now());
      this.hooks.gather();
      while (!this.isStopped && this.raft.hasReady()) this.perform(this.raft.takeReady());
      this.hooks.settled();
    } catch (error) {
      this.fail(error);
    } finally {
      this.isRunning = false;
    }
  }

  /** Offers a staged snapshot to the core. Returns whether the core took it in place of its log. */
  offerSnapshot(staged: StagedSnapshot, step: () => void): boolean {
    this.offered = staged;
    try {
      step();
    } catch (error) {
      this.fail(error);
      throw error;
    }
    this.run();
    const isTaken = this.offered === null;
    this.offered = null;
    return isTaken;
  }

  /** Nothing is performed any more. A write in flight is not waited for. */
  stop(): void {
    this.isStopped = true;
  }

  /** Whether everything that the core wanted on disk is there. */
  get isIdle(): boolean {
    return !this.isWriting && this.waiting.length === 0;
  }

  private perform(ready: Ready): void {
    for (const event of ready.events) this.hooks.event(event);
    for (const message of ready.send) this.hooks.send(message);
    for (const delayed of ready.sendAfterPersist) this.delayed.push(delayed);
    if (ready.persist) this.enqueue(ready.persist);
    // Sent bytes reach the network a turn of the event loop later, so the write starts behind them: the followers have
    // more to do until they answer than this disk has.
    if (ready.send.length > 0 && this.waiting.length > 0) this.clock.soon(() => this.startWriting());
    else this.startWriting();
    if (ready.committed.length > 0) this.hooks.committed(ready.committed);
    if (ready.reads.length > 0) this.hooks.reads(ready.reads);
    if (ready.readsRefused.length > 0) this.hooks.readsRefused(ready.readsRefused);
    for (const request of ready.snapshotRequests) this.hooks.snapshotRequested(request);
  }

  private startWriting(): void {
    const last = this.waiting.at(-1);
    if (this.isWriting || this.isStopped || last === undefined) return;
    const batches = this.waiting;
    this.waiting = [];
    this.isWriting = true;
    this.counts.writes += 1;
    this.counts.batches += batches.length;
    const installed = this.takeStaged(batches);
    const startedAtMs = this.clock.now();
    this.log.write(batches, installed?.directory).then(
      () => {
        if (this.isStopped) return;
        this.isWriting = false;
        this.writeTimes.observe((this.clock.now() - startedAtMs) / 1_000);
        try {
          if (installed) this.hooks.snapshotInstalled(installed);
          this.raft.persisted(last.sequence);
          this.release(last.sequence);
        } catch (error) {
          this.fail(error);
          return;
        }
        this.run();
        this.startWriting();
      },
      (error: unknown) => this.fail(error),
    );
  }

  private enqueue(persist: Persist): void {
    this.waiting.push(persist);
    if (persist.snapshot === null) return;
    const staged = present(this.offered, 'The core takes a snapshot only when one is offered.');
    this.taken.set(persist.sequence, staged);
    this.offered = null;
  }

  /** The state that the last snapshot among these batches stands for; an earlier one is overtaken by it. */
  private takeStaged(batches: readonly Persist[]): StagedSnapshot | undefined {
    let installed: StagedSnapshot | undefined;
    for (const { sequence, snapshot } of batches) {
      if (snapshot === null) continue;
      if (installed) this.hooks.snapshotOvertaken(installed);
      installed = present(this.taken.get(sequence), 'A snapshot that the core took is on this disk.');
      this.taken.delete(sequence);
    }
    return installed;
  }

  /** What was promised is on disk, so the messages that promise it may leave. */
  private release(sequence: number): void {
    let count = 0;
    for (const delayed of this.delayed) {
      if (delayed.sequence > sequence) break;
      this.hooks.send(delayed.message);
      count += 1;
    }
    this.delayed.splice(0, count);
  }

  private fail(error: unknown): void {
    if (this.isStopped) return;
    this.isStopped = true;
    this.hooks.fatal(error);
  }
}
