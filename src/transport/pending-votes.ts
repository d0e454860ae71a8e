import { type sendUnaryData, status } from '@grpc/grpc-js';
import { systemClock, type Timer } from '../clock.js';
import type { NodeId, RequestVoteResponse } from '../raft/types.js';
import { PENDING_VOTES_MAX, VOTE_TIMEOUT_MS } from './limits.js';
import { encodeVoteResponse } from './messages.js';

interface Pending {
  readonly from: NodeId;
  readonly answer: sendUnaryData<Buffer>;
  readonly timeout: Timer;
}

/**
 * Calls for a vote that wait for the core, which answers by a message some time later, when the vote is on disk, or
 * never. Each call has a number that the core echoes. Every call is answered once: by the core, or with an error when
 * there are too many, when it took too long, or when the node stops.
 */
export class PendingVotes {
  readonly #pending = new Map<number, Pending>();
  #numbered = 0;

  /** The number of the call. */
  add(from: NodeId, answer: sendUnaryData<Buffer>): number {
    const [oldest] = this.#pending.keys();
    if (oldest !== undefined && this.#pending.size >= PENDING_VOTES_MAX) this.#fail(oldest, 'too many calls');
    this.#numbered += 1;
    const number = this.#numbered;
    const timeout = systemClock.after(VOTE_TIMEOUT_MS, () => this.#fail(number, 'no answer in time'));
    this.#pending.set(number, { from, answer, timeout });
    return number;
  }

  answer(message: RequestVoteResponse): void {
    if (this.#pending.get(message.call)?.from !== message.to) return;
    this.#take(message.call)?.answer(null, encodeVoteResponse(message));
  }

  /** The caller does not wait any more. */
  drop(number: number): void {
    this.#take(number);
  }

  dropAll(): void {
    for (const number of [...this.#pending.keys()]) this.#fail(number, 'the node is shutting down');
  }

  #fail(number: number, why: string): void {
    const details = `The vote was not decided: ${why}.`;
    this.#take(number)?.answer({ code: status.RESOURCE_EXHAUSTED, details });
  }

  #take(number: number): Pending | undefined {
    const pending = this.#pending.get(number);
    pending?.timeout.cancel();
    this.#pending.delete(number);
    return pending;
  }
}
