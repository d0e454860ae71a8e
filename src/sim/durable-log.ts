import { decodeMeta, metaKey } from '../kv/meta-codec.js';
import type { Configuration, Entry, Index, NodeId, Term } from '../raft/types.js';
import {
  indexOfKey,
  logRange,
  openEntries,
  openValue,
  type StartRecord,
  type StateRecord,
  startKey,
  stateKey,
} from '../storage/log-records.js';
import type { Operation } from '../storage/ordered-store.js';
import { sameBytes } from './bytes.js';

/** What a node's disk promises about consensus, as the checkers ask for it. */
export interface DurableView {
  readonly term: Term;
  readonly vote: NodeId | null;
  readonly commit: Index;
  readonly startIndex: Index;
  readonly lastIndex: Index;
  /** The configuration that stands for the beginning of the log; null until there is one. */
  readonly startConfiguration: Configuration | null;
  /** How often it was written where the log begins, and which state is the live one. */
  readonly startCount: number;
  /** The index at which the live state is on its own disk. */
  readonly stateIndex: Index;
  /** The term on disk at the index; undefined where the disk holds no entry. The compacted point counts as held. */
  termAt(index: Index): Term | undefined;
}

/**
 * The content of a log's store on a simulated disk, read back from the bytes of every write that reached it. It knows
 * nothing of what the node believes: a node that claims more than this has promised what a crash would take away.
 */
export class DurableLog implements DurableView {
  term: Term = 0;
  vote: NodeId | null = null;
  commit: Index = 0;
  startIndex: Index = 0;
  startTerm: Term = 0;
  startConfiguration: Configuration | null = null;
  startCount = 0;
  lastIndex: Index = 0;
  private stateDirectory: string | null = null;
  /** The newest record of each state that says how far it has come. */
  private readonly metas = new Map<string, Uint8Array>();
  private readonly entries = new Map<Index, Entry>();
  private readonly records = new Map<Index, readonly Entry[]>();

  /** One atomic write is on disk. */
  apply(operations: readonly Operation[]): void {
    for (const operation of operations) {
      const { key } = operation;
      if (isEntriesKey(key)) this.applyRecord(operation);
      else if (operation.kind === 'delete') continue;
      else if (sameBytes(key, stateKey)) {
        const state = openValue<StateRecord>(operation.value, 'The simulated hard state');
        this.term = state.term;
        this.vote = state.vote;
        this.commit = state.commit;
        this.lastIndex = state.lastIndex;
      } else if (sameBytes(key, startKey)) {
        const start = openValue<StartRecord>(operation.value, 'The simulated start of the log');
        this.startCount += 1;
        this.startIndex = start.index;
        this.startTerm = start.term;
        this.startConfiguration = start.configuration;
        this.stateDirectory = start.stateDirectory;
      }
    }
  }

  /** Whether a write to the log makes another store the state: a snapshot is installed, or takes the place of a damaged state. */
  namesAnotherState(operations: readonly Operation[]): boolean {
    if (this.stateDirectory === null) return false;
    return operations.some((operation) => {
      if (operation.kind === 'delete' || !sameBytes(operation.key, startKey)) return false;
      const start = openValue<StartRecord>(operation.value, 'The simulated start of the log');
      return start.stateDirectory !== this.stateDirectory;
    });
  }

  /** One atomic write to a state is on disk. */
  applyState(store: string, operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.kind === 'put' && sameBytes(operation.key, metaKey))
        this.metas.set(store, operation.value);
    }
  }

  /** The store that holds the live state; null until one is named. */
  get liveState(): string | null {
    return this.stateDirectory;
  }

  get stateIndex(): Index {
    const meta = this.metas.get(this.stateDirectory ?? '');
    return meta === undefined ? 0 : decodeMeta(meta).appliedIndex;
  }

  termAt(index: Index): Term | undefined {
    if (index === this.startIndex) return this.startTerm;
    if (index < this.startIndex || index > this.lastIndex) return undefined;
    return this.entries.get(index)?.term;
  }

  private applyRecord(operation: Operation): void {
    const first = indexOfKey(operation.key);
    for (const entry of this.records.get(first) ?? []) {
      if (this.entries.get(entry.index) === entry) this.entries.delete(entry.index);
    }
    this.records.delete(first);
    if (operation.kind === 'delete') return;
    const { entries } = openEntries(operation.value, first);
    this.records.set(first, entries);
    for (const entry of entries) this.entries.set(entry.index, entry);
  }
}

const ENTRIES_TAG = logRange.gte[0];

/** Whether a record of the log's store is one of entries: all others begin otherwise. */
export function isEntriesKey(key: Uint8Array): boolean {
  return key[0] === ENTRIES_TAG;
}
