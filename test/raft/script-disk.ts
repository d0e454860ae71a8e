import { assert } from '../../src/assert.js';
import { emptyConfiguration } from '../../src/raft/configuration.js';
import type { RestoredState } from '../../src/raft/core.js';
import type { Entry, HardState, Persist, SnapshotMetadata } from '../../src/raft/types.js';

/** The disk of one node in a script: what a write leaves there, and what a restarted node finds. */
export class ScriptDisk {
  hardState: HardState = { term: 0, vote: null, commit: 0 };
  compacted: SnapshotMetadata = { index: 0, term: 0, configuration: emptyConfiguration };
  entries: readonly Entry[] = [];
  /** Whether whoever starts from it may have promised a leader its loyalty a moment ago. */
  tookPart = false;

  get lastIndex(): number {
    return this.compacted.index + this.entries.length;
  }

  /** Performs one batch, its parts in the order that `Persist` states. */
  write(persist: Persist): void {
    if (persist.hardState) {
      assert(persist.hardState.term >= this.hardState.term, 'A term on disk never goes back.');
      this.hardState = persist.hardState;
    }
    if (persist.snapshot) {
      this.compacted = persist.snapshot;
      this.entries = [];
    }
    if (persist.compact) {
      const { index } = persist.compact;
      this.entries = this.entries.filter((entry) => entry.index > index);
      this.compacted = persist.compact;
    }
    const { truncateFrom } = persist;
    if (truncateFrom !== null) this.entries = this.entries.filter((entry) => entry.index < truncateFrom);
    for (const entry of persist.entries) {
      assert(entry.index === this.lastIndex + 1, `Entry ${entry.index} follows ${this.lastIndex} on disk.`);
      this.entries = [...this.entries, entry];
    }
    assert(this.hardState.commit <= this.lastIndex, 'What is committed on disk is on disk.');
  }

  /** What a node finds when it starts. The state machine holds what was compacted, and applies the rest again. */
  restored(): RestoredState {
    const { hardState, compacted, entries, tookPart } = this;
    return { hardState, compacted, entries, appliedIndex: compacted.index, tookPart };
  }
}
