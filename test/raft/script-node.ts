import { assert, present } from '../../src/assert.js';
import { decodeConfiguration } from '../../src/raft/configuration.js';
import { Raft } from '../../src/raft/raft.js';
import {
  type Configuration,
  type DelayedMessage,
  EntryKind,
  type Message,
  type Persist,
  type SnapshotRequest,
} from '../../src/raft/types.js';
import type { ScriptDisk } from './script-disk.js';
import { formatEntries, formatMessage, formatPersist } from './script-format.js';

export interface ScriptLimits {
  appendBytes: number;
  messagesInFlight: number;
  bytesInFlight: number;
  uncommittedBytes: number;
}

/** Ticks are few, so that scripts stay short. */
export const ELECTION_TIMEOUT_TICKS = 10;
export const HEARTBEAT_TICKS = 2;
/** Scripts read the time in ticks. */
const LEASE_TICKS = 8;

/** One server in a script: the real core, and a shell that performs each Ready at once and tells what it did. */
export class ScriptNode {
  readonly raft: Raft;
  /** What the next draws of this node's patience give: 0 for the shortest, just below 1 for the longest. */
  randomValue = 0;
  /** Whether writes wait for the command `persist`. */
  isDiskSlow = false;
  /** Whether a Ready is taken by the command `ready` only. */
  isHeld = false;
  private readonly writing: Persist[] = [];
  private delayed: DelayedMessage[] = [];
  /** Followers that need a snapshot, and have not got one. */
  readonly snapshotRequests: SnapshotRequest[] = [];
  /** How often it asked for pre-votes. */
  campaigns = 0;
  appliedIndex: number;
  appliedConfiguration: Configuration;

  constructor(
    readonly id: string,
    readonly incarnation: string,
    readonly disk: ScriptDisk,
    limits: ScriptLimits,
    private readonly world: {
      readonly print: (line: string) => void;
      readonly send: (message: Message) => void;
      readonly time: () => number;
    },
  ) {
    const restored = disk.restored();
    this.appliedIndex = restored.appliedIndex;
    this.appliedConfiguration = restored.compacted.configuration;
    this.raft = new Raft(
      {
        id,
        incarnation,
        electionTimeoutTicks: ELECTION_TIMEOUT_TICKS,
        heartbeatTicks: HEARTBEAT_TICKS,
        leaseDuration: LEASE_TICKS,
        appendBytesMax: limits.appendBytes,
        messagesInFlightMax: limits.messagesInFlight,
        bytesInFlightMax: limits.bytesInFlight,
        uncommittedBytesMax: limits.uncommittedBytes,
        logEntriesMax: Number.MAX_SAFE_INTEGER,
        logBytesMax: Number.MAX_SAFE_INTEGER,
        refuseCommand: () => null,
        random: () => this.randomValue,
      },
      restored,
    );
  }

  /** What the shell does after each input, unless the script holds it back. */
  settle(): void {
    this.raft.timeIs(this.world.time());
    if (!this.isHeld) this.ready();
  }

  ready(): void {
    while (this.raft.hasReady()) {
      const ready = this.raft.takeReady();
      for (const event of ready.events) {
        if (event.name === 'becamePreCandidate') this.campaigns += 1;
        this.world.print(`${this.id}: ${event.message}`);
      }
      for (const message of ready.send) this.leave(message);
      if (ready.persist) this.write(ready.persist);
      for (const delayed of ready.sendAfterPersist) {
        this.delayed.push(delayed);
        if (this.isDiskSlow)
          this.world.print(`  waits for write ${delayed.sequence}:  ${formatMessage(delayed.message)}`);
      }
      if (ready.committed.length > 0) {
        this.world.print(`${this.id} applies ${formatEntries(ready.committed)}`);
        for (const entry of ready.committed) {
          assert(
            entry.index === this.appliedIndex + 1,
            `${entry.index} is applied after ${this.appliedIndex}.`,
          );
          assert(entry.index <= this.disk.lastIndex, `Entry ${entry.index} is on disk when it is applied.`);
          this.appliedIndex = entry.index;
          if (entry.kind === EntryKind.configuration)
            this.appliedConfiguration = decodeConfiguration(entry.payload);
        }
      }
      for (const { context, index } of ready.reads)
        this.world.print(`${this.id} answers read ${context} when ${index} is applied`);
      for (const context of ready.readsRefused) this.world.print(`${this.id} refuses read ${context}`);
      for (const request of ready.snapshotRequests) this.snapshotRequests.push(request);
      if (!this.isDiskSlow) this.persist(this.writing.length);
    }
  }

  /** The first `count` writes under way are on disk now. */
  persist(count: number): void {
    for (const persist of this.writing.splice(0, count)) {
      this.disk.write(persist);
      if (persist.snapshot) {
        this.appliedIndex = persist.snapshot.index;
        this.appliedConfiguration = persist.snapshot.configuration;
      }
      if (this.isDiskSlow) this.world.print(`${this.id} has write ${persist.sequence} on disk`);
      this.raft.persisted(persist.sequence);
      const leaving = this.delayed.filter((delayed) => delayed.sequence <= persist.sequence);
      this.delayed = this.delayed.filter((delayed) => delayed.sequence > persist.sequence);
      for (const { message } of leaving) this.leave(message);
    }
  }

  get writesUnderWay(): number {
    return this.writing.length;
  }

  /** Takes the request for a snapshot that this node's core made for `to`. */
  takeSnapshotRequest(to: string): SnapshotRequest {
    const position = this.snapshotRequests.findIndex((request) => request.to === to);
    const [request] = position < 0 ? [] : this.snapshotRequests.splice(position, 1);
    return present(request, `${this.id} was asked by its core to send ${to} a snapshot.`);
  }

  private write(persist: Persist): void {
    this.writing.push(persist);
    if (!this.isDiskSlow) {
      this.world.print(`${this.id} writes ${formatPersist(persist)}`);
      return;
    }
    this.world.print(`${this.id} starts write ${persist.sequence}: ${formatPersist(persist)}`);
  }

  /** Correctness row 2: pre-votes apart, nothing leaves with a term that is not on disk. */
  private leave(message: Message): void {
    const isPreVote =
      message.type === 'requestVote' || message.type === 'requestVoteResponse' ? message.preVote : false;
    assert(
      isPreVote || message.term <= this.disk.hardState.term,
      `Term ${message.term} leaves ${this.id} before it is on disk.`,
    );
    this.world.send(message);
  }
}
