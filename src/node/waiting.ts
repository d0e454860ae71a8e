import { RaftkvError } from '../errors.js';
import { SWEEPS_PER_CLIENT_LOOK } from './limits.js';

/** Somebody who waits for an answer until a deadline. */
export interface Waiter<Value> {
  resolve(value: Value): void;
  reject(error: RaftkvError): void;
  /** A reading of the node's clock. */
  readonly deadline: number;
  /** Aborted when nobody is left to take the answer; undefined where somebody always is. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * When waiters are looked through. Most have their answer before their client is asked for the first time: asking a signal takes
 * longer than all else that is done with a waiter.
 */
export class Sweep {
  #count = 0;
  #now = 0;
  #asksForClients = false;

  /** Begins the next look at all waiters. */
  begin(now: number): this {
    this.#now = now;
    this.#count += 1;
    this.#asksForClients = this.#count % SWEEPS_PER_CLIENT_LOOK === 0;
    return this;
  }

  /** Whether the deadline has passed, or nobody is left to take the answer. */
  ends({ deadline, signal }: Waiter<never>): boolean {
    return deadline <= this.#now || (this.#asksForClients && signal?.aborted === true);
  }
}

/**
 * Requests under a key (a log index, a read context), in the order in which they came. Deadlines and clients that left are
 * looked through in bulk: a timer or a listener for each request would cost more than the request.
 */
export class WaitingRoom<Key, Value, Kind extends Waiter<Value> = Waiter<Value>> {
  private readonly waiters = new Map<Key, Kind>();

  get size(): number {
    return this.waiters.size;
  }

  add(key: Key, waiter: Kind): void {
    this.waiters.set(key, waiter);
  }

  take(key: Key): Kind | undefined {
    const waiter = this.waiters.get(key);
    if (waiter !== undefined) this.waiters.delete(key);
    return waiter;
  }

  /** Rejects the requests whose deadline has passed or whose client has left. */
  expire(sweep: Sweep, error: () => RaftkvError): void {
    this.rejectWhere((_, waiter) => sweep.ends(waiter), error);
  }

  rejectWhere(matches: (key: Key, waiter: Kind) => boolean, error: () => RaftkvError): void {
    for (const [key, waiter] of this.waiters) {
      if (!matches(key, waiter)) continue;
      this.waiters.delete(key);
      waiter.reject(error());
    }
  }
}

/** Waits for something to become true that only applying entries can bring about. */
export class Conditions {
  private waiters: (Waiter<void> & { readonly holds: () => boolean; readonly error: () => RaftkvError })[] =
    [];

  get size(): number {
    return this.waiters.length;
  }

  add(holds: () => boolean, error: () => RaftkvError, waiter: Waiter<void>): void {
    this.waiters.push({ ...waiter, holds, error });
  }

  /** Something was applied: looks again. */
  check(): void {
    if (this.waiters.length === 0) return;
    const waiting = this.waiters;
    this.waiters = [];
    for (const waiter of waiting) {
      if (waiter.holds()) waiter.resolve();
      else this.waiters.push(waiter);
    }
  }

  expire(sweep: Sweep): void {
    this.rejectWhere((waiter) => sweep.ends(waiter));
  }

  /** Nothing will be applied any more; `error` says why, and otherwise what each of them gave. */
  rejectAll(error?: () => RaftkvError): void {
    this.rejectWhere(() => true, error);
  }

  private rejectWhere(matches: (waiter: Waiter<void>) => boolean, error?: () => RaftkvError): void {
    const waiting = this.waiters;
    this.waiters = [];
    for (const waiter of waiting) {
      if (matches(waiter)) waiter.reject((error ?? waiter.error)());
      else this.waiters.push(waiter);
    }
  }
}

export const outcomeUnknown = () =>
  new RaftkvError(
    'outcome_unknown',
    'The change was proposed, but its outcome is not known: it may take effect now, later or never. Read the key to find out.',
  );
/** Of a change that was not begun. */
export const clientLeft = () =>
  new RaftkvError(
    'unavailable',
    'The client closed its side of the connection while the request waited for its turn. Nothing was changed; ask again, and keep ' +
      'the connection open.',
  );
export const readUnavailable = () =>
  new RaftkvError(
    'unavailable',
    'The read could not be confirmed by a majority in time. Nothing was changed; try again.',
  );
export const removed = () =>
  new RaftkvError(
    'unavailable',
    'This node was removed from the cluster, and cannot know what is new. Ask a member.',
  );
export const quarantined = (reason: string) =>
  new RaftkvError(
    'unavailable',
    `This node is in quarantine, because what it holds may be wrong. Ask another member. ${reason}`,
  );
export const noLeader = () =>
  new RaftkvError('no_leader', 'No leader is known right now. Nothing was changed; try again shortly.');
export const overloaded = (what: string) =>
  new RaftkvError('overloaded', `${what} Nothing was changed; try again shortly.`);
export const shuttingDown = () =>
  new RaftkvError('shutting_down', 'This node is shutting down. Nothing was changed; ask another node.');

export function noRoomForSnapshot(): RaftkvError {
  return new RaftkvError(
    'unavailable',
    'There is too little room on the disk of this node for the snapshot. Make room; the leader tries again by itself.',
  );
}
