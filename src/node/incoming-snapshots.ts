import { RaftkvError } from '../errors.js';
import type { Raft } from '../raft/raft.js';
import type { InstallSnapshotResponse } from '../raft/types.js';
import type { SnapshotAnswer, SnapshotHeader } from '../transport/contract.js';
import type { NodeLogger, StagedSnapshot, StateMachine } from './contracts.js';

/** The driver, as far as it matters here. */
interface Offers {
  /** Offers a staged snapshot to the core; true when it replaced the log. */
  offerSnapshot(staged: StagedSnapshot, step: () => void): boolean;
}

/** Follower: snapshots that arrive from a leader (§7), beside appends and applies (correctness rule 25). */
export class IncomingSnapshots {
  private incoming: { readonly term: number; abandoned: boolean } | null = null;
  /** Who waits for the core's answer to an offered snapshot, in the order of the offers. */
  private readonly answersWaiting: ((response: InstallSnapshotResponse) => void)[] = [];

  constructor(
    private readonly raft: Raft,
    private readonly stateMachine: StateMachine<unknown>,
    private readonly logger: NodeLogger,
    private readonly offers: Offers,
  ) {}

  /** Takes an arriving snapshot to the disk, and then to the core, which decides whether it is wanted. */
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
    const taken = this.offers.offerSnapshot(staged, () => {
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

  /** One that the core took was replaced by another before it came to life: nobody will ask for it. */
  dropOvertaken(staged: StagedSnapshot): void {
    this.stateMachine.discard(staged).catch((error: unknown) => {
      const { directory } = staged;
      this.logger.warn({ err: error, directory }, `${directory} was not deleted; the next start does it.`);
    });
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
