import { Caller } from './caller.js';
import { checkBytes, checkOptionalBytes, checkOptions, type OptionNames } from './check-options.js';
import type {
  AddMemberResult,
  ClusterVersionStatus,
  MemberAddress,
  MemberStatus,
  MembershipChange,
  MembershipPlan,
  NewMember,
  NodeStatus,
  SetMembersResult,
} from './cluster-types.js';
import { deletePrefix } from './delete-prefix.js';
import { Entry } from './entry.js';
import { RaftkvClientError } from './errors.js';
import type { Fetch } from './fetch.js';
import type { KeptLease } from './kept-lease.js';
import {
  changeCall,
  checkContentType,
  conditionHeaders,
  durationText,
  orUndefined,
  type PageJson,
  pageOf,
  readCall,
} from './key-values.js';
import type { LeaseListOptions, LeaseOptions } from './leases.js';
import * as leases from './leases.js';
import {
  type ListAndWatchEvent,
  type ListAndWatchOptions,
  listAndWatch,
  listAndWatchOptionNames,
} from './list-and-watch.js';
import type { CampaignOptions, LockGuard, LockOptions } from './locks.js';
import * as locks from './locks.js';
import { membershipCall, membersOf } from './membership.js';
import {
  type AddOptions,
  addOptionNames,
  type CallOptions,
  type CompactOptions,
  callOptionNames,
  compactOptionNames,
  type DeleteOptions,
  type DeletePrefixOptions,
  deleteOptionNames,
  deletePrefixOptionNames,
  type ListOptions,
  listOptionNames,
  type PutOptions,
  putOptionNames,
  type ReadOptions,
  readOptionNames,
  txnOptionNames,
} from './options.js';
import type {
  AcquiredLock,
  AddResult,
  CompactResult,
  DeleteResult,
  ElectedLeader,
  GrantedLease,
  LeaseList,
  LeaseState,
  LockState,
  Page,
  PutResult,
  ReleasedLock,
  RevokedLease,
} from './results.js';
import { onlyReads, type Txn, type TxnResult, type TxnResultJson, txnResult } from './txn.js';
import { type ReadyEvent, type WatchEvent, type WatchOptions, watch, watchOptionNames } from './watch.js';
import { type Bytes, bytesOf, pathBelow, textOf, toWire } from './wire.js';

const timeoutMsDefault = 5_000;
/** The most items that a page may have. */
const pageItemsMax = 1_000;

export interface RaftkvClientOptions {
  /** URLs of nodes, such as `http://127.0.0.1:8101`. They are asked in turn until one answers. */
  readonly endpoints: readonly string[];
  /** How long a call may take, with all its attempts; 5,000 unless given. An answer is awaited for up to a second more. */
  readonly timeoutMs?: number;
  /** The platform's unless given. One that does not fold `..` out of paths also takes the keys `.` and `..`. */
  readonly fetch?: Fetch;
  /**
   * `follow` (the default) goes to the leader, and remembers it; where the leader's own URL cannot be reached, the node that
   * was asked does the work. `never` has it do so at once, as suits outside of a container network.
   */
  readonly redirects?: 'follow' | 'never';
  /** False fails a call at once where no endpoint accepts a connection, rather than when its time is up. */
  readonly waitForNodes?: boolean;
  /**
   * Asks the cluster for its members now and then, and takes their client URLs for further endpoints: one endpoint is then
   * enough to begin with, and members that come later are found. Leave it out where those URLs lead nowhere from here, as in
   * most browsers, behind a proxy and outside of a container network.
   */
  readonly discover?: boolean;
}

const clientOptionNames: OptionNames<RaftkvClientOptions> = {
  endpoints: true,
  timeoutMs: true,
  fetch: true,
  redirects: true,
  waitForNodes: true,
  discover: true,
};

/**
 * A client of one cluster. It holds no connection of its own and needs no closing.
 *
 * Every method throws TypeError for an option that it does not know, {@link RaftkvClientError} with what the server said, and {@link NotReachableError} where no node
 * answered. A change is repeated under one idempotency key until its answer is known or the time is up, and made once; when the
 * time is up and it may have been made, the code is `outcome_unknown`.
 */
export class RaftkvClient {
  private readonly caller: Caller;

  /** @throws RaftkvClientError `bad_request` for an endpoint that is none. TypeError for an option that there is not. */
  constructor(options: RaftkvClientOptions) {
    checkOptions('RaftkvClient', options, clientOptionNames);
    const {
      endpoints,
      timeoutMs = timeoutMsDefault,
      fetch,
      redirects = 'follow',
      waitForNodes = true,
      discover = false,
    } = options;
    this.caller = new Caller({ endpoints, timeoutMs, fetch, redirects, waitForNodes, discover });
  }

  /** The key's value; undefined where there is no such key, or an error `key_not_found` with `mustExist`. */
  get(key: Bytes, options: ReadOptions & { readonly mustExist: true }): Promise<Entry>;
  get(key: Bytes, options?: ReadOptions): Promise<Entry | undefined>;
  async get(
    key: Bytes,
    options: ReadOptions & { readonly mustExist?: boolean } = {},
  ): Promise<Entry | undefined> {
    checkBytes('The key', key);
    checkOptions('get', options, readOptionNames);
    const answer = this.caller.call({ ...readCall(options), path: pathBelow('/v1/kv', key) });
    return orUndefined(
      answer.then((found) => new Entry(found)),
      options.mustExist,
    );
  }

  /** The key's value as text; U+FFFD stands where the bytes are not UTF-8. */
  async getText(key: Bytes, options?: ReadOptions): Promise<string | undefined> {
    return (await this.get(key, options))?.text;
  }

  /** The key's value read as JSON; its shape is for the caller to know. Throws SyntaxError where it is none. */
  async getJson<Value = unknown>(key: Bytes, options?: ReadOptions): Promise<Value | undefined> {
    return (await this.get(key, options))?.json<Value>();
  }

  /** Stores a value. */
  async put(key: Bytes, value: Bytes, options: PutOptions = {}): Promise<PutResult> {
    checkBytes('The key', key);
    checkBytes('The value', value);
    checkOptions('put', options, putOptionNames);
    const { contentType = 'application/octet-stream', ttlSeconds, lease } = options;
    checkContentType(contentType);
    return this.caller.callJson({
      ...changeCall(options),
      method: 'PUT',
      path: pathBelow('/v1/kv', key),
      query: { ttl: ttlSeconds === undefined ? undefined : durationText(ttlSeconds), lease },
      headers: {
        ...conditionHeaders(options),
        // Without one, fetch would give text a media type of its own.
        'Content-Type': contentType,
      },
      // The type rules out shared memory, which fetch refuses by itself.
      body: bytesOf(value) as Uint8Array<ArrayBuffer>,
    });
  }

  /**
   * Adds to a counter, a whole number in decimal text, and creates it where there is none; subtracts where `delta` is negative. Fails
   * with `not_a_number` where the key holds something else, and with `sum_out_of_range` past the numbers that are exact.
   */
  async add(key: Bytes, delta = 1, options: AddOptions = {}): Promise<AddResult> {
    checkBytes('The key', key);
    checkOptions('add', options, addOptionNames);
    return this.caller.callJson({
      ...changeCall(options),
      method: 'POST',
      path: pathBelow('/v1/kv', key),
      query: { add: delta, initial: options.initial },
    });
  }

  /**
   * Drops the history before a revision, or all of it where none is given: it can be read and watched no more, and its room returns
   * to the disk in the background. Fails with `revision_in_future` where the revision is beyond the newest.
   */
  async compact(options: CompactOptions = {}): Promise<CompactResult> {
    checkOptions('compact', options, compactOptionNames);
    const { revision } = options;
    return this.caller.callJson({
      ...changeCall(options),
      method: 'POST',
      path: '/v1/compact',
      body: JSON.stringify({ revision }),
    });
  }

  /** Stores a value as JSON, with the media type `application/json` unless another one is given. */
  async putJson(key: Bytes, value: unknown, options: PutOptions = {}): Promise<PutResult> {
    return this.put(key, JSON.stringify(value), { contentType: 'application/json', ...options });
  }

  /** Deletes a key; undefined where there is none, or an error `key_not_found` with `mustExist`. */
  delete(key: Bytes, options: DeleteOptions & { readonly mustExist: true }): Promise<DeleteResult>;
  delete(key: Bytes, options?: DeleteOptions): Promise<DeleteResult | undefined>;
  async delete(key: Bytes, options: DeleteOptions = {}): Promise<DeleteResult | undefined> {
    checkBytes('The key', key);
    checkOptions('delete', options, deleteOptionNames);
    const call = {
      ...changeCall(options),
      method: 'DELETE',
      path: pathBelow('/v1/kv', key),
      headers: conditionHeaders(options),
    } as const;
    return orUndefined(this.caller.callJson<DeleteResult>(call), options.mustExist);
  }

  /**
   * Deletes every key that starts with the prefix, which may not be empty: at one revision, or in parts where `inParts` allows
   * it. Fails with `too_many_keys` where they are too many for one change.
   */
  async deletePrefix(prefix: Bytes, options: DeletePrefixOptions = {}): Promise<DeleteResult> {
    checkBytes('The prefix', prefix);
    checkOptions('deletePrefix', options, deletePrefixOptionNames);
    return deletePrefix(this.caller, prefix, options);
  }

  /** One page of keys in byte order; `cursor` is the `nextCursor` of the page before. */
  async list(options: ListOptions & { readonly cursor?: string | undefined } = {}): Promise<Page> {
    const { prefix, keysOnly, limit, cursor } = options;
    checkOptionalBytes('The prefix', prefix);
    checkOptions('list', options, { ...listOptionNames, cursor: true });
    const call = readCall(options);
    const page: PageJson = await this.caller.callJson({
      ...call,
      path: '/v1/kv',
      query: { ...call.query, prefix, limit, cursor, keysOnly: keysOnly === true ? true : undefined },
    });
    return pageOf(page);
  }

  /** All pages in turn, which show one revision. Ends with `compacted` where that went meanwhile. */
  async *listAll(options: ListOptions = {}): AsyncGenerator<Page, void, void> {
    checkOptions('listAll', options, listOptionNames);
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    let cursor: string | undefined;
    do {
      const page = await this.list({ ...options, limit: Math.min(left, pageItemsMax), cursor });
      yield page;
      left -= page.items.length;
      cursor = page.nextCursor;
    } while (cursor !== undefined && left > 0);
  }

  /**
   * Compares, then does one branch, all at one revision. Where both branches only get, nothing is changed, and it is read as
   * `options` say; those of a read are refused for any other.
   */
  async txn(txn: Txn, options: ReadOptions = {}): Promise<TxnResult> {
    checkOptions('txn', options, txnOptionNames);
    const { consistency, minRevision, revision } = options;
    const how = onlyReads(txn) ? { ...readCall(options), reads: true } : changeCall(options);
    const result: TxnResultJson = await this.caller.callJson({
      ...how,
      query: { consistency, minRevision, revision },
      method: 'POST',
      path: '/v1/txn',
      body: JSON.stringify(toWire(txn)),
    });
    return txnResult(result);
  }

  /** Grants a lease: keys that are put with it go when it ends. */
  async grantLease(options: LeaseOptions): Promise<GrantedLease> {
    checkOptions('grantLease', options, leases.leaseOptionNames);
    return leases.grantLease(this.caller, options);
  }

  /** Lets a lease live for its whole time again, or for another time from now on. Fails with `lease_not_found`. */
  async keepAlive(
    lease: string,
    options: CallOptions & { readonly ttlSeconds?: number | undefined } = {},
  ): Promise<GrantedLease> {
    checkOptions('keepAlive', options, { ...callOptionNames, ttlSeconds: true });
    return leases.keepAlive(this.caller, lease, options);
  }

  /** A lease, what is left of it, and its keys. Fails with `lease_not_found`. */
  async lease(lease: string, options: CallOptions = {}): Promise<LeaseState> {
    checkOptions('lease', options, callOptionNames);
    return leases.leaseState(this.caller, lease, options);
  }

  /** The leases, in order of their ids. */
  async leases(options: LeaseListOptions = {}): Promise<LeaseList> {
    checkOptions('leases', options, leases.leaseListOptionNames);
    return leases.listLeases(this.caller, options);
  }

  /** Ends a lease and deletes its keys, at one revision. Fails with `lease_not_found`. */
  async revokeLease(lease: string, options: CallOptions = {}): Promise<RevokedLease> {
    checkOptions('revokeLease', options, callOptionNames);
    return leases.revokeLease(this.caller, lease, options);
  }

  /** Works with a lease that is kept alive meanwhile and revoked afterwards. Stop when its `signal` aborts. */
  async withLease<Result>(
    options: LeaseOptions,
    work: (lease: KeptLease) => Promise<Result>,
  ): Promise<Result> {
    checkOptions('withLease', options, leases.leaseOptionNames);
    return leases.withLease(this.caller, options, work);
  }

  /**
   * Takes a lock, which nobody keeps alive but the caller, by {@link keepAlive} of its lease; see {@link lockGuard}. Fails with
   * `lock_held`, which tells the holder's `token` and `value`, where another holds it and the time to wait is up.
   */
  async lock(name: string, options: LockOptions = {}): Promise<AcquiredLock> {
    checkOptions('lock', options, locks.lockOptionNames);
    return locks.lock(this.caller, name, options);
  }

  /** Gives a lock back. Fails with `lock_not_held` where that token does not hold it. */
  async unlock(name: string, token: number, options: CallOptions = {}): Promise<ReleasedLock> {
    checkOptions('unlock', options, callOptionNames);
    return locks.unlock(this.caller, name, token, options);
  }

  /** Who holds a lock, and how many wait for it. */
  async lockState(name: string, options: CallOptions = {}): Promise<LockState> {
    checkOptions('lockState', options, callOptionNames);
    return locks.lockState(this.caller, name, options);
  }

  /** Takes a lock and keeps it until it is released or lost. Fails as {@link lock} does. */
  async lockGuard(name: string, options: LockOptions = {}): Promise<LockGuard> {
    checkOptions('lockGuard', options, locks.lockOptionNames);
    return locks.lockGuard(this.caller, name, options);
  }

  /** Works under a lock that is kept meanwhile and given back afterwards. Stop when its `signal` aborts. */
  async withLock<Result>(
    name: string,
    options: LockOptions,
    work: (guard: LockGuard) => Promise<Result>,
  ): Promise<Result> {
    checkOptions('withLock', options, locks.lockOptionNames);
    return locks.withLock(this.caller, name, options, work);
  }

  /**
   * Waits until this candidate is elected: until it holds the lock of that name, with `value` for all to see. It leads until it
   * resigns or the guard's `signal` aborts. Give a `signal` to end a candidacy.
   */
  async campaign(name: string, value: string, options: CampaignOptions = {}): Promise<LockGuard> {
    checkOptions('campaign', options, locks.campaignOptionNames);
    return locks.campaign(this.caller, name, value, options);
  }

  /** Who was elected, or undefined while nobody is. */
  async leader(name: string, options: CallOptions = {}): Promise<ElectedLeader | undefined> {
    checkOptions('leader', options, callOptionNames);
    const { held, token, value } = await this.lockState(name, options);
    return held && token !== undefined ? { token, value: value ?? '' } : undefined;
  }

  /** Gives the office back, so that the next candidate is elected at once. */
  async resign(leadership: LockGuard, options: CallOptions = {}): Promise<void> {
    checkOptions('resign', options, callOptionNames);
    return leadership.release(options);
  }

  /**
   * Every change of a key, or of all keys with a prefix, in order and once. It goes on by itself when connections break and
   * nodes go; it ends only with an error: `compacted` where it would have to begin with changes that are not kept any more,
   * what the server refuses otherwise, or the reason of `signal`.
   */
  watch(
    options: WatchOptions & { readonly ready: true },
  ): AsyncGenerator<WatchEvent | ReadyEvent, void, void>;
  watch(options: WatchOptions): AsyncGenerator<WatchEvent, void, void>;
  watch(options: WatchOptions): AsyncGenerator<WatchEvent | ReadyEvent, void, void> {
    checkOptions('watch', options, watchOptionNames);
    checkOptionalBytes('The key', options.key);
    checkOptionalBytes('The prefix', options.prefix);
    return watch(this.caller, options);
  }

  /**
   * All keys with a prefix as a `list`, then every change of them in order and once, which keeps a copy of them up to date. A
   * further `list` comes where changes were missed that are not kept any more, and takes the place of everything before it. It
   * ends as {@link watch} does, but not with `compacted`.
   */
  listAndWatch(options: ListAndWatchOptions = {}): AsyncGenerator<ListAndWatchEvent, void, void> {
    checkOptions('listAndWatch', options, listAndWatchOptionNames);
    checkOptionalBytes('The prefix', options.prefix);
    return listAndWatch(this.caller, options);
  }

  /** What the first node that answers says of itself. */
  async status(options: CallOptions = {}): Promise<NodeStatus> {
    checkOptions('status', options, callOptionNames);
    return this.caller.callJson({ ...statusCall, ...options });
  }

  /** What every endpoint says of itself, or why it says nothing. Each is asked once. */
  async statuses(options: CallOptions = {}): Promise<readonly EndpointStatus[]> {
    checkOptions('statuses', options, callOptionNames);
    return Promise.all(
      this.caller.endpoints.all.map(async (endpoint) => {
        try {
          const { body } = await this.caller.callOnce(endpoint, { ...statusCall, ...options });
          return { endpoint, status: JSON.parse(textOf(body)) as NodeStatus };
        } catch (error) {
          if (error instanceof RaftkvClientError) return { endpoint, status: undefined, error };
          throw error;
        }
      }),
    );
  }

  /**
   * The members of the cluster, with what the leader knows of each. A node that was removed cannot tell; where only such nodes
   * answer, it fails with `not_a_member`.
   */
  async members(options: CallOptions = {}): Promise<readonly MemberStatus[]> {
    checkOptions('members', options, callOptionNames);
    return membersOf(this.caller, options);
  }

  /** Adds a learner, which is promoted by itself once it has caught up. Harmless when repeated. */
  async addMember(member: NewMember, options: CallOptions = {}): Promise<AddMemberResult> {
    checkOptions('addMember', options, callOptionNames);
    return this.changeMembers({ kind: 'add', member }, options);
  }

  /** Removes a member, the leader included. */
  async removeMember(
    id: string,
    options: CallOptions & ForceOptions = {},
  ): Promise<{ readonly removed: string }> {
    checkOptions('removeMember', options, { ...callOptionNames, force: true });
    return this.changeMembers({ kind: 'remove', id, force: options.force }, options);
  }

  /** Makes a learner a voter now. */
  async promoteMember(id: string, options: CallOptions = {}): Promise<{ readonly promoted: string }> {
    checkOptions('promoteMember', options, callOptionNames);
    return this.changeMembers({ kind: 'promote', id }, options);
  }

  /** Makes these the voters, all at once, and removes all others. Harmless when repeated. */
  async setMembers(
    members: readonly MemberAddress[],
    options: CallOptions & ForceOptions = {},
  ): Promise<SetMembersResult> {
    checkOptions('setMembers', options, { ...callOptionNames, force: true });
    return this.changeMembers({ kind: 'set', members, force: options.force }, options);
  }

  /** What a change of the membership would do; nothing is changed. */
  async planMembers(change: MembershipChange, options: CallOptions = {}): Promise<MembershipPlan> {
    checkOptions('planMembers', options, callOptionNames);
    return this.caller.callJson(membershipCall(change, true, options));
  }

  /** Hands leadership over, to the most up-to-date voter unless one is named; resolves with the new leader. */
  async transferLeadership(to?: string, options: CallOptions = {}): Promise<{ readonly leader: string }> {
    checkOptions('transferLeadership', options, callOptionNames);
    return this.caller.callJson({
      ...options,
      method: 'POST',
      path: '/v1/leader',
      body: JSON.stringify({ to }),
      where: 'leader',
      repeat: 'never',
    });
  }

  /** The cluster version, and what each member speaks. */
  async clusterVersion(options: CallOptions = {}): Promise<ClusterVersionStatus> {
    checkOptions('clusterVersion', options, callOptionNames);
    return this.caller.callJson({ ...options, ...clusterVersionCall, method: 'GET' });
  }

  /**
   * Moves the cluster to a version now, which locks older programs out for good; resolves with the version in force. Fails with
   * `cluster_not_upgraded` while a member does not speak it.
   */
  async raiseClusterVersion(version: number, options: CallOptions = {}): Promise<number> {
    checkOptions('raiseClusterVersion', options, callOptionNames);
    const body = JSON.stringify({ clusterVersion: version });
    const { clusterVersion }: { clusterVersion: number } = await this.caller.callJson({
      ...options,
      ...clusterVersionCall,
      method: 'PUT',
      body,
    });
    return clusterVersion;
  }

  /** Stops the leader from moving the cluster to the next version by itself, or lets it go on. */
  async holdClusterVersion(hold: boolean, options: CallOptions = {}): Promise<void> {
    checkOptions('holdClusterVersion', options, callOptionNames);
    const path = `${clusterVersionCall.path}/hold`;
    await this.caller.callJson({ ...options, ...clusterVersionCall, method: hold ? 'PUT' : 'DELETE', path });
  }

  private changeMembers<Result>(change: MembershipChange, options: CallOptions): Promise<Result> {
    return this.caller.callJson(membershipCall(change, false, options));
  }
}

/** Any node passes on what the leader has to do, and a repeat changes nothing more. */
const clusterVersionCall = { path: '/v1/cluster-version', where: 'anywhere', repeat: 'always' } as const;
const statusCall = { method: 'GET', path: '/v1/status', where: 'anywhere', repeat: 'always' } as const;

export interface ForceOptions {
  /** Even where the rest would have no live quorum. */
  readonly force?: boolean | undefined;
}

/** What one endpoint says of itself; without a status the error says why. */
export type EndpointStatus =
  | { readonly endpoint: string; readonly status: NodeStatus }
  | { readonly endpoint: string; readonly status: undefined; readonly error: RaftkvClientError };
