import type { Caller } from './caller.js';
import { checkOptions, type OptionNames } from './check-options.js';
import { isPassing, RaftkvClientError } from './errors.js';
import type { KeptLease } from './kept-lease.js';
import { changeCall, patience } from './key-values.js';
import { keepAlive, keepLease } from './leases.js';
import { type CallOptions, callOptionNames } from './options.js';
import type { AcquiredLock, LockState, ReleasedLock } from './results.js';
import { nowMs, Pauses, sleep } from './timing.js';
import { pathBelow } from './wire.js';

export interface LockOptions extends CallOptions {
  /** How long the lock lives when nobody keeps it alive: 1 to 31,536,000; 30 unless given. */
  readonly ttlSeconds?: number | undefined;
  /** How long to wait while another holds it, beyond the timeout; not at all unless given. */
  readonly waitSeconds?: number | undefined;
  /** Says who holds it. */
  readonly value?: string | undefined;
}

export type CampaignOptions = Omit<LockOptions, 'waitSeconds' | 'value'>;

export const campaignOptionNames: OptionNames<CampaignOptions> = {
  timeoutMs: true,
  signal: true,
  ttlSeconds: true,
};
export const lockOptionNames: OptionNames<LockOptions> = {
  ...campaignOptionNames,
  waitSeconds: true,
  value: true,
};

const ttlSecondsDefault = 30;
/** How long a candidate waits at a time: nodes do not hold requests forever. */
const campaignWaitSeconds = 30;

/** Stands in line anew where the place was lost with a connection and there is time left to wait. */
export async function lock(caller: Caller, name: string, options: LockOptions): Promise<AcquiredLock> {
  const pauses = new Pauses();
  const waitUntilMs = nowMs() + (options.waitSeconds ?? 0) * 1_000;
  for (;;) {
    const waitMs = Math.max(0, Math.round(waitUntilMs - nowMs()));
    try {
      return await standInLine(caller, name, waitMs, options);
    } catch (error) {
      if (!hasCode(error, 'lock_not_held') || waitMs === 0) throw error;
      await sleep(pauses.take(), options.signal);
    }
  }
}

function standInLine(
  caller: Caller,
  name: string,
  waitMs: number,
  options: LockOptions,
): Promise<AcquiredLock> {
  const { ttlSeconds = ttlSecondsDefault, value } = options;
  const waitSeconds = waitMs === 0 ? undefined : waitMs / 1_000;
  return caller.callJson({
    ...changeCall(options),
    method: 'POST',
    path: lockPath(name),
    body: JSON.stringify({ ttlSeconds, waitSeconds, value }),
    waitMs,
  });
}

export function unlock(
  caller: Caller,
  name: string,
  token: number,
  options: CallOptions,
): Promise<ReleasedLock> {
  return caller.callJson({
    ...changeCall(options),
    method: 'DELETE',
    path: lockPath(name),
    query: { token },
  });
}

export function lockState(caller: Caller, name: string, options: CallOptions): Promise<LockState> {
  return caller.callJson({
    ...patience(options),
    method: 'GET',
    path: lockPath(name),
    where: 'leader',
    repeat: 'always',
  });
}

/** A lock that is held, and kept until it is released or lost. */
export class LockGuard {
  readonly name: string;
  /** The fencing token: hand it to what the lock protects, which refuses smaller ones than it has seen. */
  readonly token: number;
  private readonly caller: Caller;
  private readonly kept: KeptLease;

  /** @param kept The lease of the lock, which is kept alive. */
  constructor(caller: Caller, acquired: AcquiredLock, kept: KeptLease) {
    this.name = acquired.name;
    this.token = acquired.token;
    this.caller = caller;
    this.kept = kept;
  }

  /** The lease that the lock goes with; keys that are put with it go when the lock does. */
  get lease(): string {
    return this.kept.id;
  }

  /** Aborts when the lock may be lost, before another can have it; the reason has the code `lease_lost`. */
  get signal(): AbortSignal {
    return this.kept.signal;
  }

  /** Whether the lock is held at this moment; unlike {@link signal} it is exact where this process was held up. */
  get held(): boolean {
    return this.kept.held;
  }

  /** Gives the lock back. Harmless where it is lost already. */
  async release(options: CallOptions = {}): Promise<void> {
    checkOptions('release', options, callOptionNames);
    this.kept.stop();
    try {
      await unlock(this.caller, this.name, this.token, options);
    } catch (error) {
      if (!hasCode(error, 'lock_not_held')) throw error;
    }
  }
}

export async function lockGuard(caller: Caller, name: string, options: LockOptions): Promise<LockGuard> {
  const { ttlSeconds = ttlSecondsDefault } = options;
  let sentAtMs = nowMs();
  const acquired = await lock(caller, name, options);
  if (nowMs() - sentAtMs > (ttlSeconds * 1_000) / 3) {
    // It was waited for, and how much of the time is left cannot be told from here.
    sentAtMs = nowMs();
    try {
      await keepAlive(caller, acquired.lease, patience(options));
    } catch (error) {
      // Nobody will use it: the next in line need not wait until it runs out.
      await unlock(caller, name, acquired.token, { timeoutMs: options.timeoutMs }).catch(() => {});
      throw error;
    }
  }
  return new LockGuard(caller, acquired, keepLease(caller, acquired.lease, ttlSeconds, sentAtMs));
}

/** Works under a lock and gives it back afterwards. */
export async function withLock<Result>(
  caller: Caller,
  name: string,
  options: LockOptions,
  work: (guard: LockGuard) => Promise<Result>,
): Promise<Result> {
  const guard = await lockGuard(caller, name, options);
  try {
    return await work(guard);
  } finally {
    // What came of the work counts. A lock that cannot be given back goes with its lease.
    await guard.release(patience(options)).catch(() => {});
  }
}

/** Waits until the lock is won, through elections of nodes and times at which none can be reached. */
export async function campaign(
  caller: Caller,
  name: string,
  value: string,
  options: CampaignOptions,
): Promise<LockGuard> {
  const pauses = new Pauses();
  for (;;) {
    try {
      return await lockGuard(caller, name, { ...options, value, waitSeconds: campaignWaitSeconds });
    } catch (error) {
      if (!(error instanceof RaftkvClientError)) throw error;
      if (error.code === 'lock_held') pauses.reset();
      else if (!isPassing(error) && !mayBeTriedAgain.has(error.code)) throw error;
      await sleep(pauses.take(), options.signal);
    }
  }
}

/** A lock that was won without this candidate's knowledge goes with its lease, which nobody keeps alive. */
const mayBeTriedAgain: ReadonlySet<string> = new Set([
  'unreachable',
  'outcome_unknown',
  'lease_not_found',
  'lock_not_held',
]);

function hasCode(error: unknown, code: string): boolean {
  return error instanceof RaftkvClientError && error.code === code;
}

function lockPath(name: string): string {
  return pathBelow('/v1/locks', name);
}
