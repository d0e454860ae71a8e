import { AssertionError, assert, present } from '../assert.js';
import { RaftkvError } from '../errors.js';
import { decodeConfiguration } from '../raft/configuration.js';
import {
  type Configuration,
  type Entry,
  EntryKind,
  type Index,
  type SnapshotMetadata,
  type Term,
} from '../raft/types.js';
import type { StoreDirectory } from '../storage/ordered-store.js';
import { BufferedStore } from './buffered-store.js';
import { changeOf, deletionOf, digestWith } from './changes.js';
import { type DecodedCommand, decodeCommand } from './command-codec.js';
import { readItem, readPage } from './reader.js';
import type { Current } from './record-codec.js';
import { encodeSnapshot } from './snapshot-stream.js';
import { SnapshotStaging } from './staging.js';
import { Branch, branchOf, walksPrefix } from './transaction.js';
import type {
  CommandResult,
  Condition,
  DeleteCommand,
  Item,
  ListRequest,
  ListResult,
  LogTime,
  PutCommand,
  Revision,
  TxnCommand,
  TxnOperation,
} from './types.js';
import { type BufferedChange, keyId } from './write-buffer.js';

/**
 * How far the past can be read, in revisions. Part of what replicas agree on: all members drop the same revisions at
 * the same entry, so changing it takes a new format of the command.
 */
export const HISTORY_REVISIONS = 100_000;

export interface KvOptions {
  /** Only tests shorten it. */
  readonly historyRevisions?: number;
  /** Told of a replaced state that could not be closed or deleted: its directory only takes room until the next start. */
  readonly onBackgroundError?: (error: unknown) => void;
}

/** What is frozen for a follower: see `OutgoingSnapshot` of the shell. */
export interface KvSnapshot {
  readonly metadata: SnapshotMetadata;
  chunks(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** A snapshot that arrived as a whole: see `StagedSnapshot` of the shell. */
export interface KvStagedSnapshot {
  readonly metadata: SnapshotMetadata;
  readonly directory: string;
}

/** Opens the state in the named store, making an empty one when it is not there. */
export async function openKv(
  directory: StoreDirectory,
  name: string,
  options: KvOptions = {},
): Promise<KvStateMachine> {
  const store = await directory.open(name);
  try {
    return new KvStateMachine(directory, await BufferedStore.load(name, store), options);
  } catch (error) {
    await store.close();
    throw error;
  }
}

/**
 * The replicated key-value store (the shell's `StateMachine`). It is a function of the log alone: no clock, no
 * randomness, no order of iteration that could differ, so that equal logs give equal states and equal digests.
 *
 * Reads see what is applied, on disk or not; `revision` reads the past, back to `compactedRevision`.
 */
export class KvStateMachine {
  readonly #directory: StoreDirectory;
  readonly #staging: SnapshotStaging;
  readonly #historyRevisions: number;
  readonly #onBackgroundError: (error: unknown) => void;
  #live: BufferedStore;
  /** Resolves when the states that were replaced are closed and deleted. */
  #retired: Promise<unknown> = Promise.resolve();
  /** What was done ahead for the entry at `prepared.index`. */
  #prepared: Prepared | undefined;

  constructor(directory: StoreDirectory, live: BufferedStore, options: KvOptions) {
    this.#directory = directory;
    this.#staging = new SnapshotStaging(directory);
    this.#live = live;
    this.#historyRevisions = options.historyRevisions ?? HISTORY_REVISIONS;
    this.#onBackgroundError = options.onBackgroundError ?? (() => {});
  }

  get appliedIndex(): Index {
    return this.#live.meta.appliedIndex;
  }

  get appliedTerm(): Term {
    return this.#live.meta.appliedTerm;
  }

  get flushedIndex(): Index {
    return this.#live.flushedIndex;
  }

  /** Bytes of memory, roughly, that the changes take which are not on disk. */
  get bufferedBytes(): number {
    return this.#live.bufferedBytes;
  }

  /** The configuration in force at `appliedIndex`. */
  get configuration(): Configuration {
    return this.#live.meta.configuration;
  }

  get revision(): Revision {
    return this.#live.meta.revision;
  }

  /** The oldest revision that can be read. */
  get compactedRevision(): Revision {
    return this.#live.meta.compactedRevision;
  }

  /** Milliseconds of log time: how far the commands up to `appliedIndex` say that time has come. */
  get logTimeMs(): LogTime {
    return this.#live.meta.logTimeMs;
  }

  /** The rolling CRC-32 of all changes up to `appliedIndex`, 8 hexadecimal digits: equal on all members. */
  get digest(): string {
    return this.#live.meta.digest.toString(16).padStart(8, '0');
  }

  /** The name of the store that holds the live state. */
  get storeName(): string {
    return this.#live.name;
  }

  /**
   * Decodes the command of the next entry, and finds the keys under its prefixes, which cannot be done synchronously. Only
   * then is there something to wait for.
   */
  prepare(entry: Entry): Promise<void> | undefined {
    this.#assertNext(entry);
    if (entry.kind !== EntryKind.command) return undefined;
    const prepared = { index: entry.index, decoded: decodeCommand(entry.payload), branch: undefined };
    this.#prepared = prepared;
    const { command } = prepared.decoded;
    switch (command.kind) {
      case 'deletePrefix':
        return this.#performAhead(prepared, [command]);
      case 'txn': {
        const operations = branchOf(this.#live, command);
        return operations.some(walksPrefix) ? this.#performAhead(prepared, operations) : undefined;
      }
      default:
        return undefined;
    }
  }

  apply(entry: Entry): CommandResult | undefined {
    this.#assertNext(entry);
    const { meta } = this.#live;
    const result = entry.kind === EntryKind.command ? this.#perform(entry) : undefined;
    if (entry.kind === EntryKind.configuration) meta.configuration = decodeConfiguration(entry.payload);
    meta.appliedIndex = entry.index;
    meta.appliedTerm = entry.term;
    return result;
  }

  flush(): Promise<void> {
    return this.#live.flush();
  }

  /** The key's item, or undefined; as of `revision` if given. Throws `compacted` or `bad_request`. */
  get(key: Uint8Array, revision?: Revision): Item | undefined {
    if (revision === undefined) return this.#live.newest(key);
    return readItem(this.#live.layers(), key, this.#readable(revision));
  }

  /** One page, of one revision even while changes are applied. Throws `compacted` or `bad_request`. */
  async list(request: ListRequest): Promise<ListResult> {
    const revision = this.#readable(request.revision);
    const layers = this.#live.freeze();
    try {
      return await readPage(layers, request, revision);
    } finally {
      await layers.close();
    }
  }

  /** Applies and flushes go on while the snapshot is read (correctness row 25). */
  async takeSnapshot(): Promise<KvSnapshot> {
    await this.#live.flush();
    const { disk, meta } = this.#live.freezeDisk();
    // The content itself says what it is of, so the two cannot differ, whatever was flushed meanwhile.
    const { appliedIndex: index, appliedTerm: term, configuration } = meta;
    const metadata = { index, term, configuration };
    return {
      metadata,
      chunks: () => encodeSnapshot(metadata, () => disk.scan({})),
      close: () => disk.close(),
    };
  }

  async stageSnapshot(
    snapshot: SnapshotMetadata,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<KvStagedSnapshot> {
    const name = await this.#staging.stage(snapshot, chunks);
    return { metadata: snapshot, directory: name };
  }

  activate(staged: KvStagedSnapshot): void {
    const { metadata, directory } = staged;
    assert(
      metadata.index >= this.appliedIndex,
      () => `A snapshot of index ${metadata.index} is behind the applied index, ${this.appliedIndex}.`,
    );
    const replaced = this.#live;
    this.#live = this.#staging.take(directory);
    this.#prepared = undefined;
    const retire = () => replaced.abandon().then(() => this.#directory.remove(replaced.name));
    this.#retired = Promise.all([this.#retired, retire().catch(this.#onBackgroundError)]);
  }

  discard(staged: KvStagedSnapshot): Promise<void> {
    return this.#staging.discard(staged.directory);
  }

  /** Waits for open snapshots of states that were replaced, too. */
  async close(): Promise<void> {
    await this.#live.close();
    await this.#retired;
  }

  #assertNext(entry: Entry): void {
    assert(
      entry.index === this.appliedIndex + 1,
      () => `Entry ${entry.index} does not follow the applied index, ${this.appliedIndex}.`,
    );
  }

  #readable(revision: Revision | undefined): Revision {
    const newest = this.revision;
    if (revision === undefined) return newest;
    if (revision > newest) {
      throw new RaftkvError(
        'bad_request',
        `Revision ${revision} is not there yet: the newest is ${newest}.`,
        {
          revision: newest,
        },
      );
    }
    if (revision < this.compactedRevision) {
      throw new RaftkvError(
        'compacted',
        `Revision ${revision} is not kept any more. The oldest that can be read is ${this.compactedRevision}.`,
        { compactedRevision: this.compactedRevision },
      );
    }
    return revision;
  }

  /** Does ahead, in many turns, what takes long about ten thousand keys; nothing is applied meanwhile. */
  async #performAhead(
    prepared: { branch: Branch | undefined },
    operations: readonly TxnOperation[],
  ): Promise<void> {
    const layers = this.#live.freeze();
    try {
      const branch = new Branch(this.#live, layers);
      for (const operation of operations) await branch.perform(operation);
      prepared.branch = branch;
    } finally {
      await layers.close();
    }
  }

  #perform(entry: Entry): CommandResult {
    const prepared = this.#prepared?.index === entry.index ? this.#prepared : undefined;
    this.#prepared = undefined;
    const { command, logTimeMs } = prepared?.decoded ?? decodeCommand(entry.payload);
    this.#advanceTime(logTimeMs);
    switch (command.kind) {
      case 'put':
        return this.#put(command);
      case 'delete':
        return this.#delete(command);
      case 'deletePrefix':
        return this.#deletePrefix(
          present(prepared?.branch, 'The deletion of a prefix is prepared before it is applied.'),
        );
      case 'txn':
        return this.#transact(command, prepared?.branch);
      case 'tick':
        return { kind: 'ticked', revision: this.revision };
      default:
        throw new AssertionError(`The ${command.kind} is not built yet.`);
    }
  }

  #put(command: PutCommand): CommandResult {
    const { key, value, contentType } = command;
    const id = keyId(key);
    const known = this.#live.current(id, key);
    const existing = known?.deleted === false ? known : undefined;
    if (!holds(command, existing)) return this.#preconditionFailed(existing);
    const revision = this.revision + 1;
    const change = changeOf(id, key, known, value, {
      createRevision: existing?.createRevision ?? revision,
      modRevision: revision,
      version: (existing?.version ?? 0) + 1,
      deleted: false,
      contentType,
    });
    this.#commit([change], digestWith(this.#live.meta.digest, change));
    return { kind: 'put', revision, created: existing === undefined };
  }

  #delete(command: DeleteCommand): CommandResult {
    const { key } = command;
    const id = keyId(key);
    const known = this.#live.current(id, key);
    const existing = known?.deleted === false ? known : undefined;
    if (!holds(command, existing)) return this.#preconditionFailed(existing);
    if (existing === undefined) return { kind: 'delete', revision: this.revision, deleted: 0 };
    const change = deletionOf({ id, key, current: existing }, this.revision + 1);
    this.#commit([change], digestWith(this.#live.meta.digest, change));
    return { kind: 'delete', revision: this.revision, deleted: 1 };
  }

  #deletePrefix(branch: Branch): CommandResult {
    const { refusal } = branch;
    if (refusal !== undefined) return refusal;
    const { changes, digest } = branch.changes();
    this.#commit(changes, digest);
    return { kind: 'delete', revision: this.revision, deleted: changes.length };
  }

  #transact(command: TxnCommand, prepared: Branch | undefined): CommandResult {
    const operations = branchOf(this.#live, command);
    const branch = prepared ?? new Branch(this.#live, undefined);
    if (prepared === undefined) for (const operation of operations) branch.perform(operation);
    const { refusal, results } = branch;
    if (refusal !== undefined) return refusal;
    const { changes, digest } = branch.changes();
    this.#commit(changes, digest);
    return { kind: 'txn', revision: this.revision, succeeded: operations === command.success, results };
  }

  /** The one place at which keys change: one revision for all of them, which they have already, and none for none. */
  #commit(changes: readonly BufferedChange[], digest: number): void {
    if (changes.length === 0) return;
    this.#advance();
    this.#live.meta.digest = digest;
    for (const change of changes) this.#live.add(change);
  }

  #preconditionFailed(existing: Current | undefined): CommandResult {
    return { kind: 'preconditionFailed', revision: this.revision, modRevision: existing?.modRevision ?? 0 };
  }

  /** Log time never goes back: a new leader may not know how far the last one had come. */
  #advanceTime(logTimeMs: LogTime | undefined): void {
    const { meta } = this.#live;
    if (logTimeMs !== undefined && logTimeMs > meta.logTimeMs) meta.logTimeMs = logTimeMs;
  }

  /** Takes the next revision, and lets the oldest go when there are too many. */
  #advance(): void {
    const { meta } = this.#live;
    meta.revision += 1;
    meta.compactedRevision = Math.max(meta.compactedRevision, meta.revision - this.#historyRevisions);
  }
}

interface Prepared {
  readonly index: Index;
  readonly decoded: DecodedCommand;
  /** Set ahead where prefixes have to be walked. */
  branch: Branch | undefined;
}

function holds({ ifRevision, ifAbsent }: Condition, existing: Current | undefined): boolean {
  if (ifAbsent === true && existing !== undefined) return false;
  return ifRevision === undefined || existing?.modRevision === ifRevision;
}
