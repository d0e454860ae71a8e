import { Buffer } from 'node:buffer';
import { present } from '../assert.js';
import type { Clock } from '../clock.js';
import { RaftkvError } from '../errors.js';
import type {
  LockHolder,
  LockRequest,
  LockResult,
  LockState,
  UnlockRequest,
  UnlockResult,
} from '../http/port.js';
import {
  type Command,
  type CommandResult,
  type Item,
  type ListRequest,
  type ListResult,
  RESERVED_PREFIX,
  type Revision,
  TTL_MS_MAX,
} from '../kv/types.js';
import { LOCK_PLACE_MS, LOCK_PLACE_RENEWED_MS, LOCK_QUEUE_MAX, LOCK_WAITERS_MAX } from './limits.js';
import { overloaded } from './waiting.js';

export interface LockServiceParts {
  readonly clock: Clock;
  readonly write: (command: Command, timeoutMs: number, signal?: AbortSignal) => Promise<CommandResult>;
  readonly confirmRead: (timeoutMs: number, signal?: AbortSignal) => Promise<void>;
  readonly waitForRevision: (revision: Revision, timeoutMs: number, signal?: AbortSignal) => Promise<void>;
  readonly list: (request: ListRequest) => Promise<ListResult>;
  readonly get: (key: Uint8Array) => Item | undefined;
  /** Resolves when it holds, looking again whenever entries were applied, or when the time is up or nobody waits any more. */
  readonly whenApplied: (holds: () => boolean, timeoutMs: number, signal: AbortSignal) => Promise<void>;
  /** An id that nobody else has: 16 hexadecimal digits. */
  readonly newId: () => string;
}

/**
 * Locks on top of keys and leases. Who wants a lock puts a key of its own below the lock's prefix; the oldest of these keys
 * holds the lock, and the others wait in the order of their create revisions, each for the one before it, so that a release
 * wakes one waiter and not all. That revision is the fencing token: every later holder has a greater one. The key stands
 * under a lease of its own, which the node keeps alive while somebody waits there, so a holder that dies, or a waiter whose
 * node dies, makes room by itself and soon.
 *
 * A lock protects nothing by itself, since a holder can be paused past its lease: whatever it guards must refuse a token
 * that is smaller than one it has seen (correctness rule 21).
 */
export class LockService {
  private waiters = 0;

  constructor(private readonly parts: LockServiceParts) {}

  /**
   * Takes the lock or waits for it. Throws what a write throws, `overloaded`, `lock_not_held` where its lease ran out, and
   * `outcome_unknown` where the place in line may have been taken and become the lock.
   */
  async acquire(request: LockRequest, timeoutMs: number): Promise<LockResult> {
    const { name, ttlMs, waitMs, value, idempotency, signal } = request;
    const deadline = this.parts.clock.now() + waitMs;
    // A repeat of the same request finds the same key.
    const id = idempotency === undefined ? this.parts.newId() : Buffer.from(idempotency.key).toString('hex');
    const key = Buffer.concat([queueOf(name), Buffer.from(id)]);
    const refusal = await this.refusal({ name, waitMs, signal }, key, timeoutMs);
    if (refusal) return refusal;
    const taken = this.parts.write(
      {
        kind: 'put',
        key,
        value: Buffer.from(value),
        contentType: 'text/plain; charset=utf-8',
        ifAbsent: true,
        ttlMs: placeTtlMs(ttlMs, waitMs),
        ...(idempotency === undefined ? {} : { idempotency }),
      },
      timeoutMs,
      signal,
    );
    const result = await taken.catch((error: unknown) => {
      // The client left while its place was being taken, or nobody knows whether it was. No repeat can go on in it.
      const mayBeTaken = error instanceof RaftkvError && error.code === 'outcome_unknown';
      if (mayBeTaken && idempotency === undefined) void this.giveUp({ key }, timeoutMs);
      throw error;
    });
    if (result.kind !== 'put' || result.lease === undefined) return { kind: 'refused', result };
    const place = { key, token: result.revision, lease: result.lease };
    try {
      await this.parts.waitForRevision(place.token, timeoutMs, signal);
      return await this.waitInLine(request, place, deadline, timeoutMs);
    } catch (error) {
      throw await this.failed(error, request, place, timeoutMs);
    }
  }

  /**
   * What to say where the place was taken and something failed then. Most failures say that nothing was changed, and the place
   * would come to hold the lock for nobody: so it is given up, or, where a repeat would go on in it, kept and not denied.
   */
  private async failed(
    error: unknown,
    { idempotency }: LockRequest,
    place: Place,
    timeoutMs: number,
  ): Promise<unknown> {
    // What is no refusal is a mistake of ours, and must be heard of as one.
    if (!(error instanceof RaftkvError) || error.code === 'lock_not_held') return error;
    const isGone = idempotency === undefined && (await this.giveUp(place, timeoutMs));
    return isGone ? error : placeUnknown();
  }

  /**
   * Gives back the lock that this token holds, by ending its lease: keys that were put with it go at the same revision, before
   * anybody else has the lock. Throws what a write throws.
   */
  async release(
    { name, token, idempotency }: UnlockRequest,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<UnlockResult> {
    await this.parts.confirmRead(timeoutMs, signal);
    const [holder] = await this.queue(name);
    const lease = holder?.createRevision === token ? holder.lease : undefined;
    if (lease === undefined && idempotency === undefined) return { kind: 'notHeld' };
    const command: Command =
      lease === undefined
        ? // A repeat finds what was answered first (correctness rule 27); to others this says no: no key has the line's own name.
          { kind: 'delete', key: queueOf(name), ifRevision: token }
        : { kind: 'leaseRevoke', lease };
    const result = await this.parts.write(
      idempotency === undefined ? command : { ...command, idempotency },
      timeoutMs,
      signal,
    );
    switch (result.kind) {
      case 'leaseRevoked':
        return { kind: 'released', revision: result.revision };
      case 'leaseNotFound':
      case 'preconditionFailed':
        return { kind: 'notHeld' };
      default:
        return { kind: 'refused', result };
    }
  }

  /** Who holds the lock, as this node has it applied. */
  async state(name: Uint8Array): Promise<LockState> {
    const [holder, ...waiting] = await this.queue(name);
    return { holder: holder && holderOf(holder), waiting: waiting.length };
  }

  /** What can be said without taking a place in line: that somebody holds the lock, or that the line is full. */
  private async refusal(
    { name, waitMs, signal }: Pick<LockRequest, 'name' | 'waitMs' | 'signal'>,
    key: Uint8Array,
    timeoutMs: number,
  ): Promise<LockResult | undefined> {
    await this.parts.confirmRead(timeoutMs, signal);
    const line = await this.queue(name);
    const [holder] = line;
    // A repeat has its place already.
    if (line.some((item) => Buffer.compare(item.key, key) === 0)) return undefined;
    if (line.length >= LOCK_QUEUE_MAX)
      throw overloaded(`${LOCK_QUEUE_MAX} requests are in line for this lock.`);
    return waitMs === 0 && holder !== undefined ? { kind: 'busy', holder: holderOf(holder) } : undefined;
  }

  private async waitInLine(
    { name, ttlMs, waitMs, signal, stopping }: LockRequest,
    place: Place,
    deadline: number,
    timeoutMs: number,
  ): Promise<LockResult> {
    for (;;) {
      const line = await this.queue(name);
      const mine = line.findIndex((item) => item.createRevision === place.token);
      if (mine === -1) throw lost();
      if (mine === 0) {
        if (waitMs > 0) await this.begin(place, ttlMs, timeoutMs);
        return { kind: 'held', token: place.token, lease: place.lease };
      }
      const leftMs = deadline - this.parts.clock.now();
      const before = present(line[mine - 1], 'Who is not the first has somebody before it.');
      // The client hears that this node stops, and has time left to wait on another one.
      stopping.throwIfAborted();
      if (leftMs <= 0 || signal.aborted) {
        if (await this.leave(place, before, timeoutMs))
          return { kind: 'busy', holder: line[0] && holderOf(line[0]) };
        continue;
      }
      await this.waitFor(before, place, { deadline, ttlMs, timeoutMs, signal, stopping });
    }
  }

  /** The lease was made longer for the time in line: from here on it is what was asked for. */
  private async begin(place: Place, ttlMs: number, timeoutMs: number): Promise<void> {
    const result = await this.parts.write({ kind: 'leaseKeepAlive', lease: place.lease, ttlMs }, timeoutMs);
    if (result.kind !== 'lease') throw lost();
  }

  /** Until one of the two keys is gone, the time is up, or nobody waits for the answer any more. */
  private async waitFor(before: Item, place: Place, patience: Patience): Promise<void> {
    if (this.waiters >= LOCK_WAITERS_MAX)
      throw overloaded(`${LOCK_WAITERS_MAX} requests wait for locks on this node.`);
    const { deadline, signal, stopping } = patience;
    const isThere = (key: Uint8Array, revision: Revision) => this.parts.get(key)?.createRevision === revision;
    const isOver = () =>
      signal.aborted ||
      stopping.aborted ||
      !isThere(before.key, before.createRevision) ||
      !isThere(place.key, place.token) ||
      this.parts.clock.now() >= deadline;
    let wake = (): void => {};
    const stopped = new Promise<void>((resolve) => {
      wake = resolve;
    });
    stopping.addEventListener('abort', wake);
    this.waiters += 1;
    try {
      while (!isOver()) {
        const leftMs = deadline - this.parts.clock.now();
        const applied = this.parts.whenApplied(isOver, Math.min(leftMs, LOCK_PLACE_RENEWED_MS), signal);
        await Promise.race([stopped, applied]);
        if (leftMs > LOCK_PLACE_RENEWED_MS && !isOver()) await this.keepPlace(place, patience);
      }
    } finally {
      this.waiters -= 1;
      stopping.removeEventListener('abort', wake);
    }
  }

  /**
   * A place in line lives only as long as this node stands in for it: if it died with a lease for all the time to wait, the
   * line would stop at a place that nobody asks for. Should this fail, the next look finds whether the place is still there.
   */
  private async keepPlace({ lease }: Place, { ttlMs, timeoutMs }: Patience): Promise<void> {
    await this.parts
      .write(
        { kind: 'leaseKeepAlive', lease, ttlMs: placeTtlMs(ttlMs, LOCK_PLACE_MS) },
        Math.min(timeoutMs, LOCK_PLACE_RENEWED_MS),
      )
      .catch(() => {});
  }

  /**
   * Gives the place up if somebody still stands before it. Once nobody does, it holds the lock, and a repeat of the request at
   * another node may have been told so before this node knows; then the line must be looked at again. Resolves with whether
   * the place is left; throws `outcome_unknown` where the write failed, and then the lease ends what was to be ended here.
   */
  private async leave(place: Place, before: Item, timeoutMs: number): Promise<boolean> {
    const stands = (key: Uint8Array, revision: Revision) =>
      ({ key, target: 'createRevision', op: '=', value: revision }) as const;
    const command: Command = {
      kind: 'txn',
      compare: [stands(before.key, before.createRevision), stands(place.key, place.token)],
      success: [{ kind: 'delete', key: place.key }],
      failure: [],
    };
    const result = await this.parts.write(command, Math.min(timeoutMs, LOCK_PLACE_MS)).catch(() => {
      throw placeUnknown();
    });
    if (result.kind !== 'txn' || result.succeeded) return true;
    await this.parts.waitForRevision(result.revision, timeoutMs);
    return false;
  }

  /**
   * Gives up a place that no repeat can be told of, whoever stands before it. Resolves with whether it is gone for certain.
   * Tries for as long as the place may live unattended: longer would free nothing.
   *
   * @param place Without a token where it is not known whether the place was taken.
   */
  private async giveUp(
    { key, token }: Partial<Place> & Pick<Place, 'key'>,
    timeoutMs: number,
  ): Promise<boolean> {
    try {
      const command: Command =
        token === undefined ? { kind: 'delete', key } : { kind: 'delete', key, ifRevision: token };
      await this.parts.write(command, Math.min(timeoutMs, LOCK_PLACE_MS));
      return true;
    } catch {
      return false;
    }
  }

  /** The whole line for a lock, its holder first. */
  private async queue(name: Uint8Array): Promise<readonly Item[]> {
    const prefix = queueOf(name);
    const line: Item[] = [];
    let revision: Revision | undefined;
    for (let more = true; more; ) {
      const after = line.at(-1)?.key;
      const page = await this.parts.list({ prefix, after, limit: PAGE_ITEMS, keysOnly: false, revision });
      line.push(...page.items);
      // All of one revision: a line that is put together from several could lack its head.
      revision = page.revision;
      more = page.more;
    }
    return line.sort((one, other) => one.createRevision - other.createRevision);
  }
}

const PAGE_ITEMS = 1_000;

/** A place in line. */
interface Place {
  readonly key: Uint8Array;
  readonly token: Revision;
  readonly lease: number;
}

/** How long a place in line is waited in. */
interface Patience {
  /** A reading of the node's clock. */
  readonly deadline: number;
  /** How long the lock is held unless its lease is kept alive. */
  readonly ttlMs: number;
  readonly timeoutMs: number;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** Aborted when this node stops. */
  readonly stopping: AbortSignal;
}

/** Where the line for a lock stands. A zero byte ends the name, so that no lock's line lies within another's. Names hold none. */
function queueOf(name: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${RESERVED_PREFIX}locks/`), name, Buffer.of(0)]);
}

function holderOf(item: Item): LockHolder {
  return {
    token: item.createRevision,
    lease: item.lease ?? 0,
    value: Buffer.from(item.value).toString('utf8'),
  };
}

/** How long a place in line lives unattended. A holder's lease may be as long as one can be; nothing is added to that. */
function placeTtlMs(ttlMs: number, waitMs: number): number {
  return Math.min(ttlMs + Math.min(waitMs, LOCK_PLACE_MS), TTL_MS_MAX);
}

function placeUnknown(): RaftkvError {
  return new RaftkvError(
    'outcome_unknown',
    'A place in line was taken, and it is not known whether it came to hold the lock; if it did, its lease ends that. A repeat with ' +
      'the same Idempotency-Key goes on in that place.',
  );
}

function lost(): RaftkvError {
  return new RaftkvError(
    'lock_not_held',
    'The place in line ran out before the lock was free, or it was given back meanwhile. Ask for the lock again, with another ' +
      'Idempotency-Key where you send one.',
  );
}
