import { present, unreachable } from '../assert.js';
import type { BufferedStore } from './buffered-store.js';
import { changeOf, deletionOf, digestWith, type PlannedChanges, valueBytesOf } from './changes.js';
import { type Compared, holdAll } from './comparisons.js';
import { addTo, type Sum } from './counter.js';
import { PrefixWalks } from './prefix-walks.js';
import { currentVersion, type Layers, toItem } from './reader.js';
import type { Current, KeyState } from './record-codec.js';
import type { KeyId } from './sorted-map.js';
import {
  DELETED_KEY_BYTES_MAX,
  DELETED_KEYS_MAX,
  type DeletePrefixCommand,
  type Item,
  LEASES_MAX,
  type LeaseId,
  PASSED_KEYS_MAX,
  type Revision,
  TXN_ANSWER_BYTES_MAX,
  TXN_ITEM_BYTES,
  type TxnCommand,
  type TxnOperation,
  type TxnResult,
  type UnchangedResult,
  type WalkBounds,
} from './types.js';
import { type BufferedChange, keyId } from './write-buffer.js';

/**
 * The branch that the comparisons choose: `command.success` or `command.failure` itself. Undefined where the values that they look at
 * are more than a bounded command may read.
 */
export function branchOf(
  live: BufferedStore,
  { compare, success, failure, isBounded }: TxnCommand,
): readonly TxnOperation[] | undefined {
  const find = (key: Uint8Array): Compared | undefined => {
    const current = live.current(keyId(key), key);
    if (current === undefined || current.deleted) return undefined;
    const readValue = () => present(live.newest(key), 'A key that exists has a value.').value;
    return { state: current, valueBytes: valueBytesOf(key, current), readBytes: 0, readValue };
  };
  const holds = holdAll(compare, isBounded === true, find);
  return holds === undefined ? undefined : holds ? success : failure;
}

/** Whether it has to look at more than the keys that it names. */
export function walksPrefix(operation: TxnOperation): boolean {
  return operation.kind === 'getPrefix' || operation.kind === 'deletePrefix';
}

/** A key that the branch wrote or deleted. */
interface Touched {
  readonly id: KeyId;
  readonly key: Uint8Array;
  /** What was known of the key before the branch. */
  readonly known: Current | undefined;
  /** What it is now; undefined when it does not exist. */
  now: { readonly state: KeyState; readonly value: Uint8Array } | undefined;
  /** What that comes to; undefined when the key did not exist before, either. */
  change: BufferedChange | undefined;
  /** Nothing but adds changed it, which leave a key with the lease that it had. */
  keepsLease: boolean;
}

/** A lease that a put of the branch grants to its key. Its id is the next one that no earlier put of the branch took. */
interface Grant {
  readonly key: KeyId;
  readonly lease: LeaseId;
  readonly ttlMs: number;
}

/** What a branch comes to. */
export interface BranchChanges extends PlannedChanges {
  /** Those after which leases are to be looked at. */
  readonly attaching: readonly BufferedChange[];
  /**
   * In the order of their ids, which follow one another. Where a later operation changed the key again, the lease has ended
   * already.
   */
  readonly grants: readonly { readonly ttlMs: number; readonly ended: boolean }[];
}

/**
 * The operations of one branch of a transaction, done on the side: what they change is seen by those after them and by
 * nobody else until the state machine commits it.
 *
 * Invariants:
 * - all changes have the next revision, and a key has one change at most, however often it was written;
 * - the changes are in the order in which their keys were first written, and keys that a prefix found in byte order;
 * - nothing that members may differ in is seen: tombstones, which each prunes in its own time, count for nothing.
 */
export class Branch {
  readonly results: TxnResult[] = [];
  readonly #live: BufferedStore;
  readonly #layers: Layers | undefined;
  readonly #revision: Revision;
  readonly #touched = new Map<KeyId, Touched>();
  readonly #grants: Grant[] = [];
  #refusal: UnchangedResult | undefined;
  #deletedKeys = 0;
  #deletedBytes = 0;
  #answerBytes = 0;
  #passedKeys = 0;
  readonly #isBounded: boolean;
  #walks: PrefixWalks | undefined;

  /**
   * @param layers The live state; needed where prefixes are walked, and not to change meanwhile.
   * @param isBounded Whether {@link PASSED_KEYS_MAX} holds.
   */
  constructor(live: BufferedStore, layers: Layers | undefined, isBounded: boolean) {
    this.#live = live;
    this.#layers = layers;
    this.#isBounded = isBounded;
    this.#revision = live.meta.revision + 1;
  }

  /** Why nothing may be changed, if so. */
  get refusal(): UnchangedResult | undefined {
    return this.#refusal;
  }

  /** What is to be committed. */
  changes(): BranchChanges {
    const changes: BufferedChange[] = [];
    const attaching: BufferedChange[] = [];
    let { digest } = this.#live.meta;
    for (const { change, keepsLease } of this.#touched.values()) {
      if (change === undefined) continue;
      changes.push(change);
      if (!keepsLease) attaching.push(change);
      digest = digestWith(digest, change);
    }
    const grants = this.#grants.map(({ key, lease, ttlMs }) => ({
      ttlMs,
      ended: this.#touched.get(key)?.now?.state.lease !== lease,
    }));
    return { changes, digest, attaching, grants };
  }

  /** Does one operation, after those before it; a promise only where a prefix has to be walked. */
  perform(operation: TxnOperation): Promise<void> | undefined {
    if (this.#refusal !== undefined) return undefined;
    switch (operation.kind) {
      case 'put':
        this.#put(operation);
        return undefined;
      case 'add':
        this.#add(operation);
        return undefined;
      case 'get': {
        const items: Item[] = [];
        this.#answer(this.#find(operation.key), items);
        this.results.push({ kind: 'get', items });
        return undefined;
      }
      case 'delete': {
        const deleted = this.#delete(this.#touch(operation.key));
        this.results.push({ kind: 'delete', deleted });
        return undefined;
      }
      case 'getPrefix':
        return this.#getPrefix(operation.prefix);
      case 'deletePrefix':
        return this.#deletePrefix(operation.prefix);
      default:
        return unreachable(operation);
    }
  }

  #put({ key, value, contentType, lease = 0, ttlMs }: Extract<TxnOperation, { kind: 'put' }>): void {
    if (lease !== 0 && this.#live.leases.usable(lease) === undefined) {
      this.#refusal = { kind: 'leaseNotFound', revision: this.#revision - 1, lease };
      return;
    }
    const touched = this.#touch(key);
    touched.keepsLease = false;
    if (ttlMs === undefined) {
      this.results.push({ kind: 'put', key, created: this.#write(touched, value, contentType, lease) });
      return;
    }
    const { leases } = this.#live;
    // Leases that the branch ends are not counted as free yet.
    if (leases.count + this.#grants.length >= LEASES_MAX) {
      this.#refusal = { kind: 'tooManyLeases', revision: this.#revision - 1 };
      return;
    }
    const granted = leases.nextId + this.#grants.length;
    this.#grants.push({ key: touched.id, lease: granted, ttlMs });
    const created = this.#write(touched, value, contentType, granted);
    this.results.push({ kind: 'put', key, created, lease: granted });
  }

  #add({ key, delta, initial }: Extract<TxnOperation, { kind: 'add' }>): void {
    const existing = this.#find(key);
    const sum: Sum = addTo(existing, delta, initial);
    if (typeof sum === 'string') {
      this.#refusal = { kind: sum, revision: this.#revision - 1 };
      return;
    }
    const { contentType = '', lease = 0 } = existing ?? {};
    const created = this.#write(this.#touch(key), Buffer.from(String(sum)), contentType, lease);
    this.results.push({ kind: 'add', key, created, value: sum });
  }

  /** Makes a value the newest of a key. Returns whether there was no such key before. */
  #write(touched: Touched, value: Uint8Array, contentType: string, lease: LeaseId): boolean {
    const existing = touched.now?.state;
    const revision = this.#revision;
    const state = {
      createRevision: existing?.createRevision ?? revision,
      modRevision: revision,
      // A key has one version a revision, however often it is written at it.
      version: existing?.modRevision === revision ? existing.version : (existing?.version ?? 0) + 1,
      deleted: false,
      contentType,
      lease,
    };
    touched.now = { state, value };
    touched.change = changeOf(touched.id, touched.key, touched.known, value, state, this.#live.notesSizes);
    return existing === undefined;
  }

  #find(key: Uint8Array): Item | undefined {
    const touched = this.#touched.get(keyId(key));
    return touched === undefined ? this.#live.newest(key) : itemOf(touched);
  }

  async #getPrefix(prefix: Uint8Array): Promise<void> {
    const items: Item[] = [];
    const touched = this.#touchedUnder(prefix).sort((a, b) => (a.id < b.id ? -1 : 1));
    let at = 0;
    for await (const found of this.#walked().under(prefix)) {
      for (const one of found) {
        for (let next = touched[at]; next !== undefined && next.id < one.id; next = touched[at]) {
          this.#answer(itemOf(next), items);
          at += 1;
        }
        if (!this.#passes()) return;
        // What the branch made of it comes in its turn.
        if (this.#touched.has(one.id)) continue;
        this.#answer(toItem(one.key, one.current, currentVersion(this.#walkable(), one).value), items);
        if (this.#refusal !== undefined) return;
      }
    }
    for (const one of touched.slice(at)) this.#answer(itemOf(one), items);
    this.results.push({ kind: 'get', items });
  }

  async #deletePrefix(prefix: Uint8Array): Promise<void> {
    let deleted = 0;
    for (const touched of this.#touchedUnder(prefix)) deleted += this.#delete(touched);
    for await (const found of this.#walked().under(prefix)) {
      for (const { id, key, current } of found) {
        if (!this.#passes()) return;
        if (this.#touched.has(id)) continue;
        deleted += this.#delete(this.#remember(id, key, current));
        if (this.#refusal !== undefined) return;
      }
    }
    this.results.push({ kind: 'delete', deleted });
  }

  /** Counts a key that a walk passed over. False once they are too many for this command. */
  #passes(): boolean {
    this.#passedKeys += 1;
    if (this.#isBounded && this.#passedKeys > PASSED_KEYS_MAX) {
      this.#refusal = { kind: 'tooManyKeys', revision: this.#revision - 1 };
    }
    return this.#refusal === undefined;
  }

  #delete(touched: Touched): number {
    if (touched.now === undefined) return 0;
    const { id, key, known } = touched;
    touched.now = undefined;
    touched.keepsLease = false;
    touched.change =
      known?.deleted === false ? deletionOf({ id, key, current: known }, this.#revision) : undefined;
    this.#deletedKeys += 1;
    this.#deletedBytes += key.length;
    if (this.#deletedKeys > DELETED_KEYS_MAX || this.#deletedBytes > DELETED_KEY_BYTES_MAX) {
      this.#refusal = { kind: 'tooManyKeys', revision: this.#revision - 1 };
    }
    return 1;
  }

  /** Adds an item to what a get returns. */
  #answer(item: Item | undefined, items: Item[]): void {
    if (item === undefined) return;
    items.push(item);
    this.#answerBytes += TXN_ITEM_BYTES + item.key.length + item.value.length + item.contentType.length;
    if (this.#answerBytes > TXN_ANSWER_BYTES_MAX) {
      this.#refusal = { kind: 'answerTooLarge', revision: this.#revision - 1 };
    }
  }

  #touch(key: Uint8Array): Touched {
    const id = keyId(key);
    return this.#touched.get(id) ?? this.#remember(id, key, this.#live.current(id, key));
  }

  #remember(id: KeyId, key: Uint8Array, known: Current | undefined): Touched {
    // Whoever asks for the value of a key that was touched asks after it was written, so this one is never read.
    const now = known?.deleted === false ? { state: known, value: NO_VALUE } : undefined;
    const touched: Touched = { id, key, known, now, change: undefined, keepsLease: true };
    this.#touched.set(id, touched);
    return touched;
  }

  /** The keys with a prefix that the branch wrote, and did not delete. */
  #touchedUnder(prefix: Uint8Array): Touched[] {
    const start = keyId(prefix);
    return [...this.#touched.values()].filter(({ id, now }) => now !== undefined && id.startsWith(start));
  }

  #walked(): PrefixWalks {
    this.#walks ??= new PrefixWalks(this.#walkable(), this.#live.meta.revision);
    return this.#walks;
  }

  #walkable(): Layers {
    return present(this.#layers, 'A prefix is walked before its command is applied.');
  }
}

const NO_VALUE = new Uint8Array(0);

function itemOf({ key, now }: Touched): Item | undefined {
  return now && toItem(key, now.state, now.value);
}

/** The branches of a command that may walk prefixes. */
export function branchesOf(command: TxnCommand | DeletePrefixCommand): readonly (readonly TxnOperation[])[] {
  return command.kind === 'txn' ? [command.success, command.failure] : [[command]];
}

/**
 * How many keys, tombstones included, the branch passes over in this state that passes over the most. Undefined where one exceeds the
 * bounds. Throws the reason of `signal` once that is aborted.
 */
export async function measureWalks(
  layers: Layers,
  branches: readonly (readonly TxnOperation[])[],
  bounds: WalkBounds,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  let most = 0;
  for (const branch of branches) {
    const walks = new PrefixWalks(layers, layers.revision);
    let existing = 0;
    for (const operation of branch) {
      if (!('prefix' in operation)) continue;
      for await (const found of walks.under(operation.prefix)) {
        signal?.throwIfAborted();
        existing += found.length;
        if (existing > bounds.existing || walks.passed - existing > bounds.deleted) return undefined;
      }
      // Where nothing is found, a walk takes its time, too.
      signal?.throwIfAborted();
    }
    most = Math.max(most, walks.passed);
  }
  return most;
}
