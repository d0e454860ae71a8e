import type { Clock, Timer } from '../clock.js';
import { RaftkvError } from '../errors.js';
import type { Index } from '../raft/types.js';
import { DEADLINE_TICKS, GATHER_COUNT, GATHER_MS, READ_RETRY_MS, TICK_MS, WAITING_MAX } from './limits.js';
import { overloaded, readUnavailable, Sweep, type Waiter } from './waiting.js';

/**
 * Linearizable reads need an index that the leader confirms (ReadIndex, §8); this node asks for it, be it the leader or not. One
 * question is under way at a time, and reads that come meanwhile share the next one: an answer to a question that was
 * asked before a read arrived would prove nothing for that read (correctness rule 18). Where nobody leads, or whoever led is
 * gone, reads wait for the next leader within their own time: they change nothing, so that they can be asked about again.
 */
export class LeaderReads {
  private waiting: Waiter<Index>[] = [];
  private asked: Waiter<Index>[] = [];
  /** The question under way; an answer to any other is of no use any more. */
  private question = 0;
  private isAsking = false;
  /** How many reads the next question waits for, as long as there is a timer. */
  private expected = 0;
  private gathering: Timer | null = null;
  private isSweeping = false;
  private readonly sweep = new Sweep();

  /**
   * @param ask Asks whoever leads; rejects when nobody is known to.
   * @param mayRecover Whether this node may still read once there is a leader; otherwise reads fail with what `ask` says.
   */
  constructor(
    private readonly clock: Clock,
    private readonly ask: (timeoutMs: number) => Promise<Index>,
    private readonly mayRecover: () => boolean = () => true,
  ) {}

  get size(): number {
    return this.waiting.length + this.asked.length;
  }

  /** Rejects with `unavailable` at the read's own deadline, or when its client leaves, whatever the others wait for. */
  index(timeoutMs: number, signal?: AbortSignal): Promise<Index> {
    if (this.size >= WAITING_MAX) {
      return Promise.reject(overloaded(`${WAITING_MAX} reads are waiting on this node.`));
    }
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject, deadline: this.clock.now() + timeoutMs, signal });
      if (!this.isAsking && this.waiting.length >= this.expected) this.askNext();
      this.sweepLater();
    });
  }

  /** Another node leads, or none: the one that was asked may be gone, and a later answer proves as much as an earlier. */
  leaderChanged(): void {
    if (this.isAsking) this.askAgain();
  }

  private askNext(): void {
    this.stopGathering();
    this.question += 1;
    const { question } = this;
    this.asked = this.waiting;
    this.waiting = [];
    this.isAsking = this.asked.length > 0;
    if (!this.isAsking) return;
    const latest = this.asked.reduce((most, { deadline }) => Math.max(most, deadline), 0);
    this.ask(Math.max(1, latest - this.clock.now())).then(
      (index) => this.settle(question, (waiter) => waiter.resolve(index)),
      (error) => {
        if (question !== this.question) return;
        if (hasNoLeader(error) && this.mayRecover()) this.pause();
        else this.settle(question, (waiter) => waiter.reject(error));
      },
    );
  }

  private askAgain(): void {
    this.waiting = [...this.asked, ...this.waiting];
    this.askNext();
  }

  /** The question under way has failed; it is asked again in a moment. */
  private pause(): void {
    this.gathering = this.clock.after(READ_RETRY_MS, () => this.askAgain());
  }

  private settle(question: number, answer: (waiter: Waiter<Index>) => void): void {
    if (question !== this.question) return;
    const { asked } = this;
    this.asked = [];
    this.isAsking = false;
    for (const waiter of asked) answer(waiter);
    this.gather(asked.length);
  }

  /** Those who were just answered often come back in a moment: the next question waits for about as many, not for long. */
  private gather(answered: number): void {
    this.expected = Math.min(answered + this.waiting.length, GATHER_COUNT);
    if (this.waiting.length >= this.expected) this.askNext();
    else this.gathering = this.clock.after(GATHER_MS, () => this.askNext());
  }

  private stopGathering(): void {
    this.expected = 0;
    this.gathering?.cancel();
    this.gathering = null;
  }

  private sweepLater(): void {
    if (this.isSweeping) return;
    this.isSweeping = true;
    this.clock.after(DEADLINE_TICKS * TICK_MS, () => {
      this.isSweeping = false;
      const sweep = this.sweep.begin(this.clock.now());
      const isLate = (waiter: Waiter<Index>) => sweep.ends(waiter);
      const late = [...this.asked.filter(isLate), ...this.waiting.filter(isLate)];
      this.asked = this.asked.filter((waiter) => !isLate(waiter));
      this.waiting = this.waiting.filter((waiter) => !isLate(waiter));
      for (const waiter of late) waiter.reject(readUnavailable());
      // A question that everybody gave up on must not hold up those who come next.
      if (this.isAsking && this.asked.length === 0) this.askNext();
      if (this.size > 0) this.sweepLater();
    });
  }
}

/** Both say that nothing was done; what else keeps a node from reading is for `mayRecover` to know. */
function hasNoLeader(error: unknown): boolean {
  return error instanceof RaftkvError && (error.code === 'no_leader' || error.code === 'unavailable');
}
