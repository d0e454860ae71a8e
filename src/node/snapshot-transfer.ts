import { RaftkvError } from '../errors.js';
import type { Raft } from '../raft/raft.js';
import type { InstallSnapshotResponse, NodeId, SnapshotRequest } from '../raft/types.js';
import type { SnapshotAnswer, SnapshotHeader, Transport } from '../transport/contract.js';
import type { NodeLogger, StagedSnapshot, StateMachine } from './contracts.js';

interface Hooks {
  /** Offers a staged snapshot to the core; true when it replaced the log. */
  offer(staged: StagedSnapshot, step: () => void): boolean;
  wake(): void;
  fatal(error: unknown): void;
}

/** Snapshots on their way out to followers, and in from a leader (§7). Neither blocks appends or applies (rule 25). */
export class SnapshotTransfer {
  private readonly outgoing = new Map<NodeId, { readonly abort: AbortController; index: number }>();
  private incoming: { readonly term: number; abandoned: boolean } | null = null;
  /** Who waits for the core's answer to an offered snapshot, in the order of the offers. */
  private readonly answersWaiting: ((response: InstallSnapshotResponse) => void)[] = [];

  constructor(
    private readonly identity: { readonly id: NodeId; readonly incarnation: string },
    private readonly raft: Raft,
    private readonly stateMachine: StateMachine<unknown>,
    private readonly transport: Transport,
    private readonly logger: NodeLogger,
    private readonly hooks: Hooks,
  ) {}

  /** The lowest index that a transfer under way needs the log to follow from, or undefined. */
  get neededIndex(): number | undefined {
    let lowest: number | undefined;
    for (const { index } of this.outgoing.values()) lowest = Math.min(lowest ?? index, index);
    return lowest;
  }

  /** Leader: sends the state to a follower, in the background. */
  send(request: SnapshotRequest, incarnationOf: (id: NodeId) => string): void {
    this.outgoing.get(request.to)?.abort.abort();
    const transfer = { abort: new AbortController(), index: this.stateMachine.flushedIndex };
    this.outgoing.set(request.to, transfer);
    this.stream(request, transfer)
      .then(
        (answer) => {
          this.raft.step({
            type: 'installSnapshotResponse',
            from: request.to,
            fromIncarnation: incarnationOf(request.to),
            to: this.identity.id,
            term: Math.max(answer.term, request.term),
            success: answer.success,
            matchIndex: answer.matchIndex,
          });
        },
        (error: unknown) => {
          const message = error instanceof Error ? error.message : String(error);
          this.logger.warn({ peer: request.to }, `The snapshot for ${request.to} did not arrive: ${message}`);
          // One that another transfer took the place of says nothing about that one.
          if (this.outgoing.get(request.to) === transfer) this.raft.snapshotFailed(request.to);
        },
      )
      .catch((error: unknown) => this.hooks.fatal(error))
      .finally(() => {
        if (this.outgoing.get(request.to) === transfer) this.outgoing.delete(request.to);
        this.hooks.wake();
      });
  }

  private async stream(
    request: SnapshotRequest,
    transfer: { readonly abort: AbortController; index: number },
  ): Promise<SnapshotAnswer> {
    const snapshot = await this.stateMachine.takeSnapshot();
    try {
      transfer.index = snapshot.metadata.index;
      const { id, incarnation } = this.identity;
      const header: SnapshotHeader = {
        from: id,
        fromIncarnation: incarnation,
        to: request.to,
        term: request.term,
        snapshot: snapshot.metadata,
      };
      this.logger.info(
        { peer: request.to, index: snapshot.metadata.index },
        `Sending ${request.to} a snapshot of the state at index ${snapshot.metadata.index}.`,
      );
      return await this.transport.sendSnapshot(request.to, header, snapshot.chunks(), transfer.abort.signal);
    } finally {
      await snapshot.close();
    }
  }

  /** This node does not lead any more, or stops: whoever leads next sends its own. */
  abortOutgoing(): void {
    for (const { abort } of this.outgoing.values()) abort.abort();
  }

  /** Follower: takes an arriving snapshot to the disk, and then to the core, which decides whether it is wanted. */
  async receive(header: SnapshotHeader, chunks: AsyncIterable<Uint8Array>): Promise<SnapshotAnswer> {
    if (header.term < this.raft.term) return this.refusal();
    // Two leaders may send in quick succession: the one of the newer term goes on.
    if (this.incoming !== null && this.incoming.term > header.term) return this.refusal();
    if (this.incoming !== null) this.incoming.abandoned = true;
    const transfer = { term: header.term, abandoned: false };
    this.incoming = transfer;
    try {
      const staged = await this.stateMachine.stageSnapshot(header.snapshot, whileWanted(chunks, transfer));
      return await this.install(header, staged);
    } finally {
      if (this.incoming === transfer) this.incoming = null;
    }
  }

  private async install(header: SnapshotHeader, staged: StagedSnapshot): Promise<SnapshotAnswer> {
    if (header.term < this.raft.term) {
      await this.stateMachine.discard(staged);
      return this.refusal();
    }
    const { from, fromIncarnation, to, term, snapshot } = header;
    let answer: Promise<InstallSnapshotResponse> | undefined;
    const taken = this.hooks.offer(staged, () => {
      answer = new Promise((resolve) => {
        this.answersWaiting.push(resolve);
      });
      this.raft.step({ type: 'installSnapshot', from, fromIncarnation, to, term, snapshot });
    });
    if (!taken) await this.stateMachine.discard(staged);
    const response = await answer;
    if (response === undefined) return this.refusal();
    return { success: response.success, matchIndex: response.matchIndex, term: response.term };
  }

  /** The core's answer to {@link receive}; it leaves as the answer of the call that brought the snapshot. */
  answer(response: InstallSnapshotResponse): void {
    this.answersWaiting.shift()?.(response);
  }

  private refusal(): SnapshotAnswer {
    return { success: false, matchIndex: 0, term: this.raft.term };
  }
}

/** Ends the stream with an error once a newer one has taken its place. */
async function* whileWanted(
  chunks: AsyncIterable<Uint8Array>,
  transfer: { readonly abandoned: boolean },
): AsyncIterable<Uint8Array> {
  for await (const chunk of chunks) {
    if (transfer.abandoned)
      throw new RaftkvError('unavailable', 'Another snapshot took the place of this one.');
    yield chunk;
  }
}
