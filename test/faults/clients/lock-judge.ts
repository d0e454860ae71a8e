import { textOf } from '../../../src/sim/bytes.js';
import { LockOrder } from '../../../src/sim/checkers/lock-order.js';
import { violationOf } from './judge.js';
import { RecordedLog, type RecordedStates } from './recorded-states.js';

/** The lock that all users ask for, and the key that is written under it: a count and the writer's token. */
export const LOCK = 'faults';
export const COUNTER = 'guarded/counter';

/** A lock that a user was given, and what it knows of that. */
export interface Holding {
  readonly user: number;
  /** The fencing token. */
  readonly token: number;
  readonly lease: string;
  /** The newest revision that anybody knew when the lock was asked for, and when it was given. */
  readonly fromRevision: number;
  readonly throughRevision: number;
  /** When it was given, by a monotonic clock. */
  readonly fromMs: number;
  /** Until then it is the user's without doubt: it gave it back then, or nobody may have ended the lease before. */
  untilMs: number;
}

/**
 * What is wrong with what the users of a lock were told: each was the first in line while it asked; who is within its lease's time is alone,
 * and came after those with smaller tokens; and the counter under the lock lost nothing and was written by nobody too late.
 */
export function judgeLocks(holdings: readonly Holding[], states: RecordedStates): readonly string[] {
  const wrong = [...judgeHolders(holdings), ...judgeCounter(states)];
  const log = new RecordedLog(states);
  const order = new LockOrder(log);
  for (const { user, token, fromRevision, throughRevision } of holdings) {
    log.last = throughRevision;
    const violation = violationOf(() => order.held(`user ${user}`, LOCK, token, fromRevision));
    if (violation !== undefined) wrong.push(violation);
  }
  return wrong;
}

/** Times in which two held the lock without doubt, or a later one a smaller token. */
export function judgeHolders(holdings: readonly Holding[]): readonly string[] {
  const wrong: string[] = [];
  // An answer that came after the lease's time makes nobody a holder.
  const certain = holdings.filter(({ fromMs, untilMs }) => fromMs < untilMs);
  let last: Holding | undefined;
  for (const holding of certain.toSorted((one, other) => one.fromMs - other.fromMs)) {
    if (last !== undefined && holding.fromMs < last.untilMs)
      wrong.push(
        `User ${holding.user} was given token ${holding.token} ${(last.untilMs - holding.fromMs).toFixed(0)} ms before ` +
          `the time of user ${last.user} with token ${last.token} was over.`,
      );
    if (last !== undefined && holding.token <= last.token)
      wrong.push(`Token ${holding.token} was given after token ${last.token}.`);
    if (last === undefined || holding.untilMs > last.untilMs) last = holding;
  }
  return wrong;
}

/** The counter goes up by one each time, and its writers' tokens never go back. */
export function judgeCounter(states: RecordedStates): readonly string[] {
  const wrong: string[] = [];
  let count = 0;
  let newest = 0;
  for (let revision = 1; revision <= states.revision; revision += 1) {
    const item = states.changesOf(revision).get(COUNTER);
    if (item === undefined) continue;
    const [value = 0, token = 0] = textOf(item.value).split(' ').map(Number);
    if (value !== count + 1)
      wrong.push(`The guarded counter went from ${count} to ${value} at revision ${revision}.`);
    if (token < newest) wrong.push(`Token ${token} wrote the guarded counter after token ${newest}.`);
    count = value;
    newest = Math.max(newest, token);
  }
  return wrong;
}
