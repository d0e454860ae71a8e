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
import { textOf } from './bytes.js';

/** What a node's disk promises about consensus, as the checkers ask for it. */
export interface DurableView {
  readonly term: Term;
  readonly vote: NodeId | null;
  readonly commit: Index;
  readonly startIndex: Index;
  readonly lastIndex: Index;
  /** The configuration that stands for the beginning of the log; null until there is one. */
  readonly startConfiguration: Configuration | null;
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
  lastIndex: Index = 0;
  private stateDirectory: string | null = null;
  private readonly stateIndexes = new Map<string, Index>();
  private readonly entries = new Map<Index, Entry>();
  private readonly records = new Map<Index, readonly Entry[]>();

  /** One atomic write is on disk. */
  apply(operations: readonly Operation[]): void {
    for (const operation of operations) {
      const key = textOf(operation.key);
      if (key.startsWith(LOG_PREFIX)) this.applyRecord(operation);
      else if (operation.kind === 'delete') continue;
      else if (key === STATE_KEY) {
        const state = openValue<StateRecord>(operation.value, 'The simulated hard state');
        this.term = state.term;
        this.vote = state.vote;
        this.commit = state.commit;
        this.lastIndex = state.lastIndex;
      } else if (key === START_KEY) {
        const start = openValue<StartRecord>(operation.value, 'The simulated start of the log');
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
      if (operation.kind === 'delete' || textOf(operation.key) !== START_KEY) return false;
      const start = openValue<StartRecord>(operation.value, 'The simulated start of the log');
      return start.stateDirectory !== this.stateDirectory;
    });
  }

  /** One atomic write to a state is on disk. */
  applyState(store: string, operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.kind === 'put' && textOf(operation.key) === META_KEY)
        this.stateIndexes.set(store, decodeMeta(operation.value).appliedIndex);
    }
  }

  /** The store that holds the live state; null until one is named. */
  get liveState(): string | null {
    return this.stateDirectory;
  }

  get stateIndex(): Index {
    return this.stateIndexes.get(this.stateDirectory ?? '') ?? 0;
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

const LOG_PREFIX = textOf(logRange.gte);
const META_KEY = textOf(metaKey);
const STATE_KEY = textOf(stateKey);
const START_KEY = textOf(startKey);
