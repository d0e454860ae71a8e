import type { ClusterVersion } from '../cluster-version.js';
import type { RaftkvError } from '../errors.js';
import type { CommandKind } from '../kv/types.js';
import type { Entry, Index, Persist, SnapshotMetadata, Term } from '../raft/types.js';

/**
 * The replicated state machine as the shell drives it; `kv/` implements it. `Result` is what a command answers.
 *
 * Applied changes collect in memory, where reads see them at once, and reach the disk by {@link flush} in one
 * atomic, synced batch together with the applied index (correctness rule 22). What was not flushed when a node
 * dies is applied again from the log.
 */
export interface StateMachine<Result> {
  /** The last entry applied; 0 for none. */
  readonly appliedIndex: Index;
  readonly appliedTerm: Term;
  /** The last entry whose changes are on disk, at most `appliedIndex`. The log is cut only below it. */
  readonly flushedIndex: Index;
  /** The cluster version as far as the log is applied, see src/cluster-version.ts. */
  readonly clusterVersion: ClusterVersion;
  /** A checksum of all that was applied, of 32 bits, where it is the same on all members; null where it cannot be compared. */
  readonly comparableDigest: number | null;
  /** Bytes of changes that are applied and not on disk yet. */
  readonly bufferedBytes: number;
  /**
   * Decodes and checks a command before it may enter the log, and remembers it for {@link apply}, so that nothing is decoded
   * twice. Returns null when every member of this version can apply it, and otherwise a sentence that says why not.
   */
  refuse(payload: Uint8Array): string | null;
  /**
   * The same for a command that this node is about to propose: `bad_request`, or `cluster_not_upgraded` for one that a member
   * of the present cluster version could not read. `raisingTo` is the cluster version to which every member may be moved at
   * this moment; a command that raises it is refused otherwise, whoever sent it. `takes` says which kinds of commands may
   * come from where this one came.
   */
  refuseProposal(
    payload: Uint8Array,
    raisingTo: ClusterVersion | null,
    takes: (kind: CommandKind) => boolean,
  ): RaftkvError | null;
  /**
   * Reads ahead what {@link apply} of this entry, the one at `appliedIndex + 1`, needs and cannot read synchronously
   * (the keys under a prefix). Undefined, which is the rule, when there is nothing to wait for; otherwise nothing may
   * be applied before it has resolved. Called before every apply.
   */
  prepare(entry: Entry): Promise<void> | undefined;
  /**
   * Applies the entry at `appliedIndex + 1`: a command, a no-op, or a configuration (which it records, because a
   * snapshot carries it). Deterministic. Returns the command's result, undefined for the other kinds.
   */
  apply(entry: Entry): Result | undefined;
  /** Resolves when everything that was applied before the call is on disk. A rejection must end the process. */
  flush(): Promise<void>;
  /** Flushes and freezes a view of the state for a follower. The caller must close it. */
  takeSnapshot(): Promise<OutgoingSnapshot>;
  /**
   * Writes an arriving snapshot to a store of its own, checks it as a whole and leaves the live state alone.
   * Rejects (and removes what it wrote) when the content is damaged, incomplete, or `chunks` throws.
   */
  stageSnapshot(snapshot: SnapshotMetadata, chunks: AsyncIterable<Uint8Array>): Promise<StagedSnapshot>;
  /** Makes a staged snapshot the live state. Called once the log's store names its directory. */
  activate(staged: StagedSnapshot): void;
  /** Deletes a staged snapshot that is not wanted any more. */
  discard(staged: StagedSnapshot): Promise<void>;
  /** Flushes what is applied and closes the store. */
  close(): Promise<void>;
}

export interface OutgoingSnapshot {
  readonly metadata: SnapshotMetadata;
  /** The content in chunks of at most 256 KiB or one record, self-describing and checksummed as a whole. */
  chunks(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

export interface StagedSnapshot {
  readonly metadata: SnapshotMetadata;
  /** The name of the store that holds it, to be recorded in the log's store as the live state. */
  readonly directory: string;
}

/** The durable Raft log as the shell writes it; `storage/log-store.ts` implements it. */
export interface LogWriter {
  /**
   * Writes the batches, in order, as one atomic and synced write. `stateDirectory` names the live state from now on and
   * is given exactly when one of the batches carries a snapshot. A rejection must end the process.
   */
  write(batches: readonly Persist[], stateDirectory?: string): Promise<void>;
}

/** Lines for people and machines; pino implements it. */
export interface NodeLogger {
  /** Whether lines of this level are written. Asked once, where making the lines would cost something. */
  isLevelEnabled(level: 'trace'): boolean;
  trace(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
