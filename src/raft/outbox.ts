import type { RaftLog } from './log.js';
import type {
  DelayedMessage,
  Entry,
  HardState,
  Message,
  NodeId,
  Persist,
  RaftEvent,
  ReadConfirmed,
  Ready,
  SnapshotMetadata,
  SnapshotRequest,
  Term,
} from './types.js';

/**
 * Collects what the core wants done until the shell takes it, and keeps the one rule about order: a message leaves
 * only when what it promises is on disk (correctness rule 2).
 */
export class Outbox {
  private messages: Message[] = [];
  private messagesAfterPersist: Message[] = [];
  private reads: ReadConfirmed[] = [];
  private readsRefused: number[] = [];
  private snapshotRequests: SnapshotRequest[] = [];
  private events: RaftEvent[] = [];
  private snapshot: SnapshotMetadata | null = null;
  private compact: SnapshotMetadata | null = null;

  private hardStateIsDirty = false;
  private term: Term;
  private vote: NodeId | null;
  private commitOnDisk: number;
  /** The sequence that carried the current term; the term is on disk when `persistedSequence` reached it. */
  private termSequence = 0;
  private lastSequence = 0;
  private persistedSequence = 0;

  constructor(restored: HardState) {
    this.term = restored.term;
    this.vote = restored.vote;
    this.commitOnDisk = restored.commit;
  }

  /** Notes a new term or vote and returns the sequence with which it will reach the disk. */
  hardStateChanged(term: Term, vote: NodeId | null): number {
    this.hardStateIsDirty = true;
    this.term = term;
    this.vote = vote;
    this.termSequence = this.lastSequence + 1;
    return this.termSequence;
  }

  /** For messages that promise nothing but a term: at once, unless the term is not on disk yet. */
  send(message: Message): void {
    if (this.termSequence > this.persistedSequence) this.messagesAfterPersist.push(message);
    else this.messages.push(message);
  }

  /** For pre-vote requests: the only message that may name a term which is nowhere on disk. */
  sendUnconditionally(message: Message): void {
    this.messages.push(message);
  }

  /** For votes and acknowledgements: when everything that was decided up to now is on disk. */
  sendAfterPersist(message: Message): void {
    this.messagesAfterPersist.push(message);
  }

  /** Nothing that waits here leaves any more. */
  dropMessages(): void {
    this.messages = [];
    this.messagesAfterPersist = [];
    this.snapshotRequests = [];
  }

  confirmRead(read: ReadConfirmed): void {
    this.reads.push(read);
  }

  refuseReads(contexts: readonly number[]): void {
    this.readsRefused.push(...contexts);
  }

  requestSnapshot(request: SnapshotRequest): void {
    this.snapshotRequests.push(request);
  }

  event(event: RaftEvent): void {
    this.events.push(event);
  }

  /** The log was replaced by a snapshot; whatever compaction was planned before is covered by it. */
  installSnapshot(snapshot: SnapshotMetadata): void {
    this.snapshot = snapshot;
    this.compact = null;
  }

  compactTo(point: SnapshotMetadata): void {
    this.compact = point;
  }

  persisted(sequence: number): void {
    this.persistedSequence = sequence;
  }

  /** Whether {@link takeReady} would hand out anything besides entries to apply. */
  hasWork(log: RaftLog): boolean {
    return (
      this.messages.length > 0 ||
      this.messagesAfterPersist.length > 0 ||
      this.reads.length > 0 ||
      this.readsRefused.length > 0 ||
      this.snapshotRequests.length > 0 ||
      this.events.length > 0 ||
      this.needsPersist(log)
    );
  }

  takeReady(log: RaftLog, committed: readonly Entry[]): Ready {
    const persist = this.takePersist(log);
    const sendAfterPersist: DelayedMessage[] = [];
    for (const message of this.messagesAfterPersist) {
      if (this.lastSequence > this.persistedSequence) {
        sendAfterPersist.push({ sequence: this.lastSequence, message });
      } else {
        this.messages.push(message);
      }
    }
    const ready: Ready = {
      send: this.messages,
      persist,
      sendAfterPersist,
      committed,
      reads: this.reads,
      readsRefused: this.readsRefused,
      snapshotRequests: this.snapshotRequests,
      events: this.events,
    };
    this.messages = [];
    this.messagesAfterPersist = [];
    this.reads = [];
    this.readsRefused = [];
    this.snapshotRequests = [];
    this.events = [];
    return ready;
  }

  private needsPersist(log: RaftLog): boolean {
    return this.hardStateIsDirty || log.hasUnpersisted || this.snapshot !== null || this.compact !== null;
  }

  private takePersist(log: RaftLog): Persist | null {
    if (!this.needsPersist(log)) return null;
    this.lastSequence += 1;
    const sequence = this.lastSequence;
    // The commit index travels with whatever is written anyway; it saves a restarted node some waiting. A commit
    // index must not reach the disk before the entries that it covers: those are in this batch or an earlier one.
    const commit = log.commitIndex;
    const hardState =
      this.hardStateIsDirty || commit > this.commitOnDisk
        ? { term: this.term, vote: this.vote, commit }
        : null;
    const persist: Persist = {
      sequence,
      hardState,
      snapshot: this.snapshot,
      compact: this.compact,
      ...log.takeUnpersisted(sequence),
    };
    this.hardStateIsDirty = false;
    this.commitOnDisk = commit;
    this.snapshot = null;
    this.compact = null;
    return persist;
  }
}
