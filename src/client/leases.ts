import type { Call } from './call.js';
import type { Caller } from './caller.js';
import type { OptionNames } from './check-options.js';
import { KeptLease } from './kept-lease.js';
import { changeCall, patience } from './key-values.js';
import type { CallOptions } from './options.js';
import type { GrantedLease, LeaseList, LeaseState, RevokedLease } from './results.js';
import { nowMs } from './timing.js';
import { namePath } from './wire.js';

export interface LeaseOptions extends CallOptions {
  /** How long it lives when it is not kept alive: 1 to 31,536,000. */
  readonly ttlSeconds: number;
}

export interface LeaseListOptions extends CallOptions {
  /** At most so many; 1,000 at most, and unless given. */
  readonly limit?: number | undefined;
  /** Only those with greater ids, as the next page after this one. */
  readonly after?: string | undefined;
}

const call = { timeoutMs: true, signal: true } as const;
export const leaseOptionNames: OptionNames<LeaseOptions> = { ...call, ttlSeconds: true };
export const leaseListOptionNames: OptionNames<LeaseListOptions> = { ...call, limit: true, after: true };

export function grantLease(caller: Caller, options: LeaseOptions): Promise<GrantedLease> {
  return caller.callJson({
    ...changeCall(options),
    method: 'POST',
    path: '/v1/leases',
    body: JSON.stringify({ ttlSeconds: options.ttlSeconds }),
  });
}

/** Needs no idempotency key: to do it again is what it is for. */
export function keepAlive(
  caller: Caller,
  lease: string,
  options: CallOptions & { readonly ttlSeconds?: number | undefined },
): Promise<GrantedLease> {
  const { ttlSeconds } = options;
  return caller.callJson({
    ...patience(options),
    method: 'POST',
    path: `${namePath('/v1/leases', lease)}/keepalive`,
    ...(ttlSeconds === undefined ? {} : { body: JSON.stringify({ ttlSeconds }) }),
    where: 'leader',
    repeat: 'always',
  });
}

export function leaseState(caller: Caller, lease: string, options: CallOptions): Promise<LeaseState> {
  return caller.callJson({ ...leaseRead(options), path: namePath('/v1/leases', lease) });
}

export function listLeases(caller: Caller, options: LeaseListOptions): Promise<LeaseList> {
  const { limit, after } = options;
  return caller.callJson({ ...leaseRead(options), path: '/v1/leases', query: { limit, after } });
}

export function revokeLease(caller: Caller, lease: string, options: CallOptions): Promise<RevokedLease> {
  return caller.callJson({
    ...changeCall(options),
    method: 'DELETE',
    path: namePath('/v1/leases', lease),
  });
}

/** Works with a lease that is kept alive meanwhile, and revokes it afterwards. */
export async function withLease<Result>(
  caller: Caller,
  options: LeaseOptions,
  work: (lease: KeptLease) => Promise<Result>,
): Promise<Result> {
  const sentAtMs = nowMs();
  const { lease } = await grantLease(caller, options);
  const kept = keepLease(caller, lease, options.ttlSeconds, sentAtMs);
  try {
    return await work(kept);
  } finally {
    kept.stop();
    // What came of the work counts. A lease that cannot be revoked runs out by itself.
    await revokeLease(caller, lease, patience(options)).catch(() => {});
  }
}

/** @param sentAtMs When the request that made or renewed the lease was sent. */
export function keepLease(caller: Caller, lease: string, ttlSeconds: number, sentAtMs: number): KeptLease {
  return new KeptLease(lease, ttlSeconds, sentAtMs, (options) => keepAlive(caller, lease, options));
}

function leaseRead(options: CallOptions): Omit<Call, 'path'> {
  return { ...patience(options), method: 'GET', where: 'leader', repeat: 'always' };
}
