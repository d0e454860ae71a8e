import { assert, present } from '../../src/assert.js';
import { RaftkvError } from '../../src/errors.js';
import type {
  LogWriter,
  NodeLogger,
  OutgoingSnapshot,
  StagedSnapshot,
  StateMachine,
} from '../../src/node/contracts.js';
import { emptyConfiguration } from '../../src/raft/configuration.js';
import type { Entry, Message, Persist, SnapshotMetadata } from '../../src/raft/types.js';
import type { Peer, SnapshotAnswer, SnapshotHeader, Transport } from '../../src/transport/contract.js';

/** What a test decides when it is done. */
export class Pending<Value> {
  readonly promise: Promise<Value>;
  resolve: (value: Value) => void = () => {};
  reject: (error: Error) => void = () => {};

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/** A log on a disk that finishes a write when it is told to, or at once. */
export class FakeLog implements LogWriter {
  readonly writes: { readonly batches: readonly Persist[]; readonly stateDirectory: string | undefined }[] =
    [];
  private pending: Pending<void> | null = null;
  isSlow = false;

  write(batches: readonly Persist[], stateDirectory?: string): Promise<void> {
    assert(this.pending === null, 'One write is in flight at a time (row 31).');
    this.writes.push({ batches, stateDirectory });
    if (!this.isSlow) return Promise.resolve();
    this.pending = new Pending();
    return this.pending.promise;
  }

  get isWriting(): boolean {
    return this.pending !== null;
  }

  finish(): void {
    const pending = present(this.pending, 'A write is in flight.');
    this.pending = null;
    pending.resolve();
  }

  fail(error: Error): void {
    const pending = present(this.pending, 'A write is in flight.');
    this.pending = null;
    pending.reject(error);
  }
}

/** A state machine that answers a command with its text, and flushes when it is told to, or at once. */
export class FakeStateMachine implements StateMachine<string> {
  appliedIndex: number;
  appliedTerm = 0;
  flushedIndex: number;
  bufferedBytes = 0;
  comparableDigest: number | null = null;
  clusterVersion = 1;
  isFlushSlow = false;
  readonly applied: Entry[] = [];
  readonly activated: StagedSnapshot[] = [];
  readonly discarded: StagedSnapshot[] = [];
  readonly snapshots: FakeSnapshot[] = [];
  flushes: Pending<void>[] = [];
  isClosed = false;
  /** What an entry needs before it can be applied. */
  prepare: (entry: Entry) => Promise<void> | undefined = () => undefined;
  /** Why a command may not enter the log. */
  refuse: (payload: Uint8Array) => string | null = () => null;
  refuseProposal(payload: Uint8Array): RaftkvError | null {
    const reason = this.refuse(payload);
    return reason === null ? null : new RaftkvError('bad_request', reason);
  }
  /** Runs before an entry is applied. */
  beforeApply: (entry: Entry) => void = () => {};

  constructor(appliedIndex: number) {
    this.appliedIndex = appliedIndex;
    this.flushedIndex = appliedIndex;
  }

  apply(entry: Entry): string | undefined {
    assert(entry.index === this.appliedIndex + 1, `${entry.index} follows ${this.appliedIndex}.`);
    this.beforeApply(entry);
    this.appliedIndex = entry.index;
    this.appliedTerm = entry.term;
    this.applied.push(entry);
    return entry.kind === 1 ? new TextDecoder().decode(entry.payload) : undefined;
  }

  async flush(): Promise<void> {
    const index = this.appliedIndex;
    if (this.isFlushSlow) {
      const pending = new Pending<void>();
      this.flushes.push(pending);
      await pending.promise;
    }
    this.flushedIndex = Math.max(this.flushedIndex, index);
    this.bufferedBytes = 0;
  }

  async takeSnapshot(): Promise<OutgoingSnapshot> {
    const snapshot = new FakeSnapshot({
      index: this.appliedIndex,
      term: this.appliedTerm,
      configuration: emptyConfiguration,
    });
    this.snapshots.push(snapshot);
    return snapshot;
  }

  async stageSnapshot(
    metadata: SnapshotMetadata,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<StagedSnapshot> {
    for await (const _ of chunks);
    return { metadata, directory: `state-${metadata.index}` };
  }

  activate(staged: StagedSnapshot): void {
    this.activated.push(staged);
    this.appliedIndex = staged.metadata.index;
    this.flushedIndex = staged.metadata.index;
  }

  async discard(staged: StagedSnapshot): Promise<void> {
    this.discarded.push(staged);
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

class FakeSnapshot implements OutgoingSnapshot {
  isClosed = false;

  constructor(readonly metadata: SnapshotMetadata) {}

  private failure: Error | null = null;

  /** Reading it fails. */
  failWith(error: Error): void {
    this.failure = error;
  }

  async *chunks(): AsyncIterable<Uint8Array> {
    if (this.failure !== null) throw this.failure;
    yield Uint8Array.of(1);
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

/** Remembers what was sent; the test plays the peers. */
export class FakeTransport implements Transport {
  readonly sent: Message[] = [];
  readonly peers: (readonly Peer[])[] = [];
  readonly transfers: {
    readonly header: SnapshotHeader;
    readonly chunks: AsyncIterable<Uint8Array>;
    readonly abort: AbortSignal;
    readonly answer: Pending<SnapshotAnswer>;
  }[] = [];

  async start(): Promise<void> {}

  setPeers(peers: readonly Peer[]): void {
    this.peers.push(peers);
  }

  send(message: Message): void {
    this.sent.push(message);
  }

  sendSnapshot(
    _to: string,
    header: SnapshotHeader,
    chunks: AsyncIterable<Uint8Array>,
    abort: AbortSignal,
  ): Promise<SnapshotAnswer> {
    const answer = new Pending<SnapshotAnswer>();
    abort.addEventListener('abort', () => answer.reject(new Error('The transfer was aborted.')));
    this.transfers.push({ header, chunks, abort, answer });
    return answer.promise;
  }

  forward(): Promise<Uint8Array> {
    return Promise.reject(new Error('No test forwards.'));
  }

  handshake(): Promise<never> {
    return Promise.reject(new Error('No test shakes hands here.'));
  }

  connections(): readonly [] {
    return [];
  }

  async stop(): Promise<void> {}

  /** Takes what was sent since the last call, as `type to`. */
  takeNames(): readonly string[] {
    return this.sent.splice(0).map((message) => `${message.type} ${message.to}`);
  }
}

/** Remembers the lines, so that a test can read them. */
export class FakeLogger implements NodeLogger {
  readonly entries: {
    readonly level: string;
    readonly fields: { readonly event?: string };
    readonly message: string;
  }[] = [];
  /** Whether messages of the core are told; asked when a node is made. */
  traces = false;

  get lines(): readonly string[] {
    return this.entries.map(({ message }) => message);
  }

  isLevelEnabled(): boolean {
    return this.traces;
  }

  readonly trace = this.writer('trace');
  readonly debug = this.writer('debug');
  readonly info = this.writer('info');
  readonly warn = this.writer('warn');
  readonly error = this.writer('error');

  private writer(level: string) {
    return (fields: object, message: string): void => {
      this.entries.push({ level, fields, message });
    };
  }
}
