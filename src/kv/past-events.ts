import { type Change, decodeChange, readChanges } from './change-index.js';
import type { WindowEvent } from './change-window.js';
import { stateDamaged } from './damage.js';
import { type Layers, readItemOf } from './reader.js';
import { REVISION_MAX } from './record-codec.js';
import type { KeyId } from './sorted-map.js';
import type { Revision, WatchPosition } from './types.js';
import { keyId } from './write-buffer.js';

/** The next changes of the past. */
export interface PastStep {
  /** The last of them, whether it is asked for or not. */
  readonly last: WatchPosition;
  /** Those that are asked for, in order. Each value is read when its event is taken, so that nothing is read in vain. */
  readonly events: Iterable<WindowEvent>;
}

/**
 * The changes of a revision and of all after it, in order, from a frozen view: first what is on disk, then what is in the
 * buffers, of which a flush may have brought some to the disk already.
 *
 * @param isAskedFor Which keys' events are wanted.
 */
export async function* pastEvents(
  layers: Layers,
  from: Revision,
  isAskedFor: (id: KeyId) => boolean,
): AsyncGenerator<PastStep> {
  const { disk, buffers } = layers;
  const { changes: stepSize } = layers.sizes;
  // Changes that are applied while this is read are not of the view. A buffer may hold fewer than a step now, and more later.
  const parts = buffers.toReversed().map((buffer) => ({ buffer, end: buffer.changes.length }));
  const numbers = new Numbers();
  const stepOf = (changes: readonly Change[]): PastStep => {
    const found: FoundChange[] = [];
    for (const change of changes) {
      const number = numbers.next(change.revision);
      const id = keyId(change.key);
      if (change.revision >= from && isAskedFor(id)) found.push({ ...change, number, id });
    }
    return { last: numbers.position, events: eventsOf(layers, found) };
  };
  for await (const { changes } of readChanges(disk, from, REVISION_MAX - 1)) {
    for (let at = 0; at < changes.length; at += stepSize) {
      await layers.step();
      yield stepOf(changes.slice(at, at + stepSize));
    }
  }
  for (const { buffer, end } of parts) {
    // A buffer holds whole revisions.
    const onDisk = numbers.position.revision;
    for (let at = 0; at < end; at += stepSize) {
      await layers.step();
      const upTo = Math.min(at + stepSize, end);
      const changes = buffer.changes.slice(at, upTo).map((bytes) => decodeChange(bytes));
      yield stepOf(changes.filter(({ revision }) => revision > onDisk));
    }
  }
}

/** Counts the events of each revision. */
class Numbers {
  private revision: Revision = 0;
  private number = 0;

  /** The last change that was counted. */
  get position(): WatchPosition {
    return { revision: this.revision, number: this.number };
  }

  next(revision: Revision): number {
    this.number = revision === this.revision ? this.number + 1 : 0;
    this.revision = revision;
    return this.number;
  }
}

interface FoundChange extends Change {
  readonly number: number;
  readonly id: KeyId;
}

function* eventsOf(layers: Layers, changes: readonly FoundChange[]): Generator<WindowEvent> {
  for (const { revision, number, kind, previous, id, key } of changes) {
    const item = kind === 'put' ? readItemOf(layers, key, revision) : undefined;
    if (kind === 'put' && item === undefined) {
      throw stateDamaged(`The value of revision ${revision} is missing.`);
    }
    yield { revision, number, kind, id, key, item, previousRevision: previous };
  }
}
