import type { Clock, Timer } from '../clock.js';
import type { RaftkvError } from '../errors.js';
import * as limits from './limits.js';
import type { Sweep, Waiter } from './waiting.js';

/** A command that is not in the log yet. */
export interface QueuedProposal<Result> extends Waiter<Result> {
  readonly payload: Uint8Array;
}

/**
 * Proposals that wait for their turn, and when that is (group commit). Every batch costs each node an append, a sync and
 * an answer, whatever it carries, so few large batches beat many small ones; but nobody must wait for company that does
 * not come. Hence two rules:
 *
 * - While a batch is on its way to being committed, what comes meanwhile gathers behind it: the disks take one write at
 *   a time anyway. It follows at once when the batch is committed, when it is large, or when the batch takes longer than
 *   {@link limits.BATCH_LEAD_MS}, so that batches are pipelined where the network is slow.
 * - Clients whose proposals were just committed often come back in a moment with the next ones. So once a batch is
 *   committed the next one waits for as many as there were before, {@link limits.GATHER_MS} at most.
 */
export class ProposalQueue<Result> {
  private waiting: QueuedProposal<Result>[] = [];
  private waitingBytes = 0;
  /** The batch that left last: when, and how many; 0 once its commit was noticed. */
  private leftAt = Number.NEGATIVE_INFINITY;
  private underWay = 0;
  /** How many the next batch is to hold, and until when it waits for them. */
  private expected = 0;
  private gathersUntil = Number.NEGATIVE_INFINITY;
  private timer: Timer | null = null;
  /** The timer fired: what waits has waited long enough. */
  private isOverdue = false;

  /** @param wake Asks for another look at {@link ProposalQueue.due}. */
  constructor(
    private readonly clock: Clock,
    private readonly wake: () => void,
  ) {}

  get size(): number {
    return this.waiting.length;
  }

  add(proposal: QueuedProposal<Result>): void {
    this.waiting.push(proposal);
    this.waitingBytes += proposal.payload.length;
  }

  /** What is to be proposed now; empty when nothing is. `isCommitting` says whether the log holds what is not committed. */
  due(isCommitting: boolean): readonly QueuedProposal<Result>[] {
    if (!isCommitting && this.underWay > 0) this.expectReturn();
    if (this.waiting.length === 0) return [];
    const isLarge = this.waiting.length >= limits.BATCH_COUNT || this.waitingBytes >= limits.BATCH_BYTES;
    if (isLarge) return this.waiting;
    const now = this.clock.now();
    if (!isCommitting && this.waiting.length >= this.expected) return this.waiting;
    const leavesAt = isCommitting ? this.leftAt + limits.BATCH_LEAD_MS : this.gathersUntil;
    if (this.isOverdue || now >= leavesAt) return this.waiting;
    this.wakeAt(leavesAt);
    return [];
  }

  /** What was due is in the log now. */
  left(): void {
    this.leftAt = this.clock.now();
    this.underWay = this.waiting.length;
    this.waiting = [];
    this.waitingBytes = 0;
    this.stopTimer();
  }

  rejectAll(error: () => RaftkvError): void {
    this.rejectWhere(() => true, error);
  }

  /** Rejects the proposals whose deadline has passed or whose client has left. */
  expire(sweep: Sweep, error: () => RaftkvError): void {
    this.rejectWhere((proposal) => sweep.ends(proposal), error);
  }

  private rejectWhere(
    matches: (proposal: QueuedProposal<Result>) => boolean,
    error: () => RaftkvError,
  ): void {
    const rejected = this.waiting.filter(matches);
    if (rejected.length === 0) return;
    this.waiting = this.waiting.filter((proposal) => !matches(proposal));
    this.waitingBytes = this.waiting.reduce((sum, { payload }) => sum + payload.length, 0);
    for (const proposal of rejected) proposal.reject(error());
  }

  private expectReturn(): void {
    this.expected = Math.min(this.underWay + this.waiting.length, limits.GATHER_COUNT);
    this.gathersUntil = this.clock.now() + limits.GATHER_MS;
    this.underWay = 0;
    // It was set for what had to wait for the commit.
    this.stopTimer();
  }

  private stopTimer(): void {
    this.timer?.cancel();
    this.timer = null;
    this.isOverdue = false;
  }

  private wakeAt(time: number): void {
    this.timer ??= this.clock.after(time - this.clock.now(), () => {
      this.timer = null;
      // Said by the timer and not by the clock, which may be a fraction of a millisecond behind it.
      this.isOverdue = true;
      this.wake();
    });
  }
}
