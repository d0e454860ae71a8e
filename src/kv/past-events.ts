import { type Change, decodeChange, readChanges } from './change-index.js';
import type { WindowEvent } from './change-window.js';
import { stateDamaged } from './damage.js';
import { type Layers, readItemOf } from './reader.js';
import { REVISION_MAX } from './record-codec.js';
import type { Revision } from './types.js';
import { keyId } from './write-buffer.js';

/** Changes in one step, between which the event loop gets a turn. */
const CHANGES_PER_STEP = 128;

/**
 * The events of a revision and of all after it, in order, from a frozen view: first what is on disk, then what is in the
 * buffers, of which a flush may have brought some to the disk already.
 */
export async function* pastEvents(layers: Layers, from: Revision): AsyncGenerator<readonly WindowEvent[]> {
  const { disk, buffers } = layers;
  const numbers = new Numbers();
  for await (const { changes } of readChanges(disk, from, REVISION_MAX - 1)) {
    for (let at = 0; at < changes.length; at += CHANGES_PER_STEP) {
      yield eventsOf(layers, changes.slice(at, at + CHANGES_PER_STEP), from, numbers);
    }
  }
  for (const buffer of buffers.toReversed()) {
    // A buffer holds whole revisions.
    const onDisk = numbers.revision;
    for (let at = 0; at < buffer.changes.length; at += CHANGES_PER_STEP) {
      const changes = buffer.changes.slice(at, at + CHANGES_PER_STEP).map((bytes) => decodeChange(bytes));
      yield eventsOf(
        layers,
        changes.filter(({ revision }) => revision > onDisk),
        from,
        numbers,
      );
    }
  }
}

/** Counts the events of each revision. */
class Numbers {
  revision: Revision = 0;
  private number = 0;

  next(revision: Revision): number {
    this.number = revision === this.revision ? this.number + 1 : 0;
    this.revision = revision;
    return this.number;
  }
}

function eventsOf(
  layers: Layers,
  changes: readonly Change[],
  from: Revision,
  numbers: Numbers,
): readonly WindowEvent[] {
  return changes
    .filter(({ revision }) => revision >= from)
    .map(({ revision, kind, previous, key }) => {
      const item = kind === 'put' ? readItemOf(layers, key, revision) : undefined;
      if (kind === 'put' && item === undefined && revision > layers.compactedRevision) {
        throw stateDamaged(`The value of revision ${revision} is missing.`);
      }
      return {
        revision,
        number: numbers.next(revision),
        kind,
        id: keyId(key),
        key,
        item,
        previousRevision: previous,
      };
    });
}
