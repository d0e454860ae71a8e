import { RaftkvError } from '../errors.js';
import type { Raft } from '../raft/raft.js';
import type { InstallSnapshotResponse } from '../raft/types.js';
import type { SnapshotAnswer, SnapshotHeader } from '../transport/contract.js';
import type { NodeLogger, StagedSnapshot, StateMachine } from './contracts.js';
import type { Nonsense } from './nonsense.js';

/** The driver, as far as it matters here. */
interface Offers {
  /** Offers a staged snapshot to the core; true when it replaced the log. */
  offerSnapshot(staged: StagedSnapshot, step: () => void): boolean;
}

/**
 * Follower: snapshots that arrive from the leader (§7), beside appends and applies (correctness rule 25). Whether one is wanted
 * is decided by its header, before a byte of it is written; at most one is being written at a time.
 */
export class IncomingSnapshots {
  private incoming: { abandoned: boolean } | null = null;
  /** Who waits for the core's answer to an offered snapshot, in the order of the offers. */
  private readonly answersWaiting: ((response: InstallSnapshotResponse | undefined) => void)[] = [];

  constructor(
    private readonly raft: Raft,
    private readonly stateMachine: StateMachine<unknown>,
    private readonly logger: NodeLogger,
    private readonly offers: Offers,
    private readonly nonsense: Pick<Nonsense, 'note'>,
  ) {}

  /** Takes an arriving snapshot to the disk, and then to the core, which decides whether it replaces the log. */
  async receive(
    header: SnapshotHeader,
    chunks: AsyncIterable<Uint8Array>,
    fromMember: boolean,
  ): Promise<SnapshotAnswer> {
    const isStranger = !fromMember && this.raft.configuration.members.length > 0;
    const objection = isStranger
      ? 'its sender is no member, as far as this node knows.'
      : this.objectionTo(header);
    if (objection !== null) {
      // Whoever is no member may send any number of them.
      if (!fromMember)
        this.nonsense.note(
          { from: header.from, type: 'installSnapshot' },
          `It begins a snapshot, which is not taken: ${objection}`,
        );
      else this.logger.info({ peer: header.from }, `A snapshot of ${header.from} is not taken: ${objection}`);
      return this.refusal();
    }
    // What it covers is committed here, so there is nothing to write; the core says how far this node is (rule 24).
    if (header.snapshot.index <= this.raft.commitIndex) {
      return this.answerOf(header, (step) => step());
    }
    // The leader begins another when it has given one up.
    if (this.incoming !== null) this.incoming.abandoned = true;
    const transfer = { abandoned: false };
    this.incoming = transfer;
    const { index } = header.snapshot;
    this.logger.debug({ peer: header.from, index }, `${header.from} sends a snapshot of index ${index}.`);
    try {
      const staged = await this.stateMachine.stageSnapshot(header.snapshot, whileWanted(chunks, transfer));
      return await this.install(header, staged);
    } finally {
      if (this.incoming === transfer) this.incoming = null;
    }
  }

  private async install(header: SnapshotHeader, staged: StagedSnapshot): Promise<SnapshotAnswer> {
    const objection = this.objectionTo(header);
    if (objection !== null) {
      await this.stateMachine.discard(staged);
      return this.refusal();
    }
    let taken = false;
    const answer = this.answerOf(header, (step) => {
      taken = this.offers.offerSnapshot(staged, step);
    });
    if (!taken) await this.stateMachine.discard(staged);
    return answer;
  }

  /**
   * Only the leader of the term has a reason to send the state, and this node has heard it before, because it sends none to
   * whom it has not heard.
   */
  private objectionTo({ from, term, snapshot }: SnapshotHeader): string | null {
    const { raft } = this;
    if (raft.quarantine !== null) return 'this node is in quarantine.';
    if (term !== raft.term || from !== raft.leader) {
      const leader = raft.leader ?? 'nobody';
      return `it is of term ${term}, and ${leader} leads term ${raft.term}.`;
    }
    if (snapshot.term > term) return `its last entry has term ${snapshot.term}, above term ${term}.`;
    if (snapshot.configuration.voters.length === 0) return 'its configuration has no voter.';
    return null;
  }

  /** Tells the core of a snapshot, by way of `offer`, and resolves with the core's answer. */
  private async answerOf(
    { from, fromIncarnation, to, term, snapshot }: SnapshotHeader,
    offer: (step: () => void) => void,
  ): Promise<SnapshotAnswer> {
    let answer: Promise<InstallSnapshotResponse | undefined> | undefined;
    offer(() => {
      let settle: (response: InstallSnapshotResponse | undefined) => void = () => {};
      const waiting = new Promise<InstallSnapshotResponse | undefined>((resolve) => {
        settle = resolve;
      });
      this.answersWaiting.push(settle);
      const nonsense = this.raft.step({ type: 'installSnapshot', from, fromIncarnation, to, term, snapshot });
      // The core answers neither nonsense nor what put it into quarantine.
      if (nonsense === null && this.raft.quarantine === null) answer = waiting;
      else this.answersWaiting.splice(this.answersWaiting.indexOf(settle), 1);
    });
    const response = await answer;
    if (response === undefined) return this.refusal();
    return { success: response.success, matchIndex: response.matchIndex, term: response.term };
  }

  /** The core's answer to {@link receive}; it leaves as the answer of the call that brought the snapshot. */
  answer(response: InstallSnapshotResponse): void {
    this.answersWaiting.shift()?.(response);
  }

  /** The core answers nothing any more, because this node is in quarantine: whoever waits hears that its snapshot is not taken. */
  refuseAll(): void {
    for (const settle of this.answersWaiting.splice(0)) settle(undefined);
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
