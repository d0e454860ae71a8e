import { present, unreachable } from '../assert.js';
import type { Entry, Index } from '../raft/types.js';
import type { Admission } from './admission.js';
import type { BufferedStore } from './buffered-store.js';
import { changeOf, deletionOf, digestWith } from './changes.js';
import type { DecodedCommand } from './command-codec.js';
import { addTo } from './counter.js';
import { boundBytes, type HistoryBounds, markTime } from './history.js';
import type { Found } from './idempotency.js';
import { type LeaseEnd, planLeaseEnd } from './lease-end.js';
import type { Current } from './record-codec.js';
import { Branch, branchOf, walksPrefix } from './transaction.js';
import {
  type AddCommand,
  type Command,
  type CommandResult,
  type CompactCommand,
  type Condition,
  type DeleteCommand,
  HOLD_KEY,
  type LeaseExpireCommand,
  type LeaseGrantCommand,
  type LeaseId,
  type LeaseKeepAliveCommand,
  type LeaseRevokeCommand,
  type LogTime,
  type PutCommand,
  type RaiseVersionCommand,
  type Revision,
  type TxnCommand,
  type TxnOperation,
  type UnchangedResult,
} from './types.js';
import { type BufferedChange, keyId } from './write-buffer.js';

/** Who ends a lease with very many keys does it in steps, and has so long for each before the leader goes on by itself. */
const REVOKER_PATIENCE_MS = 5000;

/** What was done ahead for the next entry. */
interface Prepared {
  readonly index: Index;
  readonly decoded: DecodedCommand;
  /** Under the command's idempotency key. */
  found?: Found;
  /** Of a transaction: which branch its comparisons choose, see {@link branchOf}. */
  operations?: readonly TxnOperation[] | undefined;
  /** Set ahead where prefixes have to be walked. */
  branch?: Branch;
  /** Set ahead where a lease ends. */
  leaseEnd?: LeaseEnd;
}

/**
 * Executes commands on one state: what each changes and what it answers. A function of the state and the command alone.
 */
export class CommandExecutor {
  readonly #live: BufferedStore;
  readonly #history: HistoryBounds;
  readonly #admission: Admission;
  #prepared: Prepared | undefined;
  /**
   * The last key that the end of a lease has deleted so far. It is known only where that step was applied, and changes nothing but
   * how long the next one takes: no key is attached to a lease that is ending.
   */
  readonly #endedThrough = new Map<LeaseId, Uint8Array>();

  /**
   * @param history How much of the past can be read.
   * @param admission Where commands were checked that are applied here.
   */
  constructor(live: BufferedStore, history: HistoryBounds, admission: Admission) {
    this.#live = live;
    this.#history = history;
    this.#admission = admission;
  }

  /** Decodes the command of the next entry; where there is something to wait for, see the state machine, it is done. */
  prepare({ index, payload }: Entry): Promise<void> | undefined {
    const prepared: Prepared = { index, decoded: this.#admission.take(payload) };
    this.#prepared = prepared;
    const { command, logTimeMs: stamp } = prepared.decoded;
    const { meta, answers } = this.#live;
    const logTimeMs = laterOf(meta.logTimeMs, stamp);
    if (command.idempotency !== undefined) {
      prepared.found = answers.find(command.idempotency, logTimeMs);
      if (prepared.found.result !== undefined) return undefined;
    }
    switch (command.kind) {
      case 'deletePrefix':
        return this.#performAhead(prepared, [command], false);
      case 'txn': {
        const operations = branchOf(this.#live, command);
        prepared.operations = operations;
        return operations?.some(walksPrefix)
          ? this.#performAhead(prepared, operations, command.isBounded === true)
          : undefined;
      }
      case 'leaseRevoke':
      case 'leaseExpire': {
        const ends = this.#refuseEnd(command, logTimeMs) === undefined;
        return ends ? this.#endAhead(prepared, command.lease) : undefined;
      }
      default:
        return undefined;
    }
  }

  /** Does ahead, in many turns, what takes long about ten thousand keys; nothing is applied meanwhile. */
  async #performAhead(
    prepared: Prepared,
    operations: readonly TxnOperation[],
    isBounded: boolean,
  ): Promise<void> {
    const layers = this.#live.freeze();
    try {
      const branch = new Branch(this.#live, layers, isBounded);
      for (const operation of operations) await branch.perform(operation);
      prepared.branch = branch;
    } finally {
      await layers.close();
    }
  }

  async #endAhead(prepared: Prepared, lease: LeaseId): Promise<void> {
    const layers = this.#live.freeze();
    try {
      prepared.leaseEnd = await planLeaseEnd(this.#live, layers, lease, this.#endedThrough.get(lease));
    } finally {
      await layers.close();
    }
  }

  /** Executes the command of the next entry. */
  execute(entry: Entry): CommandResult {
    const prepared = this.#prepared?.index === entry.index ? this.#prepared : undefined;
    this.#prepared = undefined;
    const { command, logTimeMs } = prepared?.decoded ?? this.#admission.take(entry.payload);
    const { meta, answers } = this.#live;
    if (logTimeMs !== undefined) {
      meta.logTimeMs = laterOf(meta.logTimeMs, logTimeMs);
      markTime(meta);
    }
    const { idempotency } = command;
    if (idempotency === undefined) return this.#perform(command, prepared);
    const found = prepared?.found ?? answers.find(idempotency, meta.logTimeMs);
    if (found.result !== undefined) return found.result;
    const result = this.#perform(command, prepared);
    answers.keep(idempotency, result, found.superseded);
    return result;
  }

  #perform(command: Command, prepared: Prepared | undefined): CommandResult {
    switch (command.kind) {
      case 'put':
        return this.#put(command);
      case 'add':
        return this.#add(command);
      case 'compact':
        return this.#compact(command);
      case 'delete':
        return this.#delete(command);
      case 'deletePrefix':
        return this.#deletePrefix(
          present(prepared?.branch, 'The deletion of a prefix is prepared before it is applied.'),
        );
      case 'txn':
        return this.#transact(command, prepared);
      case 'leaseGrant':
        return this.#grantLease(command);
      case 'leaseKeepAlive':
        return this.#keepLeaseAlive(command);
      case 'leaseRevoke':
      case 'leaseExpire':
        return this.#endLease(command, prepared?.leaseEnd);
      case 'tick':
        return { kind: 'ticked', revision: this.#revision };
      case 'raiseVersion':
        return this.#raiseVersion(command);
      default:
        return unreachable(command);
    }
  }

  #put(command: PutCommand): CommandResult {
    const { key, value, contentType, lease = 0, ttlMs } = command;
    const { leases } = this.#live;
    const id = keyId(key);
    const known = this.#live.current(id, key);
    const existing = known?.deleted === false ? known : undefined;
    if (!holds(command, existing)) return this.#preconditionFailed(existing);
    if (lease !== 0 && leases.usable(lease) === undefined) return this.#leaseNotFound(lease);
    if (ttlMs !== undefined && leases.isFull(existing?.lease ?? 0)) return this.#tooManyLeases();
    const revision = this.#revision + 1;
    const created = existing === undefined;
    const state = {
      createRevision: existing?.createRevision ?? revision,
      modRevision: revision,
      version: (existing?.version ?? 0) + 1,
      deleted: false,
      contentType,
      lease: ttlMs === undefined ? lease : leases.nextId,
    };
    const change = changeOf(id, key, known, value, state, this.#live.notesSizes);
    this.#commit([change], digestWith(this.#live.meta.digest, change));
    if (ttlMs === undefined) return { kind: 'put', revision, created };
    return { kind: 'put', revision, created, lease: leases.grant(ttlMs, true) };
  }

  #add({ key, delta, initial }: AddCommand): CommandResult {
    const id = keyId(key);
    const known = this.#live.current(id, key);
    const existing = known?.deleted === false ? known : undefined;
    const value = addTo(existing && this.#live.newest(key), delta, initial);
    if (typeof value === 'string') return { kind: value, revision: this.#revision };
    const revision = this.#revision + 1;
    const state = {
      createRevision: existing?.createRevision ?? revision,
      modRevision: revision,
      version: (existing?.version ?? 0) + 1,
      deleted: false,
      contentType: existing?.contentType ?? '',
      lease: existing?.lease ?? 0,
    };
    const change = changeOf(id, key, known, Buffer.from(String(value)), state, this.#live.notesSizes);
    this.#commitChanges([change], digestWith(this.#live.meta.digest, change));
    return { kind: 'added', revision, created: existing === undefined, value };
  }

  #compact({ revision = this.#revision }: CompactCommand): CommandResult {
    const { meta } = this.#live;
    // Taken for the newest, a mistyped revision would drop all of the past.
    if (revision > meta.revision) return { kind: 'revisionInFuture', revision: meta.revision };
    meta.compactedRevision = Math.max(meta.compactedRevision, revision);
    this.#live.dropped(boundBytes(meta, this.#history));
    return { kind: 'compacted', revision: meta.revision, compactedRevision: meta.compactedRevision };
  }

  #delete(command: DeleteCommand): CommandResult {
    const { key } = command;
    const id = keyId(key);
    const known = this.#live.current(id, key);
    const existing = known?.deleted === false ? known : undefined;
    if (!holds(command, existing)) return this.#preconditionFailed(existing);
    if (existing === undefined) return { kind: 'delete', revision: this.#revision, deleted: 0 };
    const change = deletionOf({ id, key, current: existing }, this.#revision + 1);
    this.#commit([change], digestWith(this.#live.meta.digest, change));
    return { kind: 'delete', revision: this.#revision, deleted: 1 };
  }

  #deletePrefix(branch: Branch): CommandResult {
    const { refusal } = branch;
    if (refusal !== undefined) return refusal;
    const { changes, digest } = branch.changes();
    this.#commit(changes, digest);
    return { kind: 'delete', revision: this.#revision, deleted: changes.length };
  }

  #transact(command: TxnCommand, prepared: Prepared | undefined): CommandResult {
    const operations = prepared === undefined ? branchOf(this.#live, command) : prepared.operations;
    if (operations === undefined) return { kind: 'answerTooLarge', revision: this.#revision };
    const branch = prepared?.branch ?? new Branch(this.#live, undefined, false);
    if (prepared?.branch === undefined) for (const operation of operations) branch.perform(operation);
    const { refusal, results } = branch;
    if (refusal !== undefined) return refusal;
    const { changes, digest, attaching, grants } = branch.changes();
    this.#commit(changes, digest, attaching);
    const { leases } = this.#live;
    for (const { ttlMs, ended } of grants) {
      const lease = leases.grant(ttlMs, true);
      if (ended) leases.remove(lease);
    }
    return { kind: 'txn', revision: this.#revision, succeeded: operations === command.success, results };
  }

  #grantLease({ ttlMs }: LeaseGrantCommand): CommandResult {
    const { leases } = this.#live;
    if (leases.isFull(0)) return this.#tooManyLeases();
    return { kind: 'lease', revision: this.#revision, lease: leases.grant(ttlMs, false), ttlMs };
  }

  #keepLeaseAlive({ lease, ttlMs }: LeaseKeepAliveCommand): CommandResult {
    const { leases } = this.#live;
    if (leases.usable(lease) === undefined) return this.#leaseNotFound(lease);
    return { kind: 'lease', revision: this.#revision, lease, ttlMs: leases.keepAlive(lease, ttlMs) };
  }

  #endLease(command: LeaseRevokeCommand | LeaseExpireCommand, planned: LeaseEnd | undefined): CommandResult {
    const { lease } = command;
    const { leases } = this.#live;
    const refusal = this.#refuseEnd(command, this.#live.meta.logTimeMs);
    if (refusal !== undefined) return refusal;
    const { changes, digest, remaining } = present(
      planned,
      'The end of a lease is prepared before it is applied.',
    );
    this.#commit(changes, digest);
    const last = changes.at(-1);
    if (remaining && last !== undefined) {
      leases.beginEnd(lease, command.kind === 'leaseRevoke' ? REVOKER_PATIENCE_MS : 0);
      // The key is a part of a larger record, which would be kept as a whole.
      this.#endedThrough.set(lease, Uint8Array.from(last.key));
    } else {
      this.#endedThrough.delete(lease);
      // A lease of a key's own has gone with its key.
      if (leases.get(lease) !== undefined) leases.remove(lease);
    }
    return { kind: 'leaseRevoked', revision: this.#revision, lease, deleted: changes.length, remaining };
  }

  /**
   * Why a lease is not to end, if so. An expiry holds only for the generation that the leader saw, and once the time has come
   * in the log, too: a leader that was paused may be late, and its successor may know better (correctness row 20).
   */
  #refuseEnd(
    command: LeaseRevokeCommand | LeaseExpireCommand,
    logTimeMs: LogTime,
  ): UnchangedResult | undefined {
    const lease = this.#live.leases.get(command.lease);
    if (lease === undefined) return this.#leaseNotFound(command.lease);
    if (command.kind === 'leaseRevoke') return undefined;
    const fits = lease.generation === command.generation && lease.expiresAtMs <= logTimeMs;
    return fits ? undefined : { kind: 'leaseKept', revision: this.#revision };
  }

  /** From here on every member may write and send what the version covers, see src/cluster-version.ts. */
  #raiseVersion({ version, unlessHeld }: RaiseVersionCommand): CommandResult {
    const { meta } = this.#live;
    const isHeld = unlessHeld === true && this.#live.newest(Buffer.from(HOLD_KEY)) !== undefined;
    if (!isHeld && version > meta.clusterVersion) {
      // States of different origin have different digests although they are equal: those begun before format 4 of the state counted
      // otherwise. From here on all members count alike, so that digests can be compared.
      this.#live.restartDigest();
      meta.clusterVersion = version;
    }
    return { kind: 'versionRaised', revision: this.#revision, clusterVersion: meta.clusterVersion };
  }

  /**
   * The one place at which keys change: one revision for all of them, which they have already, and none for none.
   *
   * @param attaching Those of them that attach their keys to a lease anew, or to none.
   */
  #commit(changes: readonly BufferedChange[], digest: number, attaching = changes): void {
    if (changes.length === 0) return;
    this.#commitChanges(changes, digest);
    this.#live.leases.follow(attaching);
  }

  /** The same for changes that leave every key with the lease that it had. */
  #commitChanges(changes: readonly BufferedChange[], digest: number): void {
    this.#advance();
    const { meta } = this.#live;
    meta.digest = digest;
    for (const change of changes) {
      meta.historyBytes += change.supersededBytes;
      this.#live.add(change);
    }
    if (this.#live.notesSizes) this.#live.dropped(boundBytes(meta, this.#history));
  }

  #leaseNotFound(lease: LeaseId): UnchangedResult {
    return { kind: 'leaseNotFound', revision: this.#revision, lease };
  }

  #tooManyLeases(): UnchangedResult {
    return { kind: 'tooManyLeases', revision: this.#revision };
  }

  #preconditionFailed(existing: Current | undefined): CommandResult {
    return { kind: 'preconditionFailed', revision: this.#revision, modRevision: existing?.modRevision ?? 0 };
  }

  /** Takes the next revision, and lets the oldest go when there are too many. */
  #advance(): void {
    const { meta } = this.#live;
    meta.revision += 1;
    meta.compactedRevision = Math.max(meta.compactedRevision, meta.revision - this.#history.revisions);
  }

  get #revision(): Revision {
    return this.#live.meta.revision;
  }
}

/** Log time never goes back: a new leader may not know how far the last one had come. */
function laterOf(before: LogTime, stamp: LogTime | undefined): LogTime {
  return stamp !== undefined && stamp > before ? stamp : before;
}

function holds(condition: Condition, existing: Current | undefined): boolean {
  const { ifRevision, ifRevisionIn, ifRevisionNotIn, ifPresent, ifAbsent } = condition;
  if (ifAbsent === true && existing !== undefined) return false;
  if (ifPresent === true && existing === undefined) return false;
  if (ifRevision !== undefined && existing?.modRevision !== ifRevision) return false;
  if (ifRevisionIn !== undefined && (existing === undefined || !ifRevisionIn.includes(existing.modRevision)))
    return false;
  return existing === undefined || ifRevisionNotIn?.includes(existing.modRevision) !== true;
}
