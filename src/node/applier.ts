import { present } from '../assert.js';
import type { Clock } from '../clock.js';
import type { Entry, Index } from '../raft/types.js';
import type { StateMachine } from './contracts.js';
import { APPLY_SLICE_MS, BUFFERED_BYTES_MAX } from './limits.js';

const ENTRIES_BETWEEN_READINGS = 16;

/**
 * Applies committed entries in order, in slices short enough that heartbeats are never late, and only as fast as the
 * state reaches the disk.
 */
export class Applier<Result> {
  private queue: readonly Entry[] = [];
  private position = 0;
  /** Something will call {@link run} again: a timer, a read-ahead or a flush. */
  private isPaused = false;
  /** Grows when the state is replaced, so that a read-ahead for the old one is not taken for the new. */
  private generation = 0;

  constructor(
    private readonly stateMachine: StateMachine<Result>,
    private readonly clock: Clock,
    private readonly hooks: {
      /** An entry was applied. */
      applied(entry: Entry, result: Result | undefined): void;
      /** A slice is done. */
      progressed(): void;
      /** Too much is buffered: flush now, then call {@link Applier.resume}. */
      needsFlush(): void;
      fatal(error: unknown): void;
    },
  ) {}

  /** Takes entries that follow those that were taken before. */
  enqueue(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    const rest = this.queue.slice(this.position);
    this.queue = rest.length === 0 ? entries : [...rest, ...entries];
    this.position = 0;
    this.run();
  }

  /** The state was replaced by a snapshot at `index`: what it covers is not applied again. */
  skipTo(index: Index): void {
    this.generation += 1;
    this.queue = this.queue.slice(this.position).filter((entry) => entry.index > index);
    this.position = 0;
    this.isPaused = false;
    this.hooks.progressed();
    this.run();
  }

  /** A flush is done. */
  resume(): void {
    if (!this.isPaused) this.run();
  }

  /** @param prepared The next entry, where what it needed was read ahead. */
  private run(prepared?: Entry): void {
    if (this.isPaused || this.position === this.queue.length) return;
    const until = this.clock.now() + APPLY_SLICE_MS;
    // Before anything else may change what was read. It may be the last one, and somebody may wait for it.
    if (prepared !== undefined) this.applyNext(prepared);
    while (this.position < this.queue.length) {
      if (this.stateMachine.bufferedBytes > BUFFERED_BYTES_MAX) {
        this.hooks.needsFlush();
        break;
      }
      const entry = present(this.queue[this.position], 'The loop condition says that an entry is left.');
      const ahead = this.stateMachine.prepare(entry);
      if (ahead !== undefined) {
        this.pauseFor(ahead, entry);
        break;
      }
      this.applyNext(entry);
      // Reading the clock costs a good part of an apply, so it is read once in a while.
      if (this.position % ENTRIES_BETWEEN_READINGS === 0 && this.clock.now() >= until) {
        this.pauseFor(new Promise((resolve) => this.clock.soon(() => resolve())));
        break;
      }
    }
    this.hooks.progressed();
  }

  private applyNext(entry: Entry): void {
    const result = this.stateMachine.apply(entry);
    this.position += 1;
    this.hooks.applied(entry, result);
  }

  /** Goes on once `what` is done; `prepared` is the entry that it was for, to be applied before anything else. */
  private pauseFor(what: Promise<void>, prepared?: Entry): void {
    const { generation } = this;
    this.isPaused = true;
    what
      .then(() => {
        if (generation !== this.generation) return;
        this.isPaused = false;
        this.run(prepared);
      })
      // What fails in the continuation is as fatal as what it waited for; a read-ahead in a state that was replaced is not.
      .catch((error: unknown) => {
        if (generation === this.generation) this.hooks.fatal(error);
      });
  }
}
