import type { Clock, Timer } from '../clock.js';
import { RaftkvError } from '../errors.js';
import { lastConfiguration } from '../raft/configuration.js';
import { hasMajority } from '../raft/quorum.js';
import type {
  Configuration,
  Entry,
  HardState,
  Index,
  NodeId,
  SnapshotMetadata,
  Term,
} from '../raft/types.js';
import type { Identity, Peer, SnapshotAnswer, SnapshotHeader, Transport } from '../transport/contract.js';
import type { NodeLogger } from './contracts.js';
import { type Answered, readAnswer, toJson } from './forwarded.js';
import {
  REPAIR_ASK_MS,
  REPAIR_FAILURE_PAUSE_MS,
  REPAIR_PERIOD_MS,
  REPAIR_RETRY_MS,
  SNAPSHOT_STALL_MS,
} from './limits.js';

/** The log, which is whole. */
export interface RepairedLog {
  readonly hardState: HardState;
  readonly compacted: SnapshotMetadata;
  readonly entries: readonly Entry[];
  readonly lastIndex: Index;
  /** The last repair; undefined if there was none. */
  readonly repair: RepairRecord | undefined;
  replaceState(
    stateDirectory: string,
    repair: RepairRecord,
    snapshot: SnapshotMetadata | null,
  ): Promise<void>;
}

interface RepairRecord {
  readonly atMs: number;
  readonly servesFrom: Index;
}

/** One request to a member for its state. */
interface Asked<State> {
  readonly from: NodeId;
  readonly servesFrom: Promise<Index>;
  movedAtMs: number;
  /** Whether a snapshot of it is being written: the leader may send one for reasons of its own as well. */
  isArriving: boolean;
  readonly done: (state: State | null) => void;
  /** Ends what it sends, wherever that is. */
  readonly giveUp: () => void;
  /** Rejects then. */
  readonly givenUp: Promise<never>;
}

/** A state that a snapshot brought. */
export interface RestoredStore {
  readonly storeName: string;
  abandon(): Promise<void>;
}

/**
 * Replaces a damaged state by a snapshot of the leader (rule 29). The log, the term and the vote are in another store, which is
 * whole, and stay as they are; the log is applied from where the snapshot ends.
 *
 * While it lasts this node takes part in nothing, as if it were down: it has no state that it could lead with. Nothing is deleted
 * before the new state is named in the log's store, and nothing is begun where no other member could have a copy.
 */
export class StateRepair<State extends RestoredStore> {
  /** Completes "This node is …". */
  progress = 'repairing its state';
  readonly configuration: Configuration;
  /** The members that are asked, by their ids. */
  private readonly others = new Map<NodeId, Peer>();
  /** The member that was asked, and what became of what it sends. */
  private asked: Asked<State> | null = null;
  /** Snapshots that are being written, wanted or not. */
  private readonly arriving = new Set<Promise<unknown>>();
  /** Why members that lead do not send it. */
  private readonly reasons = new Map<NodeId, string>();
  private told = '';
  /** How long nobody is asked again. */
  private pauseMs = REPAIR_RETRY_MS;

  constructor(
    private readonly parts: {
      readonly identity: () => Identity;
      readonly log: RepairedLog;
      readonly transport: Pick<Transport, 'forward' | 'setPeers'>;
      readonly clock: Clock;
      /** By the clock of the machine, in milliseconds since 1970. */
      readonly wallClockMs: () => number;
      readonly logger: NodeLogger;
      /** Writes a snapshot to a store of its own and opens it. */
      readonly restore: (snapshot: SnapshotMetadata, chunks: AsyncIterable<Uint8Array>) => Promise<State>;
    },
  ) {
    this.configuration = lastConfiguration(parts.log);
  }

  /** Why no other member can send its state to this node, and what to do then, in sentences; null where one can. */
  static obstacle(
    id: NodeId,
    configuration: Configuration,
    repair: RepairRecord | undefined,
    wallClockMs: number,
  ): string | null {
    if (!configuration.members.some((member) => member.id !== id))
      return 'No other member has a copy of the state. Nothing was changed: restore the data directory from a backup.';
    // It votes and acknowledges nothing while it has no state, so the others need a majority without it to have a leader at all.
    if (!hasMajority(configuration, (voter) => voter !== id))
      return (
        'The other members are no majority without this one, so none of them can lead and send its state. ' +
        'Nothing was changed: keep the data directories of all members, and restore the cluster from a backup.'
      );
    if (repair === undefined || Math.abs(wallClockMs - repair.atMs) >= REPAIR_PERIOD_MS) return null;
    const hours = Math.max(1, Math.round(Math.abs(wallClockMs - repair.atMs) / 3_600_000));
    return (
      `The state was repaired less than a day ago already (${hours} ${hours === 1 ? 'hour' : 'hours'}), so this disk cannot be trusted. ` +
      'Nothing was changed: replace the disk, remove the member from the cluster, and start it with --join and an empty data directory.'
    );
  }

  /**
   * Resolves with the new state, which the log's store names then, or rejects with the reason of the signal. No other store that it
   * made is open then, so that they can be removed.
   */
  async run(signal: AbortSignal): Promise<State> {
    try {
      return await this.obtain(signal);
    } finally {
      await Promise.allSettled(this.arriving);
    }
  }

  /** Whether this is a member that is asked: one that the log names, or a leader that another member named. */
  knows(id: NodeId, incarnation: string): boolean {
    return this.others.get(id)?.incarnation === incarnation;
  }

  private async obtain(signal: AbortSignal): Promise<State> {
    const { identity, transport, clock } = this.parts;
    for (const { id, incarnation, peerAddress: address } of this.configuration.members)
      if (id !== identity().id) this.others.set(id, { id, incarnation, address });
    transport.setPeers([...this.others.values()]);
    for (;;) {
      // Those that are added meanwhile have their turn as well.
      for (const other of this.others.keys()) {
        signal.throwIfAborted();
        const state = await this.obtainFrom(other, signal);
        if (state !== null) return state;
      }
      await pause(clock, this.pauseMs, signal);
      this.pauseMs = REPAIR_RETRY_MS;
    }
  }

  /** The leader may have joined, or moved, since the log here ends. Nobody sends this node the entries that would tell. */
  private learn({ id, incarnation, peer }: NonNullable<Answered<'sendState'>['leader']>): void {
    const known = this.others.get(id);
    const isKnown = known?.incarnation === incarnation && known.address === peer;
    if (isKnown || id === this.parts.identity().id) return;
    this.others.set(id, { id, incarnation, address: peer });
    this.parts.transport.setPeers([...this.others.values()]);
  }

  /** A snapshot arrives. It is taken only from the member that was asked. */
  async onSnapshot(
    header: SnapshotHeader,
    chunks: AsyncIterable<Uint8Array>,
    fromMember: boolean,
  ): Promise<SnapshotAnswer> {
    const { asked } = this;
    const { log } = this.parts;
    const { term } = log.hardState;
    const { index } = header.snapshot;
    const isInLog = termAt(log, index) === header.snapshot.term;
    // One that ends before the log begins would leave a gap, and one that contradicts what is committed here is wrong (rule 24).
    const fits = isInLog || index > log.hardState.commit;
    if (!fromMember || asked?.from !== header.from || asked.isArriving || !fits)
      return { success: false, matchIndex: 0, term };
    asked.isArriving = true;
    const taken = this.take(asked, header.snapshot, chunks, isInLog);
    this.arriving.add(taken);
    try {
      return await taken;
    } finally {
      this.arriving.delete(taken);
    }
  }

  private async take(
    asked: Asked<State>,
    snapshot: SnapshotMetadata,
    chunks: AsyncIterable<Uint8Array>,
    isInLog: boolean,
  ): Promise<SnapshotAnswer> {
    const { log, logger, restore } = this.parts;
    const { term } = log.hardState;
    const { index } = snapshot;
    const { from } = asked;
    try {
      const servesFrom = await asked.servesFrom;
      this.progress = `repairing its state with a snapshot of ${from}`;
      const state = await restore(snapshot, noted(chunks, asked, this.parts.clock));
      // Asked again meanwhile, because it took too long.
      if (this.asked !== asked) {
        await state.abandon();
        return { success: false, matchIndex: 0, term };
      }
      this.asked = null;
      const record = { atMs: this.parts.wallClockMs(), servesFrom };
      await log.replaceState(state.storeName, record, isInLog ? null : snapshot);
      logger.warn(
        { index, peer: from },
        `The state was replaced by a snapshot of ${from} at index ${index}. It is served from index ${servesFrom} on.`,
      );
      asked.done(state);
      return { success: true, matchIndex: index, term };
    } catch (error) {
      if (this.asked === asked) {
        // Such as a disk without room for both states.
        this.tell(from, error);
        this.pauseMs = REPAIR_FAILURE_PAUSE_MS;
        asked.done(null);
      }
      throw error;
    }
  }

  private async obtainFrom(from: NodeId, signal: AbortSignal): Promise<State | null> {
    const { clock } = this.parts;
    let done: (state: State | null) => void = () => {};
    const arrival = new Promise<State | null>((resolve) => {
      done = resolve;
    });
    const servesFrom = this.ask(from);
    let giveUp: () => void = () => {};
    const givenUp = new Promise<never>((_, reject) => {
      giveUp = () => reject(new RaftkvError('unavailable', `${from} sends nothing any more.`));
    });
    givenUp.catch(() => {});
    const asked = { from, servesFrom, movedAtMs: clock.now(), isArriving: false, done, giveUp, givenUp };
    this.asked = asked;
    try {
      await servesFrom;
    } catch (error) {
      this.asked = null;
      this.tell(from, error);
      return null;
    }
    asked.movedAtMs = clock.now();
    const look = () => {
      const isStalled = clock.now() - asked.movedAtMs > SNAPSHOT_STALL_MS;
      if (this.asked === asked && (isStalled || signal.aborted)) {
        this.asked = null;
        giveUp();
        done(null);
      }
      if (this.asked === asked) timer = clock.after(REPAIR_RETRY_MS, look);
    };
    let timer = clock.after(REPAIR_RETRY_MS, look);
    const state = await arrival;
    timer.cancel();
    if (this.asked === asked) this.asked = null;
    return state;
  }

  private async ask(from: NodeId): Promise<Index> {
    const { identity, log, transport } = this.parts;
    const { id, incarnation } = identity();
    const payload = toJson({ id, incarnation, fromIndex: log.compacted.index });
    const answer = await transport.forward(from, { operation: 'sendState', payload }, REPAIR_ASK_MS);
    const { commitIndex, leader } = readAnswer('sendState', answer);
    if (leader !== null) this.learn(leader);
    if (commitIndex === null) throw new RaftkvError('no_leader', `${from} does not lead.`);
    return commitIndex;
  }

  /** Said once for each reason: who does not lead is asked again and again. */
  private tell(from: NodeId, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    const isLeaderless = error instanceof RaftkvError && error.code === 'no_leader';
    if (isLeaderless) this.reasons.delete(from);
    else this.reasons.set(from, why);
    const said = [...this.reasons].map(([id, reason]) => `${id}: ${reason}`).join(' ');
    this.progress =
      'repairing its state, and waits for the leader to send it. ' +
      (said || 'No member leads that could send it').replace(/\.$/, '');
    if (isLeaderless || said === this.told) return;
    this.told = said;
    this.parts.logger.warn({ peer: from }, `The state of ${from} did not come. ${why}`);
  }
}

/** Rejects with the reason of the signal once it is aborted. */
async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  let wake = () => {};
  const timer = await new Promise<Timer>((resolve) => {
    const armed = clock.after(ms, () => resolve(armed));
    wake = () => resolve(armed);
    signal.addEventListener('abort', wake, { once: true });
  });
  timer.cancel();
  signal.removeEventListener('abort', wake);
  signal.throwIfAborted();
}

async function* noted(
  chunks: AsyncIterable<Uint8Array>,
  asked: Pick<Asked<never>, 'movedAtMs' | 'givenUp'>,
  clock: Clock,
): AsyncIterable<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), asked.givenUp]);
      if (next.done) return;
      asked.movedAtMs = clock.now();
      yield next.value;
    }
  } finally {
    // Nobody waits for it: a sender that is cut off may never say that there is nothing more.
    iterator.return?.().catch(() => {});
  }
}

function termAt(
  { compacted, entries }: Pick<RepairedLog, 'compacted' | 'entries'>,
  index: Index,
): Term | undefined {
  return index === compacted.index ? compacted.term : entries[index - compacted.index - 1]?.term;
}
