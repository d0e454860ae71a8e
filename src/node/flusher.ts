import type { Clock, Timer } from '../clock.js';
import type { Raft } from '../raft/raft.js';
import type { Index } from '../raft/types.js';
import type { StateMachine } from './contracts.js';
import { FLUSH_BYTES, FLUSH_DELAY_MS } from './limits.js';

/** Decides when the state goes to disk, and then how much of the log is needed no more. */
export class Flusher {
  private timer: Timer | null = null;
  private isFlushing = false;
  private isStopped = false;

  constructor(
    private readonly raft: Raft,
    private readonly stateMachine: StateMachine<unknown>,
    private readonly clock: Clock,
    private readonly bounds: { readonly logEntriesMax: number; readonly logBytesMax: number },
    private readonly hooks: {
      /** What a snapshot on its way to a follower needs the log to follow from. */
      neededIndex(): Index | undefined;
      flushed(): void;
      compacted(): void;
      fatal(error: unknown): void;
    },
  ) {}

  /** Entries may have been applied: flush soon, or at once when much is buffered. */
  noteChanges(): void {
    if (this.stateMachine.appliedIndex === this.stateMachine.flushedIndex) return;
    if (this.stateMachine.bufferedBytes >= FLUSH_BYTES) this.flushNow();
    else this.timer ??= this.clock.after(FLUSH_DELAY_MS, () => this.flushNow());
  }

  flushNow(): void {
    this.timer?.cancel();
    this.timer = null;
    if (this.isFlushing || this.isStopped) return;
    this.isFlushing = true;
    this.stateMachine.flush().then(
      () => {
        this.isFlushing = false;
        if (this.isStopped) return;
        try {
          this.compactLog();
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
   * above what is on disk in the state (correctness rule 23) or what a snapshot under way needs after it. To be called when
   * either of these moves: a log that is full takes no entry whose flush would bring it here again.
   */
  compactLog(): void {
    if (this.isStopped) return;
    const { entries, bytes } = this.raft.logSize;
    const { logEntriesMax, logBytesMax } = this.bounds;
    if (entries <= logEntriesMax && bytes <= logBytesMax) return;
    const share = Math.min(1, logEntriesMax / 2 / entries, logBytesMax / 2 / bytes);
    const target = Math.min(
      this.raft.lastIndex - Math.floor(entries * share),
      this.stateMachine.flushedIndex,
      this.hooks.neededIndex() ?? Number.POSITIVE_INFINITY,
    );
    if (target < this.raft.firstIndex) return;
    this.raft.compact(target);
    this.hooks.compacted();
  }
}
