import type { Clock, Timer } from '../clock.js';
import type { ClusterVersion } from '../cluster-version.js';
import type { Raft } from '../raft/raft.js';
import type { Index } from '../raft/types.js';
import type { NodeLogger, StateMachine } from './contracts.js';
import { FLUSH_BYTES, FLUSH_DELAY_MS, HELD_LOG_SHARE } from './limits.js';

/** Above either of these the log is compacted. */
export interface LogBounds {
  readonly logEntriesMax: number;
  readonly logBytesMax: number;
}

/** How many entries a compaction leaves: half the bound, taking all entries for equally large. */
export function keptEntries(
  { entries, bytes }: { readonly entries: number; readonly bytes: number },
  { logEntriesMax, logBytesMax }: LogBounds,
): number {
  return Math.floor(entries * Math.min(1, logEntriesMax / 2 / entries, logBytesMax / 2 / bytes));
}

/** Decides when the state goes to disk, and then how much of the log is needed no more. */
export class Flusher {
  private timer: Timer | null = null;
  private isFlushing = false;
  private isStopped = false;
  /** Bytes of the log after the last flush and what it let go. */
  private logBytesThen = 0;
  private clusterVersionThen: ClusterVersion;

  constructor(
    private readonly raft: Raft,
    private readonly stateMachine: StateMachine<unknown>,
    private readonly clock: Clock,
    private readonly logger: NodeLogger,
    private readonly bounds: LogBounds,
    private readonly hooks: {
      /** What a follower that gets a snapshot needs the log to follow from. */
      neededIndex(): Index | undefined;
      /** The log has grown too long for whoever needs it from this index on: from now on nobody does. */
      release(index: Index): void;
      /** Whether there is room on the disk for a flush. */
      hasRoom(): boolean;
      flushed(): void;
      compacted(): void;
      fatal(error: unknown): void;
    },
  ) {
    this.clusterVersionThen = stateMachine.clusterVersion;
  }

  /** Entries may have been applied: flush soon, or at once when much is buffered. */
  noteChanges(): void {
    if (this.stateMachine.appliedIndex === this.stateMachine.flushedIndex) return;
    if (this.isMuchBuffered() || this.hasMovedOn()) this.flushNow();
    else this.timer ??= this.clock.after(FLUSH_DELAY_MS, () => this.flushNow());
  }

  flushNow(): void {
    this.timer?.cancel();
    this.timer = null;
    if (this.isFlushing || this.isStopped) return;
    if (!this.hooks.hasRoom()) {
      this.timer = this.clock.after(FLUSH_DELAY_MS, () => this.flushNow());
      return;
    }
    this.isFlushing = true;
    this.clusterVersionThen = this.stateMachine.clusterVersion;
    const startedAtMs = this.clock.now();
    this.stateMachine.flush().then(
      () => {
        this.isFlushing = false;
        const index = this.stateMachine.flushedIndex;
        const ms = Math.round(this.clock.now() - startedAtMs);
        this.logger.debug({ index, ms }, `The state is on disk up to index ${index}; that took ${ms} ms.`);
        if (this.isStopped) return;
        try {
          this.compactLog();
          this.logBytesThen = this.raft.logSize.bytes;
          this.hooks.flushed();
          this.noteChanges();
        } catch (error) {
          this.hooks.fatal(error);
        }
      },
      (error: unknown) => {
        if (!this.isStopped) this.hooks.fatal(error);
      },
    );
  }

  stop(): void {
    this.isStopped = true;
    this.timer?.cancel();
    this.timer = null;
  }

  /**
   * Cuts the log down to half its bound, so that a follower that is a little behind still finds what it needs, and never
   * above what is on disk in the state (correctness rule 23). What a follower needs that gets a snapshot is kept as well, for
   * as long as the log stays well below the size at which proposals are refused: one follower must not decide whether
   * clients can write. To be called when any of these moves: a log that is full takes no entry whose flush would bring it
   * here again.
   */
  compactLog(): void {
    if (this.isStopped) return;
    const { firstIndex } = this.raft;
    let needed = this.hooks.neededIndex();
    this.cut(needed);
    while (needed !== undefined && needed < this.stateMachine.flushedIndex && this.exceeds(HELD_LOG_SHARE)) {
      this.hooks.release(needed);
      needed = this.hooks.neededIndex();
      this.cut(needed);
    }
    if (this.raft.firstIndex === firstIndex) return;
    const { entries, bytes } = this.raft.logSize;
    this.logger.debug(
      { firstIndex: this.raft.firstIndex, entries, bytes },
      `The log begins at index ${this.raft.firstIndex} now, and has ${entries} entries of ${bytes} bytes.`,
    );
    this.hooks.compacted();
  }

  /** The log can only be cut below what is flushed, so what is not must stay well below the log's bound. */
  private isMuchBuffered(): boolean {
    const { appliedIndex, flushedIndex, bufferedBytes } = this.stateMachine;
    const { logEntriesMax, logBytesMax } = this.bounds;
    return (
      bufferedBytes >= Math.min(FLUSH_BYTES, logBytesMax / 2) ||
      appliedIndex - flushedIndex >= logEntriesMax / 2 ||
      // A command that changes nothing, such as a put whose condition does not hold, takes room in the log alone.
      this.raft.logSize.bytes - this.logBytesThen >= logBytesMax / 2
    );
  }

  /** An older program must find at once that it can no longer open this state: what it would find in the log ends it later. */
  private hasMovedOn(): boolean {
    return this.stateMachine.clusterVersion !== this.clusterVersionThen;
  }

  private cut(neededIndex = Number.POSITIVE_INFINITY): void {
    // Entries are not equally large: the last few may be above the bound in bytes by themselves.
    while (this.exceeds(1)) {
      const target = Math.min(
        this.raft.lastIndex - keptEntries(this.raft.logSize, this.bounds),
        this.stateMachine.flushedIndex,
        neededIndex,
      );
      if (target < this.raft.firstIndex) return;
      this.raft.compact(target);
    }
  }

  /** Whether the log is larger than this multiple of its bound. */
  private exceeds(share: number): boolean {
    const { entries, bytes } = this.raft.logSize;
    return entries > share * this.bounds.logEntriesMax || bytes > share * this.bounds.logBytesMax;
  }
}
