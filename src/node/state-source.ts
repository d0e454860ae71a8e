import type { Clock } from '../clock.js';
import { RaftkvError, type StorageDamaged } from '../errors.js';
import { memberOf } from '../raft/configuration.js';
import type { Raft } from '../raft/raft.js';
import type { Index, NodeId } from '../raft/types.js';
import type { Transport } from '../transport/contract.js';
import type { NodeLogger, StateMachine } from './contracts.js';
import { SNAPSHOT_STALL_MS } from './limits.js';
import { undamaged } from './outgoing-snapshots.js';

/** What a member sends that lost its state. */
export interface StateRequest {
  readonly id: NodeId;
  readonly incarnation: string;
  /** Where its log begins: a snapshot of an earlier index would leave a gap. */
  readonly fromIndex: Index;
}

/**
 * Leader: sends its state to a member whose own is damaged (see state-repair.ts). The core knows nothing of it: that member's log is
 * whole, so it is not replaced, and nothing is known of it that was not known before.
 */
export class StateSource {
  private readonly sending = new Map<NodeId, AbortController>();

  constructor(
    private readonly parts: {
      readonly id: NodeId;
      readonly incarnation: string;
      readonly raft: Raft;
      readonly stateMachine: Pick<StateMachine<unknown>, 'takeSnapshot'>;
      readonly transport: Pick<Transport, 'sendSnapshot'>;
      readonly clock: Clock;
      readonly logger: NodeLogger;
      /** Resolves with an index that is committed, once it is certain that this node leads. */
      readonly readIndex: (timeoutMs: number) => Promise<Index>;
      /** What the snapshot is made of is damaged itself. */
      readonly damaged: (error: StorageDamaged) => void;
    },
  ) {}

  /**
   * Begins to send. Resolves with the commit index: whatever the member has shown to clients is not newer. Rejects with
   * `member_not_found`, and with `unavailable` where the state here does not reach the member's log.
   */
  async send(request: StateRequest, timeoutMs: number): Promise<Index> {
    const { id, incarnation, fromIndex } = request;
    const { raft, stateMachine, readIndex } = this.parts;
    if (memberOf(raft.configuration, id)?.incarnation !== incarnation)
      throw new RaftkvError(
        'member_not_found',
        `${id} with that data directory is no member of the cluster.`,
      );
    const commitIndex = await readIndex(timeoutMs);
    const { term } = raft;
    const snapshot = await stateMachine.takeSnapshot();
    const { index } = snapshot.metadata;
    if (index < fromIndex) {
      await snapshot.close();
      throw new RaftkvError(
        'unavailable',
        `The state of the leader is at index ${index}, and the log of ${id} begins after index ${fromIndex}.`,
      );
    }
    this.sending.get(id)?.abort();
    const abort = new AbortController();
    this.sending.set(id, abort);
    this.stream(id, term, snapshot, abort)
      .catch((error: unknown) => {
        const { logger } = this.parts;
        logger.warn({ peer: id, err: error }, `The state that ${id} asked for did not arrive there.`);
      })
      .finally(() => {
        if (this.sending.get(id) === abort) this.sending.delete(id);
      });
    return commitIndex;
  }

  stop(): void {
    for (const abort of this.sending.values()) abort.abort();
  }

  private async stream(
    to: NodeId,
    term: number,
    snapshot: Awaited<ReturnType<StateMachine<unknown>['takeSnapshot']>>,
    abort: AbortController,
  ): Promise<void> {
    const { id: from, incarnation, transport, logger } = this.parts;
    const { metadata } = snapshot;
    logger.info(
      { peer: to, index: metadata.index },
      `Sending ${to} the state at index ${metadata.index}: its own is damaged.`,
    );
    const header = { from, fromIncarnation: incarnation, to, term, snapshot: metadata };
    try {
      const chunks = this.watched(snapshot.chunks(), abort);
      const { success } = await transport.sendSnapshot(to, header, chunks, abort.signal);
      if (success) logger.info({ peer: to }, `${to} has the state at index ${metadata.index}.`);
      else logger.warn({ peer: to }, `${to} did not take the state that it asked for.`);
    } finally {
      await snapshot.close();
    }
  }

  /** Gives up once the member takes nothing for a while. */
  private async *watched(
    chunks: AsyncIterable<Uint8Array>,
    abort: AbortController,
  ): AsyncIterable<Uint8Array> {
    const { clock } = this.parts;
    const armed = () => clock.after(SNAPSHOT_STALL_MS, () => abort.abort());
    let timer = armed();
    try {
      for await (const chunk of undamaged(chunks, this.parts.damaged)) {
        timer.cancel();
        timer = armed();
        yield chunk;
      }
    } finally {
      timer.cancel();
    }
  }
}
