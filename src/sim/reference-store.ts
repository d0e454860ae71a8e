import {
  type AddCommand,
  type Command,
  type CommandResult,
  type Compare,
  type DeleteCommand,
  HOLD_KEY,
  IDEMPOTENCY_MS,
  type Item,
  type LeaseExpireCommand,
  type LeaseRevokeCommand,
  type LogTime,
  type PutCommand,
  type Revision,
  type TxnCommand,
  type TxnResult,
} from '../kv/types.js';
import { textOf } from './bytes.js';
import type { Changes, KnownStates } from './known-states.js';

const NO_VALUE = new Uint8Array(0);
const HOUR_MS = 60 * 60 * 1000;

/** A lease as the model keeps it. */
interface ModelLease {
  readonly lease: number;
  ttlMs: number;
  expiresAtMs: number;
  generation: number;
  own: boolean;
}

/**
 * What commands promise, written down the plainest way: the whole state of every revision, in maps, without a disk, a buffer or a
 * codec. The simulator and the property tests hold the real state machine against it.
 */
export class ReferenceStore implements KnownStates {
  readonly states: ReadonlyMap<string, Item>[] = [new Map()];
  readonly leases = new Map<number, ModelLease>();
  logTimeMs = 0;
  clusterVersion = 1;
  readonly #answers = new Map<
    string,
    { fingerprint: Uint8Array; logTimeMs: LogTime; result: CommandResult }
  >();
  readonly #changes: Changes[] = [];
  readonly #historyRevisions: number;
  readonly #historyBytes: number;
  /** Of items that were put when the cluster version allowed to note it. */
  readonly #sizes = new WeakMap<Item, number>();
  /** Bytes that were superseded up to each revision, and those of them at which it was noted. */
  #supersededBytes = 0;
  readonly #sizeMarks: { readonly bytes: number; readonly revision: Revision }[] = [];
  readonly #hours: { readonly logTimeMs: LogTime; readonly revision: number }[] = [];
  #droppedRevision = 0;
  #lastLease = 0;

  /** @param historyBytes Of superseded values. */
  constructor(historyRevisions: number, historyBytes: number) {
    this.#historyRevisions = historyRevisions;
    this.#historyBytes = historyBytes;
  }

  get revision(): number {
    return this.states.length - 1;
  }

  get compactedRevision(): number {
    return Math.max(this.#droppedRevision, this.revision - this.#historyRevisions);
  }

  at(revision: number): ReadonlyMap<string, Item> {
    return this.states[revision] ?? new Map();
  }

  itemAt(key: string, revision: number): Item | undefined {
    return this.at(revision).get(key);
  }

  changesOf(revision: number): Changes {
    const known = this.#changes[revision];
    if (known !== undefined) return known;
    const before = this.at(revision - 1);
    const after = this.at(revision);
    const changes = new Map<string, Item | undefined>();
    for (const [key, item] of after) if (before.get(key) !== item) changes.set(key, item);
    for (const key of before.keys()) if (!after.has(key)) changes.set(key, undefined);
    this.#changes[revision] = changes;
    return changes;
  }

  apply(command: Command, logTimeMs?: LogTime): CommandResult {
    this.logTimeMs = Math.max(this.logTimeMs, logTimeMs ?? 0);
    if (logTimeMs !== undefined) this.#passTime();
    const { idempotency } = command;
    const answer = this.#answers.get(idempotency?.key ?? '');
    if (idempotency && answer && this.logTimeMs - answer.logTimeMs <= IDEMPOTENCY_MS) {
      const same = textOf(answer.fingerprint) === textOf(idempotency.fingerprint);
      return same ? answer.result : { kind: 'idempotencyMismatch', revision: this.revision };
    }
    const result = this.#perform(command);
    if (idempotency) {
      const { key, fingerprint } = idempotency;
      this.#answers.set(key, { fingerprint, logTimeMs: this.logTimeMs, result });
    }
    return result;
  }

  #perform(command: Command): CommandResult {
    switch (command.kind) {
      case 'deletePrefix':
        return this.#remove([...this.#now.keys()].filter((key) => key.startsWith(textOf(command.prefix))));
      case 'txn':
        return this.#transact(command);
      case 'add':
        return this.#add(command);
      case 'compact':
        if ((command.revision ?? 0) > this.revision) {
          return { kind: 'revisionInFuture', revision: this.revision };
        }
        this.#droppedRevision = Math.max(this.#droppedRevision, command.revision ?? this.revision);
        return { kind: 'compacted', revision: this.revision, compactedRevision: this.compactedRevision };
      case 'put':
      case 'delete':
        return this.#change(command);
      case 'leaseGrant':
        return { kind: 'lease', revision: this.revision, ...this.#grant(command.ttlMs, false) };
      case 'leaseKeepAlive': {
        const lease = this.leases.get(command.lease);
        if (!lease) return { kind: 'leaseNotFound', revision: this.revision, lease: command.lease };
        lease.generation += 1;
        lease.ttlMs = command.ttlMs ?? lease.ttlMs;
        lease.expiresAtMs = this.logTimeMs + lease.ttlMs;
        return { kind: 'lease', revision: this.revision, lease: lease.lease, ttlMs: lease.ttlMs };
      }
      case 'leaseRevoke':
      case 'leaseExpire':
        return this.#endLease(command);
      case 'tick':
        return { kind: 'ticked', revision: this.revision };
      case 'raiseVersion':
        if (!(command.unlessHeld && this.#now.has(HOLD_KEY)))
          this.clusterVersion = Math.max(this.clusterVersion, command.version);
        return { kind: 'versionRaised', revision: this.revision, clusterVersion: this.clusterVersion };
    }
  }

  #add(command: AddCommand): CommandResult {
    const { key } = command;
    const existing = this.#now.has(textOf(key));
    const next = new Map(this.#now);
    const value = addInto(next, command, this.revision + 1);
    if (typeof value === 'string') return { kind: value, revision: this.revision };
    this.#push(next, new Set([textOf(key)]));
    return { kind: 'added', revision: this.revision, created: !existing, value };
  }

  #grant(ttlMs: number, own: boolean) {
    this.#lastLease += 1;
    const lease = this.#lastLease;
    this.leases.set(lease, { lease, ttlMs, expiresAtMs: this.logTimeMs + ttlMs, generation: 1, own });
    return { lease, ttlMs };
  }

  #endLease(command: LeaseRevokeCommand | LeaseExpireCommand): CommandResult {
    const { lease } = command;
    const found = this.leases.get(lease);
    if (!found) return { kind: 'leaseNotFound', revision: this.revision, lease };
    if (
      command.kind === 'leaseExpire' &&
      (command.generation !== found.generation || found.expiresAtMs > this.logTimeMs)
    ) {
      return { kind: 'leaseKept', revision: this.revision };
    }
    const { deleted } = this.#remove(this.keysOf(lease));
    this.leases.delete(lease);
    return { kind: 'leaseRevoked', revision: this.revision, lease, deleted, remaining: false };
  }

  keysOf(lease: number): string[] {
    return [...this.#now.entries()].flatMap(([key, item]) => (item.lease === lease ? [key] : [])).sort();
  }

  /**
   * Makes `next` the newest state. Leases of a key's own end with what their key was, unless a put names them.
   *
   * @param added Keys that were only added to.
   */
  #push(next: ReadonlyMap<string, Item>, added: ReadonlySet<string> = new Set()): void {
    const before = this.#now;
    this.states.push(next);
    if (this.clusterVersion >= 2) this.#boundBytes(before, next);
    for (const [key, item] of next) {
      const isPut = item !== before.get(key) && !added.has(key);
      const lease = isPut ? this.leases.get(item.lease ?? 0) : undefined;
      if (lease) lease.own = false;
    }
    for (const [key, { lease = 0 }] of before) {
      if (next.get(key)?.lease !== lease && this.leases.get(lease)?.own) this.leases.delete(lease);
    }
  }

  /** Where more was superseded since a revision than is kept, the next one is the oldest at which that was noted. */
  #boundBytes(before: ReadonlyMap<string, Item>, next: ReadonlyMap<string, Item>): void {
    for (const [key, item] of next) {
      if (item !== before.get(key))
        this.#sizes.set(item, 64 + item.key.length + item.value.length + item.contentType.length);
    }
    for (const [key, item] of before) {
      if (next.get(key) !== item) this.#supersededBytes += this.#sizes.get(item) ?? 0;
    }
    const total = this.#supersededBytes;
    const { revision } = this;
    if (total - (this.#sizeMarks.at(-1)?.bytes ?? 0) >= this.#historyBytes / 16)
      this.#sizeMarks.push({ bytes: total, revision });
    const { compactedRevision } = this;
    const base = this.#sizeMarks.findLast((mark) => mark.revision <= compactedRevision)?.bytes ?? 0;
    if (total - base <= this.#historyBytes) return;
    const oldest = this.#sizeMarks.find((mark) => total - mark.bytes <= this.#historyBytes);
    this.#droppedRevision = Math.max(this.#droppedRevision, oldest?.revision ?? 0);
  }

  /** Once an hour, what was superseded 24 hours before is dropped, as far as was noted then. */
  #passTime(): void {
    if (this.logTimeMs - (this.#hours.at(-1)?.logTimeMs ?? Number.NEGATIVE_INFINITY) < HOUR_MS) return;
    this.#hours.push({ logTimeMs: this.logTimeMs, revision: this.revision });
    for (const hour of this.#hours) {
      if (hour.logTimeMs <= this.logTimeMs - 24 * HOUR_MS)
        this.#droppedRevision = Math.max(this.#droppedRevision, hour.revision);
    }
  }

  get #now(): ReadonlyMap<string, Item> {
    return this.at(this.revision);
  }

  #change(command: PutCommand | DeleteCommand): CommandResult {
    const key = textOf(command.key);
    const existing = this.#now.get(key);
    const { ifRevision, ifRevisionIn, ifRevisionNotIn, ifPresent, ifAbsent } = command;
    const matches = (revisions: readonly Revision[]) => existing && revisions.includes(existing.modRevision);
    if (
      (ifAbsent && existing) ||
      (ifPresent && !existing) ||
      (ifRevision !== undefined && !matches([ifRevision])) ||
      (ifRevisionIn && !matches(ifRevisionIn)) ||
      (ifRevisionNotIn && matches(ifRevisionNotIn))
    ) {
      return { kind: 'preconditionFailed', revision: this.revision, modRevision: existing?.modRevision ?? 0 };
    }
    if (command.kind === 'delete') return this.#remove(existing ? [key] : []);
    const { ttlMs } = command;
    const lease = ttlMs === undefined ? command.lease : this.#lastLease + 1;
    if (command.lease !== undefined && !this.leases.has(command.lease)) {
      return { kind: 'leaseNotFound', revision: this.revision, lease: command.lease };
    }
    const next = new Map(this.#now);
    putInto(next, lease === undefined ? command : { ...command, lease }, this.revision + 1);
    this.#push(next);
    const result = { kind: 'put', revision: this.revision, created: !existing } as const;
    return ttlMs === undefined ? result : { ...result, lease: this.#grant(ttlMs, true).lease };
  }

  #remove(keys: readonly string[]) {
    if (keys.length === 0) return { kind: 'delete', revision: this.revision, deleted: 0 } as const;
    const next = new Map(this.#now);
    for (const key of keys) next.delete(key);
    this.#push(next);
    return { kind: 'delete', revision: this.revision, deleted: keys.length } as const;
  }

  #transact({ compare, success, failure }: TxnCommand): CommandResult {
    const succeeded = compare.every((one) => compares(this.#now.get(textOf(one.key)), one));
    const branch = succeeded ? success : failure;
    const next = new Map(this.#now);
    // Keys that were only added to keep the lease of their own.
    const changed = new Set<string>();
    const added = new Set<string>();
    const grants: { readonly key: string; readonly ttlMs: number }[] = [];
    let refusal: CommandResult | undefined;
    const { revision } = this;
    const results = branch.map((operation): TxnResult => {
      const wanted = 'key' in operation ? textOf(operation.key) : textOf(operation.prefix);
      const found = [...next.keys()]
        .filter((key) => ('key' in operation ? key === wanted : key.startsWith(wanted)))
        .sort();
      switch (operation.kind) {
        case 'put': {
          const { lease: wantedLease, ttlMs } = operation;
          if (wantedLease !== undefined && !this.leases.has(wantedLease))
            refusal ??= { kind: 'leaseNotFound', revision, lease: wantedLease };
          added.delete(wanted);
          changed.add(wanted);
          const created = found.length === 0;
          if (ttlMs === undefined) {
            putInto(next, operation, this.revision + 1);
            return { kind: 'put', key: operation.key, created };
          }
          grants.push({ key: wanted, ttlMs });
          const lease = this.#lastLease + grants.length;
          putInto(next, { ...operation, lease }, this.revision + 1);
          return { kind: 'put', key: operation.key, created, lease };
        }
        case 'add': {
          const value = addInto(next, operation, this.revision + 1);
          if (!changed.has(wanted)) added.add(wanted);
          if (typeof value === 'string') refusal ??= { kind: value, revision };
          return { kind: 'add', key: operation.key, created: found.length === 0, value: Number(value) };
        }
        case 'get':
        case 'getPrefix':
          return { kind: 'get', items: found.map((key) => next.get(key) as Item) };
        default:
          for (const key of found) {
            next.delete(key);
            added.delete(key);
            changed.add(key);
          }
          return { kind: 'delete', deleted: found.length };
      }
    });
    if (refusal !== undefined) return refusal;
    const names = new Set([...next.keys(), ...this.#now.keys()]);
    if ([...names].some((key) => next.get(key) !== this.#now.get(key))) this.#push(next, added);
    for (const { key, ttlMs } of grants) {
      const { lease } = this.#grant(ttlMs, true);
      if (next.get(key)?.lease !== lease) this.leases.delete(lease);
    }
    return { kind: 'txn', revision: this.revision, succeeded, results };
  }

  list(prefix: string, revision: number): Item[] {
    return [...this.at(revision).entries()]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, item]) => item);
  }
}

/** Returns the sum, or why there is none. */
function addInto(
  state: Map<string, Item>,
  { key, delta, initial }: Omit<AddCommand, 'kind'>,
  revision: number,
): number | 'notANumber' | 'sumOutOfRange' {
  const existing = state.get(textOf(key));
  const text = existing === undefined ? `${initial}` : textOf(existing.value);
  // A number is what it is written as.
  const isNumber = String(Number(text) + 0) === text || text === '-0';
  if (!isNumber || !Number.isSafeInteger(Number(text))) return 'notANumber';
  const value = Number(text) + delta;
  if (!Number.isSafeInteger(value)) return 'sumOutOfRange';
  const { contentType = '', lease } = existing ?? {};
  const put = { key, value: Buffer.from(`${value}`), contentType };
  putInto(state, lease === undefined ? put : { ...put, lease }, revision);
  return value;
}

function putInto(
  state: Map<string, Item>,
  { key, value, contentType, lease }: Omit<PutCommand, 'kind'>,
  revision: number,
): void {
  const existing = state.get(textOf(key));
  const version = existing?.version ?? 0;
  state.set(textOf(key), {
    key,
    value,
    contentType,
    createRevision: existing?.createRevision ?? revision,
    modRevision: revision,
    version: existing?.modRevision === revision ? version : version + 1,
    ...(lease !== undefined && { lease }),
  });
}

export function compares(item: Item | undefined, { target, op, value }: Compare): boolean {
  if (target === 'value' && item === undefined) return op === '!=';
  const sides = {
    value: () => [textOf(item?.value ?? NO_VALUE), typeof value === 'object' ? textOf(value) : ''],
    version: () => [item?.version ?? 0, value],
    createRevision: () => [item?.createRevision ?? 0, value],
    modRevision: () => [item?.modRevision ?? 0, value],
    exists: () => [item !== undefined, value],
  };
  const [left = 0, right = 0] = sides[target]();
  return { '=': left === right, '!=': left !== right, '<': left < right, '>': left > right }[op];
}
