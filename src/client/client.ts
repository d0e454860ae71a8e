import { type Bytes, encodeSegment, toBytes, toText } from './bytes.js';
import { RaftkvClientError } from './errors.js';
import { type Item, type JsonObject, toItem } from './item.js';
import { KeptLease } from './kept-lease.js';
import { type Call, Requester } from './requester.js';
import { decodeTransaction, encodeTransaction, type Transaction, type TransactionResult } from './txn.js';
import { type WatchEvent, type WatchOptions, watch } from './watch.js';

export interface RaftkvClientOptions {
  /** Base URLs of nodes, tried in turn: `['http://127.0.0.1:8101', …]`. */
  readonly endpoints: readonly string[];
  /** How long a call may take with all its repeats; 5,000 ms unless told otherwise. */
  readonly timeoutMs?: number;
  /** In place of the platform's. */
  readonly fetch?: typeof fetch;
}

/** What a read sees. A read that says nothing is linearizable. */
export interface ReadOptions {
  readonly consistency?: 'linearizable' | 'lease' | 'stale';
  /** Wait until the answering node has this revision, such as that of one's own last write. */
  readonly minRevision?: number;
  /** Read the past; throws `compacted` where it is gone. */
  readonly revision?: number;
}

export interface PutOptions {
  /** Only if the key has this revision; throws `precondition_failed`. */
  readonly ifRevision?: number;
  /** Only if there is no such key; throws `precondition_failed`. */
  readonly ifAbsent?: boolean;
  /** Give the key a lease of its own, of so many seconds: it is deleted when they are over. */
  readonly ttlSeconds?: number;
  /** Attach the key to this lease; throws `lease_not_found`. */
  readonly lease?: string;
  /** The media type to give back. */
  readonly contentType?: string;
}

export interface PutResult {
  readonly revision: number;
  readonly created: boolean;
  /** The lease that `ttlSeconds` granted. */
  readonly lease?: string;
}

export interface ListOptions extends ReadOptions {
  readonly prefix?: Bytes;
  /** Items on a page, 1 to 1,000. */
  readonly limit?: number;
  readonly keysOnly?: boolean;
  /** `nextCursor` of the page before. */
  readonly cursor?: string;
}

export interface Page {
  readonly revision: number;
  readonly items: readonly Item[];
  /** Undefined on the last page. */
  readonly nextCursor: string | undefined;
}

export interface Lease {
  readonly lease: string;
  readonly ttlSeconds: number;
}

export interface LeaseState extends Lease {
  readonly remainingSeconds: number;
}

export interface LockOptions {
  readonly ttlSeconds: number;
  /** How long to stand in line; without it, `lock_held` is thrown where somebody holds the lock. */
  readonly waitSeconds?: number;
  /** Says who holds it. */
  readonly value?: string;
  readonly signal?: AbortSignal;
}

export interface Lock {
  /** The fencing token: greater for every later holder. What the lock guards must refuse smaller ones than it has seen. */
  readonly token: number;
  readonly lease: string;
}

/** A lock that is kept until it is released or lost. */
export interface HeldLock extends Lock {
  /** Aborted when the lock may be lost, before anybody else can get it: stop what it guards. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

export interface LockState {
  readonly held: boolean;
  readonly token?: number;
  readonly lease?: string;
  readonly value?: string;
  readonly waiting: number;
}

/** One wait for a lock may be cut by what is in between, so a longer one is made of several. */
const WAIT_SECONDS_AT_ONCE = 60;

/** A client of a raftkv cluster, for Node and browsers. It holds no connection of its own and needs no closing. */
export class RaftkvClient {
  private readonly requester: Requester;

  constructor(options: RaftkvClientOptions) {
    this.requester = new Requester({
      endpoints: options.endpoints.map((endpoint) => endpoint.replace(/\/$/, '')),
      timeoutMs: options.timeoutMs ?? 5_000,
      fetch: options.fetch ?? ((...parameters) => fetch(...parameters)),
    });
  }

  /** The item under a key; undefined where there is none. */
  async get(key: Bytes, options: ReadOptions = {}): Promise<Item | undefined> {
    // A listing tells all of an item, and its JSON is of one item: the prefix is the key, and the key comes first.
    const { items } = await this.list({ ...options, prefix: key, limit: 1 });
    const [item] = items;
    return item !== undefined && item.key.length === toBytes(key).length ? item : undefined;
  }

  /** The value under a key as text; undefined where there is none. */
  async getText(key: Bytes, options: ReadOptions = {}): Promise<string | undefined> {
    const item = await this.get(key, options);
    return item && toText(item.value);
  }

  /** The value under a key, parsed; undefined where there is none. */
  async getJson<Value>(key: Bytes, options: ReadOptions = {}): Promise<Value | undefined> {
    const text = await this.getText(key, options);
    return text === undefined ? undefined : (JSON.parse(text) as Value);
  }

  async put(key: Bytes, value: Bytes, options: PutOptions = {}): Promise<PutResult> {
    const { ttlSeconds, lease, contentType } = options;
    return this.json({
      method: 'PUT',
      path: `/v1/kv/${encodeSegment(key)}`,
      query: { ttl: ttlSeconds === undefined ? undefined : durationText(ttlSeconds), lease },
      headers: { ...conditions(options), 'Content-Type': contentType ?? 'application/octet-stream' },
      body: toBytes(value),
    });
  }

  putJson(key: Bytes, value: unknown, options: Omit<PutOptions, 'contentType'> = {}): Promise<PutResult> {
    return this.put(key, JSON.stringify(value), { ...options, contentType: 'application/json' });
  }

  /** Whether there was such a key. */
  async delete(key: Bytes, options: Pick<PutOptions, 'ifRevision'> = {}): Promise<boolean> {
    const path = `/v1/kv/${encodeSegment(key)}`;
    try {
      await this.requester.call({ method: 'DELETE', path, headers: conditions(options) });
      return true;
    } catch (error) {
      if (error instanceof RaftkvClientError && error.code === 'key_not_found') return false;
      throw error;
    }
  }

  /** How many keys were deleted, all at one revision; throws `too_many_keys` above 10,000. */
  async deletePrefix(prefix: Bytes): Promise<number> {
    const query = { prefix: encodeSegment(prefix) };
    const { deleted } = await this.json<{ deleted: number }>({ method: 'DELETE', path: '/v1/kv', query });
    return deleted;
  }

  /** One page of keys in byte order. */
  async list(options: ListOptions = {}): Promise<Page> {
    const { prefix, limit, keysOnly, cursor, revision } = options;
    const json = await this.json<{ revision: number; items: readonly JsonObject[]; nextCursor?: string }>({
      method: 'GET',
      path: '/v1/kv',
      query: {
        prefix: prefix === undefined ? undefined : encodeSegment(prefix),
        limit,
        keysOnly,
        cursor,
        revision,
        consistency: options.consistency,
        minRevision: options.minRevision,
      },
    });
    return { revision: json.revision, items: json.items.map(toItem), nextCursor: json.nextCursor };
  }

  /** All keys in byte order, as of one revision, however long it takes to go through them. */
  async *listAll(options: Omit<ListOptions, 'cursor'> = {}): AsyncGenerator<Item> {
    let cursor: string | undefined;
    do {
      const page: Page = await this.list(cursor === undefined ? options : { ...options, cursor });
      yield* page.items;
      cursor = page.nextCursor;
    } while (cursor !== undefined);
  }

  /** Compares, then does one branch, all at one revision. */
  async txn(transaction: Transaction): Promise<TransactionResult> {
    return decodeTransaction(
      await this.json({ method: 'POST', path: '/v1/txn', ...jsonBody(encodeTransaction(transaction)) }),
    );
  }

  /** Changes of a key or of all keys with a prefix, each once and in order, across whatever breaks in between. */
  watch(options: WatchOptions): AsyncGenerator<WatchEvent> {
    return watch(this.requester, options);
  }

  grantLease(ttlSeconds: number): Promise<Lease> {
    return this.json({ method: 'POST', path: '/v1/leases', ...jsonBody(JSON.stringify({ ttlSeconds })) });
  }

  /** Lets a lease begin anew; throws `lease_not_found` when it has run out. */
  keepAlive(lease: string): Promise<Lease> {
    return this.json({ method: 'POST', path: `/v1/leases/${encodeSegment(lease)}/keepalive` });
  }

  lease(lease: string): Promise<LeaseState> {
    return this.json({ method: 'GET', path: `/v1/leases/${encodeSegment(lease)}` });
  }

  /** Ends a lease; how many keys were deleted with it. */
  async revokeLease(lease: string): Promise<number> {
    const path = `/v1/leases/${encodeSegment(lease)}`;
    return (await this.json<{ deleted: number }>({ method: 'DELETE', path })).deleted;
  }

  /**
   * Runs a task under a lease that is kept alive meanwhile, and revoked after it. The task's signal is aborted when the lease
   * may be lost.
   */
  async withLease<Value>(
    ttlSeconds: number,
    task: (lease: string, lost: AbortSignal) => Promise<Value>,
  ): Promise<Value> {
    const sentAt = performance.now();
    const { lease } = await this.grantLease(ttlSeconds);
    const kept = this.keep(lease, ttlSeconds, sentAt);
    try {
      return await task(lease, kept.lost);
    } finally {
      kept.stop();
      // Should this fail, the lease ends by itself.
      await this.revokeLease(lease).catch(() => {});
    }
  }

  /** Takes a lock once; whoever takes it keeps its lease alive. Throws `lock_held`. */
  lock(name: Bytes, options: LockOptions): Promise<Lock> {
    const { ttlSeconds, waitSeconds = 0, value, signal } = options;
    return this.json({
      method: 'POST',
      path: `/v1/locks/${encodeSegment(name)}`,
      holdMs: waitSeconds * 1000,
      signal,
      ...jsonBody(JSON.stringify({ ttlSeconds, waitSeconds, value })),
    });
  }

  /** Gives a lock back; throws `lock_not_held` when the token does not hold it any more. */
  async unlock(name: Bytes, token: number): Promise<void> {
    await this.requester.call({
      method: 'DELETE',
      path: `/v1/locks/${encodeSegment(name)}`,
      query: { token },
    });
  }

  lockState(name: Bytes): Promise<LockState> {
    return this.json({ method: 'GET', path: `/v1/locks/${encodeSegment(name)}` });
  }

  /** Takes a lock, waiting as long as `waitSeconds` says (Infinity for ever), and keeps it until it is released or lost. */
  async holdLock(name: Bytes, options: LockOptions): Promise<HeldLock> {
    const { ttlSeconds, waitSeconds = 0 } = options;
    const until = performance.now() + waitSeconds * 1000;
    for (;;) {
      const leftSeconds = Math.max(0, (until - performance.now()) / 1000);
      try {
        const { token, lease } = await this.lock(name, {
          ...options,
          waitSeconds: Math.min(leftSeconds, WAIT_SECONDS_AT_ONCE),
        });
        // The lease began when the lock was taken, which may be long after the request was sent; a keepalive says when.
        const sentAt = performance.now();
        await this.keepAlive(lease);
        const kept = this.keep(lease, ttlSeconds, sentAt);
        const release = async () => {
          kept.stop();
          await this.unlock(name, token);
        };
        return { token, lease, lost: kept.lost, release };
      } catch (error) {
        const isHeld = error instanceof RaftkvClientError && error.code === 'lock_held';
        if (!isHeld || performance.now() >= until) throw error;
      }
    }
  }

  /** Leader election for applications: waits until this candidate leads. `value` tells the others who does. */
  campaign(name: Bytes, value: string, options: Omit<LockOptions, 'value'>): Promise<HeldLock> {
    return this.holdLock(name, { waitSeconds: Number.POSITIVE_INFINITY, ...options, value });
  }

  /** Who leads; undefined for nobody. */
  async leader(name: Bytes): Promise<string | undefined> {
    return (await this.lockState(name)).value;
  }

  /** How the node that answers sees itself and the cluster. */
  status(): Promise<JsonObject> {
    return this.json({ method: 'GET', path: '/v1/status' });
  }

  async members(): Promise<readonly JsonObject[]> {
    return (await this.json<{ members: readonly JsonObject[] }>({ method: 'GET', path: '/v1/members' }))
      .members;
  }

  private keep(lease: string, ttlSeconds: number, sentAt: number): KeptLease {
    return new KeptLease({
      keepAlive: async () => {
        await this.keepAlive(lease);
      },
      isGone: (error) => error instanceof RaftkvClientError && error.code === 'lease_not_found',
      ttlMs: ttlSeconds * 1000,
      sentAt,
    });
  }

  private async json<Value>(call: Call): Promise<Value> {
    const response = await this.requester.call(call);
    // What the server promises in its contract is taken for what it says.
    return (await response.json()) as Value;
  }
}

function conditions({
  ifRevision,
  ifAbsent,
}: Pick<PutOptions, 'ifRevision' | 'ifAbsent'>): Record<string, string> {
  if (ifRevision !== undefined && ifAbsent === true) {
    throw new TypeError('"ifRevision" and "ifAbsent" exclude each other.');
  }
  if (ifRevision !== undefined) return { 'If-Match': `"${ifRevision}"` };
  return ifAbsent === true ? { 'If-None-Match': '*' } : {};
}

/** A duration has an integer and a unit, and nine digits at most. */
function durationText(seconds: number): string {
  return Number.isInteger(seconds) ? `${seconds}s` : `${Math.round(seconds * 1000)}ms`;
}

function jsonBody(body: string) {
  return { body, headers: { 'Content-Type': 'application/json' } };
}
