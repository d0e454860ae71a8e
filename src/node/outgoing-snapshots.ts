import type { Clock } from '../clock.js';
import { StorageDamaged } from '../errors.js';
import { memberOf } from '../raft/configuration.js';
import type { FollowerStatus, Raft } from '../raft/raft.js';
import type { Index, NodeId, SnapshotRequest } from '../raft/types.js';
import type { SnapshotAnswer, SnapshotHeader, Transport } from '../transport/contract.js';
import type { NodeLogger, StateMachine } from './contracts.js';
import { keptEntries, type LogBounds } from './flusher.js';
import {
  CATCH_UP_SILENCE_TICKS,
  SNAPSHOT_RETRY_MS_MAX,
  SNAPSHOT_RETRY_MS_MIN,
  SNAPSHOT_STALL_DOUBLINGS_MAX,
  SNAPSHOT_STALL_MS,
} from './limits.js';

interface Hooks {
  /** Something ended: the log may be cut further, and the core may have something to do. */
  wake(): void;
  /** What a snapshot is made of is damaged. */
  damaged(error: StorageDamaged): void;
  fatal(error: unknown): void;
}

interface Transfer {
  readonly request: SnapshotRequest;
  /** Whom the configuration named when it began; undefined for who was removed and is still to be told. */
  readonly incarnation: string | undefined;
  readonly abort: AbortController;
  /**
   * - `streaming`: the snapshot is on its way.
   * - `catchingUp`: it arrived, and the follower takes what was written meanwhile from the log.
   * - `resting`: it failed, and the core is told when `retryAtMs` has come.
   */
  state: 'streaming' | 'catchingUp' | 'resting';
  /** The follower holds, or will hold, everything up to here. */
  index: Index;
  /** When the last chunk was taken. */
  movedAtMs: number;
  retryAtMs: number;
}

/**
 * Leader: snapshots on their way to followers, beside appends and applies (§7, correctness rule 25).
 *
 * The log is kept from where a snapshot ends, or the follower would need the next one as soon as it has this one: while
 * it travels, and afterwards until the follower has nearly caught up. That hold is given up when the follower leaves,
 * stops taking anything or falls silent, and when the log would grow too far: a follower that is too slow has to begin
 * again, but never keeps the others from writing.
 */
export class OutgoingSnapshots {
  /** At most one for each follower. */
  private readonly transfers = new Map<NodeId, Transfer>();
  /** How many in a row have failed. */
  private readonly failures = new Map<NodeId, number>();

  constructor(
    private readonly options: { readonly id: NodeId; readonly incarnation: string } & LogBounds,
    private readonly raft: Raft,
    private readonly stateMachine: StateMachine<unknown>,
    private readonly transport: Transport,
    private readonly clock: Clock,
    private readonly logger: NodeLogger,
    private readonly hooks: Hooks,
  ) {}

  /** The lowest index from which the log must go on for a follower, or undefined. */
  get neededIndex(): Index | undefined {
    let lowest: Index | undefined;
    for (const transfer of this.transfers.values()) {
      const index = this.neededBy(transfer);
      if (index !== undefined) lowest = Math.min(lowest ?? index, index);
    }
    return lowest;
  }

  /** Sends the state to a follower, in place of what is under way to it. */
  send(request: SnapshotRequest): void {
    this.transfers.get(request.to)?.abort.abort();
    const transfer: Transfer = {
      request,
      incarnation: this.incarnationOf(request.to),
      abort: new AbortController(),
      state: 'streaming',
      index: this.stateMachine.flushedIndex,
      movedAtMs: this.clock.now(),
      retryAtMs: 0,
    };
    this.transfers.set(request.to, transfer);
    this.stream(transfer)
      .then(
        (answer) => this.answered(transfer, answer),
        (error: unknown) => this.fail(transfer, error instanceof Error ? error.message : String(error)),
      )
      .catch((error: unknown) => this.hooks.fatal(error));
  }

  /** Looks at everything again; to be called at least as often as heartbeats leave, and when the configuration changed. */
  review(): void {
    const now = this.clock.now();
    for (const transfer of [...this.transfers.values()]) {
      const { to } = transfer.request;
      if (this.incarnationOf(to) !== transfer.incarnation) {
        this.logger.info({ peer: to }, `${to} left, or came back as another; its snapshot is abandoned.`);
        this.failures.delete(to);
        this.giveUp(transfer);
      } else if (transfer.state === 'streaming') {
        if (now - transfer.movedAtMs > this.patienceMs(to)) {
          this.fail(transfer, `${to} took nothing for ${now - transfer.movedAtMs} ms.`);
        }
      } else if (transfer.state === 'resting') {
        if (now >= transfer.retryAtMs) this.giveUp(transfer);
      } else if (this.hasCaughtUp(transfer)) {
        this.transfers.delete(to);
        this.logger.debug({ peer: to }, `The log is kept no longer for ${to}, which got a snapshot.`);
        this.hooks.wake();
      }
    }
  }

  /** The log is too long: whoever needs it from this index on, or from before, has been too slow. */
  release(index: Index): void {
    for (const transfer of [...this.transfers.values()]) {
      const needed = this.neededBy(transfer);
      if (needed === undefined || needed > index) continue;
      const { to } = transfer.request;
      const why =
        'More was written meanwhile than the log may hold; a larger log (--log-bytes-max, --log-entries-max) gives it more time.';
      if (transfer.state === 'streaming') {
        this.fail(transfer, why);
      } else {
        this.transfers.delete(to);
        this.logger.warn({ peer: to }, `${to} does not catch up after its snapshot. ${why}`);
      }
    }
  }

  /** This node does not lead any more, or stops: whoever leads next sends its own. */
  abortAll(): void {
    for (const { abort } of this.transfers.values()) abort.abort();
    this.transfers.clear();
    this.failures.clear();
  }

  private async stream(transfer: Transfer): Promise<SnapshotAnswer> {
    const snapshot = await this.stateMachine.takeSnapshot();
    try {
      if (transfer.abort.signal.aborted) throw new Error('It was abandoned before it began.');
      const { to, term } = transfer.request;
      const { id, incarnation } = this.options;
      transfer.index = snapshot.metadata.index;
      transfer.movedAtMs = this.clock.now();
      const header: SnapshotHeader = {
        from: id,
        fromIncarnation: incarnation,
        to,
        term,
        snapshot: snapshot.metadata,
      };
      this.logger.info(
        { peer: to, index: snapshot.metadata.index },
        `Sending ${to} a snapshot of the state at index ${snapshot.metadata.index}.`,
      );
      const chunks = this.noteMovement(snapshot.chunks(), transfer);
      return await this.transport.sendSnapshot(to, header, chunks, transfer.abort.signal);
    } finally {
      await snapshot.close();
    }
  }

  private async *noteMovement(
    chunks: AsyncIterable<Uint8Array>,
    transfer: Transfer,
  ): AsyncIterable<Uint8Array> {
    for await (const chunk of undamaged(chunks, (error) => this.hooks.damaged(error))) {
      // The next is pulled when the last one was taken.
      transfer.movedAtMs = this.clock.now();
      yield chunk;
    }
    transfer.movedAtMs = this.clock.now();
  }

  private answered(transfer: Transfer, answer: SnapshotAnswer): void {
    if (!this.isStreaming(transfer)) return;
    const { request, incarnation } = transfer;
    const { to, term } = request;
    if (!answer.success && answer.term <= term) {
      this.fail(transfer, `${to} refused it.`);
      return;
    }
    if (answer.success && incarnation !== undefined) {
      transfer.state = 'catchingUp';
      transfer.index = answer.matchIndex;
      this.logger.info(
        { peer: to, index: answer.matchIndex },
        `${to} has the snapshot, and everything up to index ${answer.matchIndex}.`,
      );
    } else {
      this.transfers.delete(to);
    }
    this.failures.delete(to);
    this.raft.step({
      type: 'installSnapshotResponse',
      from: to,
      // Whom it was sent to, not who has that name by now: an answer counts for the one that gave it (rule 16).
      fromIncarnation: incarnation ?? '',
      to: this.options.id,
      term: Math.max(answer.term, term),
      success: answer.success,
      matchIndex: answer.matchIndex,
    });
    this.hooks.wake();
  }

  /** Ends a transfer; the core may ask for the next one at once, and after repeated failures later. */
  private fail(transfer: Transfer, why: string): void {
    // One that another took the place of says nothing about that one.
    if (!this.isStreaming(transfer)) return;
    const { to } = transfer.request;
    this.logger.warn({ peer: to }, `The snapshot for ${to} did not arrive: ${why}`);
    const failures = this.failures.get(to) ?? 0;
    this.failures.set(to, failures + 1);
    transfer.abort.abort();
    if (failures === 0) {
      this.giveUp(transfer);
    } else {
      transfer.state = 'resting';
      const delayMs = Math.min(SNAPSHOT_RETRY_MS_MAX, SNAPSHOT_RETRY_MS_MIN * 2 ** (failures - 1));
      transfer.retryAtMs = this.clock.now() + delayMs;
      this.hooks.wake();
    }
  }

  private giveUp(transfer: Transfer): void {
    const { to } = transfer.request;
    transfer.abort.abort();
    this.transfers.delete(to);
    this.raft.snapshotFailed(to);
    this.hooks.wake();
  }

  private isStreaming(transfer: Transfer): boolean {
    return this.transfers.get(transfer.request.to) === transfer && transfer.state === 'streaming';
  }

  private neededBy(transfer: Transfer): Index | undefined {
    // Who was removed gets the state to learn of it, and nothing after that.
    if (transfer.incarnation === undefined || transfer.state === 'resting') return undefined;
    if (transfer.state === 'streaming') return transfer.index;
    return Math.max(transfer.index, this.raft.follower(transfer.request.to)?.match ?? 0);
  }

  /** Whether the log needs to be kept no longer: the follower is far inside of what a compaction leaves, or gone. */
  private hasCaughtUp(transfer: Transfer): boolean {
    const follower: FollowerStatus | undefined = this.raft.follower(transfer.request.to);
    const silentTicks = follower?.lastContactTicks ?? Number.POSITIVE_INFINITY;
    if (follower === undefined || silentTicks > CATCH_UP_SILENCE_TICKS) return true;
    const behind = this.raft.lastIndex - follower.match;
    return follower.state === 'replicate' && behind <= keptEntries(this.raft.logSize, this.options) / 2;
  }

  /** Longer after each failure, so that a disk that is merely slow gets there in the end. */
  private patienceMs(to: NodeId): number {
    const failures = this.failures.get(to) ?? 0;
    return SNAPSHOT_STALL_MS * 2 ** Math.min(failures, SNAPSHOT_STALL_DOUBLINGS_MAX);
  }

  private incarnationOf(id: NodeId): string | undefined {
    return memberOf(this.raft.configuration, id)?.incarnation;
  }
}

/** Tells where a state proves to be damaged while it is read for another member; the stream ends there. */
export async function* undamaged(
  chunks: AsyncIterable<Uint8Array>,
  damaged: (error: StorageDamaged) => void,
): AsyncIterable<Uint8Array> {
  try {
    yield* chunks;
  } catch (error) {
    if (error instanceof StorageDamaged) damaged(error);
    throw error;
  }
}
