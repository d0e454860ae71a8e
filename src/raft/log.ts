import { assert, present } from '../assert.js';
import { encodedBytes } from './entry-codec.js';
import type { Entry, Index, Persist, SnapshotMetadata, Term } from './types.js';

/**
 * The log in memory: every entry since the last compaction, and which of them are on disk.
 *
 * Invariants:
 * - `entries` is contiguous and starts at `compactedIndex + 1`; terms never go down along the log.
 * - `compactedIndex <= commitIndex <= lastIndex`, and `commitIndex` never goes back.
 * - `durableIndex <= lastIndex`: everything up to it is on disk as it stands here.
 * - Nothing at or below `commitIndex` is ever truncated (§5.4: committed entries are durable).
 *
 * Durability is told by sequence numbers, not by indexes: a truncation lowers the last index of every outstanding
 * write, so that a write from before it can never be taken for a newer one with the same index (correctness rule 3).
 */
export class RaftLog {
  private entries: Entry[] = [];
  private compacted: { index: Index; term: Term };
  private committed: Index;
  private durable: Index;
  /** The first entry that no `Persist` carries yet. */
  private unpersistedFrom: Index;
  /** The lowest truncation that no `Persist` carries yet. */
  private truncation: Index | null = null;
  /** Writes handed out and not reported back, oldest first. */
  private outstanding: { sequence: number; lastIndex: Index }[] = [];
  private bytesHeld = 0;
  private committedBytesHeld = 0;
  /** The last slice handed out, so that all followers and the disk share one array, and so its encoded bytes. */
  private lastSlice: readonly Entry[] = [];

  constructor(compacted: { index: Index; term: Term }, entries: readonly Entry[], commitIndex: Index) {
    this.compacted = compacted;
    this.committed = compacted.index;
    this.durable = compacted.index;
    this.unpersistedFrom = compacted.index + 1;
    this.append(entries);
    this.durable = this.lastIndex;
    this.unpersistedFrom = this.lastIndex + 1;
    this.commitTo(Math.max(commitIndex, compacted.index));
  }

  /** The first index that is still held; `lastIndex + 1` when none is. */
  get firstIndex(): Index {
    return this.compacted.index + 1;
  }

  get lastIndex(): Index {
    return this.compacted.index + this.entries.length;
  }

  get lastTerm(): Term {
    return this.entries.at(-1)?.term ?? this.compacted.term;
  }

  get compactedIndex(): Index {
    return this.compacted.index;
  }

  get commitIndex(): Index {
    return this.committed;
  }

  get durableIndex(): Index {
    return this.durable;
  }

  /** The encoded bytes of all entries held. */
  get bytes(): number {
    return this.bytesHeld;
  }

  /** The encoded bytes of those that are committed. */
  get committedBytes(): number {
    return this.committedBytesHeld;
  }

  /** The oldest write under way that brings entries which this disk does not have yet, or undefined. */
  get oldestPendingWrite(): { readonly sequence: number; readonly lastIndex: Index } | undefined {
    return this.outstanding.find(({ lastIndex }) => lastIndex > this.durable);
  }

  /** Whether something waits to be put into a `Persist`. */
  get hasUnpersisted(): boolean {
    return this.truncation !== null || this.unpersistedFrom <= this.lastIndex;
  }

  /** The term of the entry at `index`, or undefined when the log does not reach there (any more). */
  termAt(index: Index): Term | undefined {
    if (index === this.compacted.index) return this.compacted.term;
    return this.entries[index - this.firstIndex]?.term;
  }

  /** §5.4.1: whether a log that ends like this is at least as up-to-date as this one. */
  isUpToDate(lastLogIndex: Index, lastLogTerm: Term): boolean {
    return lastLogTerm > this.lastTerm || (lastLogTerm === this.lastTerm && lastLogIndex >= this.lastIndex);
  }

  /** Adds entries at the end. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(
        entry.index === this.lastIndex + 1,
        () => `Entry ${entry.index} does not follow ${this.lastIndex}.`,
      );
      assert(entry.term >= this.lastTerm, () => `Entry ${entry.index} goes back from term ${this.lastTerm}.`);
      this.entries.push(entry);
      this.bytesHeld += encodedBytes(entry);
    }
    if (entries.length > 0) this.lastSlice = entries;
  }

  /** Drops every entry from `index` on, because the leader's log differs there (§5.3). */
  truncateFrom(index: Index): void {
    assert(index > this.committed, () => `Index ${index} is committed and must not be truncated.`);
    assert(index <= this.lastIndex, () => `Index ${index} is past the end of the log.`);
    for (const entry of this.entries.splice(index - this.firstIndex)) this.bytesHeld -= encodedBytes(entry);
    this.durable = Math.min(this.durable, index - 1);
    for (const write of this.outstanding) write.lastIndex = Math.min(write.lastIndex, index - 1);
    if (index < this.unpersistedFrom) {
      this.unpersistedFrom = index;
      this.truncation = Math.min(this.truncation ?? index, index);
    }
    this.lastSlice = [];
  }

  commitTo(index: Index): void {
    if (index <= this.committed) return;
    assert(
      index <= this.lastIndex,
      () =>
        `The leader says that index ${index} is committed and on this disk, but the log ends at ${this.lastIndex}: ` +
        'entries that were acknowledged are gone. This disk lost what it had promised, or is an old copy: remove the member ' +
        'from the cluster, wipe its data directory and start it with --join.',
    );
    while (this.committed < index) {
      this.committed += 1;
      this.committedBytesHeld += encodedBytes(this.entryAt(this.committed));
    }
  }

  /**
   * Entries from `first` to at most `last`, up to `bytesMax` encoded bytes, but always at least one. Empty when `first`
   * is past `last`.
   */
  slice(first: Index, last: Index, bytesMax = Number.POSITIVE_INFINITY): readonly Entry[] {
    assert(
      first >= this.firstIndex,
      () => `Index ${first} is compacted; the log starts at ${this.firstIndex}.`,
    );
    assert(last <= this.lastIndex, () => `Index ${last} is past the end of the log, ${this.lastIndex}.`);
    if (first > last) return [];
    let end = first;
    if (bytesMax === Number.POSITIVE_INFINITY) {
      end = last + 1;
    } else {
      let bytes = 0;
      while (end <= last) {
        bytes += encodedBytes(this.entryAt(end));
        if (bytes > bytesMax && end > first) break;
        end += 1;
      }
    }
    if (this.lastSlice[0]?.index === first && this.lastSlice.length === end - first) return this.lastSlice;
    this.lastSlice = this.entries.slice(first - this.firstIndex, end - this.firstIndex);
    return this.lastSlice;
  }

  /** Where this log could agree with a leader whose entry at `index` has `term` (fast back-tracking, §5.3). */
  lastAgreement(index: Index, term: Term): { index: Index; term: Term } {
    let candidate = Math.min(index, this.lastIndex);
    while (candidate > this.compacted.index && this.entryAt(candidate).term > term) candidate -= 1;
    return { index: candidate, term: this.termAt(candidate) ?? 0 };
  }

  /** The parts of the next `Persist` that concern the log. They count as handed out under `sequence`. */
  takeUnpersisted(sequence: number): Pick<Persist, 'truncateFrom' | 'entries'> {
    const truncateFrom = this.truncation;
    const entries = this.slice(this.unpersistedFrom, this.lastIndex);
    this.truncation = null;
    this.unpersistedFrom = this.lastIndex + 1;
    this.outstanding.push({ sequence, lastIndex: this.lastIndex });
    return { truncateFrom, entries };
  }

  /** Everything handed out up to this sequence is on disk. */
  persisted(sequence: number): void {
    while ((this.outstanding[0]?.sequence ?? Number.POSITIVE_INFINITY) <= sequence) {
      const write = present(this.outstanding.shift(), 'The loop saw an outstanding write.');
      this.durable = Math.max(this.durable, write.lastIndex);
    }
  }

  /** Forgets entries up to and including `index`, which a durable snapshot of the state covers (§7). */
  compactTo(index: Index): void {
    assert(index <= this.committed, () => `Index ${index} is not committed and must not be compacted.`);
    assert(index <= this.durable, () => `Index ${index} is not on disk and must not be compacted.`);
    const term = present(this.termAt(index), () => `Index ${index} is not in the log.`);
    for (const entry of this.entries.splice(0, index - this.compacted.index)) {
      this.bytesHeld -= encodedBytes(entry);
      this.committedBytesHeld -= encodedBytes(entry);
    }
    this.compacted = { index, term };
    this.lastSlice = [];
  }

  /** Replaces the whole log by a snapshot that came from the leader (§7). */
  resetTo(snapshot: SnapshotMetadata): void {
    assert(snapshot.index > this.committed, () => `A snapshot at ${snapshot.index} would take back commits.`);
    this.entries = [];
    this.bytesHeld = 0;
    this.committedBytesHeld = 0;
    this.compacted = { index: snapshot.index, term: snapshot.term };
    this.committed = snapshot.index;
    // Writes that are still under way belong to the log that is gone; the one that carries the snapshot will
    // report its own last index.
    for (const write of this.outstanding) write.lastIndex = 0;
    this.durable = 0;
    this.unpersistedFrom = snapshot.index + 1;
    this.truncation = null;
    this.lastSlice = [];
  }

  entryAt(index: Index): Entry {
    return present(this.entries[index - this.firstIndex], () => `Index ${index} is not in the log.`);
  }
}
