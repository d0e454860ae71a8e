import type { Index } from './types.js';

/** A member that was removed and is not told yet. */
export interface Departing {
  readonly incarnation: string;
  /** Of the configuration without it. */
  readonly index: Index;
  readonly sinceTick: number;
  toldInRound: number | null;
}

/**
 * What a leader knows about one follower's log (Figure 2, `nextIndex` and `matchIndex`).
 *
 * - `probe`: where the logs agree is not known. One append at a time, until one is accepted.
 * - `replicate`: they agree up to `match`; appends are pipelined, several in flight, `next` running ahead.
 * - `snapshot`: what the follower needs is compacted; it gets the state instead, and no appends meanwhile.
 *
 * Invariant: `match < next`, and `match` never goes back (correctness rule 9).
 */
export class Progress {
  state: 'probe' | 'replicate' | 'snapshot' = 'probe';
  match: Index = 0;
  next: Index;
  /** In `probe`: an append is on its way, so wait for its answer (or the next heartbeat's) before another. */
  probeSent = false;
  /** The follower refused an entry of this leader, for this reason, and has taken nothing since; null if it did not. */
  refusal: string | null = null;
  /** In `replicate`: nothing was answered for a heartbeat's time, so ask with an empty append whether all arrived. */
  verify = false;
  /** Whether an append was answered since the last heartbeat answer. */
  answeredAppend = false;
  /** The tick at which a heartbeat's answer last freed it from waiting. */
  freedTick: number;
  /** Whether anything was heard since the last CheckQuorum. */
  recentlyActive = false;
  /** The tick of the last answer, or null if it never answered this leader. */
  lastContactTick: number | null = null;
  /** Whether little room is left on its disk, as it last said. */
  lowSpace = false;
  /** The highest heartbeat round that it acknowledged. */
  acknowledgedRound = 0;
  /** The commit index that the last append or heartbeat told it. */
  commitSent: Index = 0;
  /** A learner's current catch-up round (thesis §4.2.1), null for others. */
  catchUp: { target: Index; startedAtTick: number } | null = null;
  /** A learner whose last round was short enough. */
  keptUp = false;
  /**
   * For a member that was removed: the index of the configuration without it. It goes on getting the log until it has
   * answered a round whose heartbeat told it that this index is committed, so that it knows; then it is dropped
   * (correctness rule 17). Only that incarnation of it can answer: another one has another log (rule 16).
   */
  departing: Departing | null = null;

  /** Appends sent and not answered, oldest first. */
  private readonly inFlight: { lastIndex: Index; bytes: number }[] = [];
  private bytesInFlight = 0;

  constructor(
    next: Index,
    private readonly limits: { readonly messagesInFlightMax: number; readonly bytesInFlightMax: number },
    now: number,
  ) {
    this.next = next;
    this.freedTick = now;
  }

  becomeProbe(): void {
    this.state = 'probe';
    this.next = this.match + 1;
    this.probeSent = false;
    this.verify = false;
    this.clearInFlight();
  }

  becomeReplicate(): void {
    this.state = 'replicate';
    this.next = this.match + 1;
    this.probeSent = false;
    this.clearInFlight();
  }

  becomeSnapshot(): void {
    this.state = 'snapshot';
    this.probeSent = false;
    this.verify = false;
    this.clearInFlight();
  }

  /** Whether another append with entries may be sent now. */
  get canSend(): boolean {
    if (this.state === 'snapshot' || this.refusal !== null) return false;
    if (this.state === 'probe') return !this.probeSent;
    const { messagesInFlightMax, bytesInFlightMax } = this.limits;
    return this.inFlight.length < messagesInFlightMax && this.bytesInFlight < bytesInFlightMax;
  }

  /** Notes an append with entries up to `lastIndex`. */
  sent(lastIndex: Index, bytes: number): void {
    if (this.state === 'probe') {
      this.probeSent = true;
      return;
    }
    this.next = lastIndex + 1;
    this.inFlight.push({ lastIndex, bytes });
    this.bytesInFlight += bytes;
  }

  /** An append up to `index` was accepted and is on the follower's disk. Returns whether that is news. */
  acknowledged(index: Index): boolean {
    this.answeredAppend = true;
    while ((this.inFlight[0]?.lastIndex ?? Number.POSITIVE_INFINITY) <= index) {
      this.bytesInFlight -= this.inFlight.shift()?.bytes ?? 0;
    }
    if (this.state === 'probe') this.probeSent = false;
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    return true;
  }

  private clearInFlight(): void {
    this.inFlight.length = 0;
    this.bytesInFlight = 0;
  }
}
