import type { ClusterVersion, VersionRange } from '../cluster-version.js';
import { RaftkvError } from '../errors.js';
import type { KvStateMachine } from '../kv/state-machine.js';
import type { CommandKind, CommandResult } from '../kv/types.js';
import type { OutgoingSnapshot, StagedSnapshot, StateMachine } from '../node/contracts.js';
import type { Entry, SnapshotMetadata } from '../raft/types.js';
import type { Process } from './virtual-clock.js';

/** An earlier program stops where it meets a command, a state or a snapshot that it cannot read. */
export function refuseNewer({ newest }: VersionRange, clusterVersion: ClusterVersion): void {
  if (clusterVersion <= newest) return;
  throw new RaftkvError(
    'storage_unusable',
    `This program speaks cluster version ${newest}, and meets version ${clusterVersion}.`,
  );
}

/** The real state machine; the simulator sees each entry that it applies, and may end the process around one. */
export class ObservedStateMachine implements StateMachine<CommandResult> {
  constructor(
    private readonly real: KvStateMachine,
    private readonly process: Process,
    /** What the program speaks that is simulated; an earlier one does as the commit before cluster versions did. */
    private readonly program: VersionRange,
    private readonly onApplied: (entry: Entry, result: CommandResult | undefined, digest: string) => void,
    /** Resolves when the next entry may be applied; undefined for at once. */
    private readonly pause: () => Promise<void> | undefined,
  ) {}

  get appliedIndex() {
    return this.real.appliedIndex;
  }

  get appliedTerm() {
    return this.real.appliedTerm;
  }

  get flushedIndex() {
    return this.real.flushedIndex;
  }

  get clusterVersion() {
    return this.real.clusterVersion;
  }

  get comparableDigest() {
    return this.real.comparableDigest;
  }

  get bufferedBytes() {
    return this.real.bufferedBytes;
  }

  refuse(payload: Uint8Array) {
    return this.real.refuse(payload);
  }

  refuseProposal(
    payload: Uint8Array,
    raisingTo: ClusterVersion | null,
    takes: (kind: CommandKind) => boolean,
  ) {
    return this.real.refuseProposal(payload, raisingTo, takes);
  }

  /** Applying takes time: others have a turn between two entries. */
  prepare(entry: Entry) {
    const ahead = this.real.prepare(entry);
    const pause = this.pause();
    if (pause === undefined) return ahead;
    return ahead === undefined ? pause : ahead.then(() => pause);
  }

  apply(entry: Entry) {
    const result = this.real.apply(entry);
    refuseNewer(this.program, this.real.clusterVersion);
    if (this.process.step()) this.onApplied(entry, result, this.real.digest);
    return result;
  }

  flush() {
    return this.real.flush();
  }

  takeSnapshot(): Promise<OutgoingSnapshot> {
    return this.real.takeSnapshot();
  }

  stageSnapshot(snapshot: SnapshotMetadata, chunks: AsyncIterable<Uint8Array>): Promise<StagedSnapshot> {
    return this.real.stageSnapshot(snapshot, chunks);
  }

  activate(staged: StagedSnapshot) {
    this.process.step();
    this.real.activate(staged);
    refuseNewer(this.program, this.real.clusterVersion);
  }

  discard(staged: StagedSnapshot) {
    return this.real.discard(staged);
  }

  close() {
    return this.real.close();
  }
}
