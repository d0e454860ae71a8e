import type { Item, Revision, WatchEvent, WatchPosition } from '../../kv/types.js';
import { textOf } from '../bytes.js';
import type { Changes, KnownLog } from '../known-states.js';
import { Violation } from './checker.js';
import { isSame } from './shown-states.js';

const PROPERTY = 'A watch delivers every event once, in order, and only after it was applied (row 28)';

/**
 * What there is to be seen of the log. Which of the changes of one revision comes first is for the nodes to say, and for all of
 * them alike.
 */
export class EventOrder {
  private readonly keys = new Map<string, string>();

  constructor(private readonly log: Pick<KnownLog, 'store'>) {}

  get revision(): Revision {
    return this.log.store.revision;
  }

  get compactedRevision(): Revision {
    return this.log.store.compactedRevision;
  }

  changesOf(revision: Revision): Changes {
    return this.log.store.changesOf(revision);
  }

  previousRevision(key: string, revision: Revision): Revision {
    return this.previousItem(key, revision)?.modRevision ?? 0;
  }

  previousItem(key: string, revision: Revision): Item | undefined {
    return this.log.store.itemAt(key, revision - 1);
  }

  /** One key stands at a place among the changes of a revision, whichever node is asked. */
  assertPlace(key: string, { revision, number }: WatchPosition): void {
    const place = `${revision}.${number}`;
    const known = this.keys.get(place);
    if (known === undefined) this.keys.set(place, key);
    else if (known !== key)
      throw new Violation(PROPERTY, `Event ${place} is of ${key} on one node and of ${known} on another.`);
  }
}

/** What one watch was given, over all its connections. */
export class WatchedEvents {
  /** After the last event, or where it was told that nothing more is before. */
  position: WatchPosition;
  /** Of the revision of the position. */
  private given = new Set<string>();

  constructor(
    private readonly order: EventOrder,
    private readonly name: string,
    private readonly isAskedFor: (key: string) => boolean,
    start: Revision,
  ) {
    this.position = endOf(start);
  }

  take(events: readonly WatchEvent[]): void {
    for (const event of events) this.takeOne(event);
  }

  /** What the key was before the event, as far as that is kept. */
  previous(event: WatchEvent, item: Item | undefined): void {
    const { revision, number } = event;
    const expected = this.order.previousItem(textOf(event.key), revision);
    const isGone = item === undefined && revision <= this.order.compactedRevision;
    if (!isGone && !isSame(item, expected))
      this.fail(`is told another value from before ${revision}.${number} than there was`);
  }

  /** The watch says that it has given everything up to there. */
  settled(through: Revision): void {
    if (through > this.order.revision) this.fail(`is told of revision ${through}, which nobody has applied`);
    this.assertCompleteThrough(through);
    if (through > this.position.revision) this.move(endOf(through));
  }

  /** It was told that what should follow is not kept any more. */
  compacted(): void {
    const { revision, number } = this.position;
    const next = number === Number.POSITIVE_INFINITY ? revision + 1 : revision;
    if (next > this.order.compactedRevision)
      this.fail(`is told that revision ${next} is gone, which must be kept`);
  }

  /** What should follow is gone, and it begins anew, from a revision that it has read by other means. */
  beginAnew(revision: Revision): void {
    if (revision > this.position.revision) this.move(endOf(revision));
  }

  /** Whether it has everything that there is. */
  get isComplete(): boolean {
    return this.missing(this.order.revision) === undefined;
  }

  private takeOne(event: WatchEvent): void {
    const { revision, number, kind, item, previousRevision } = event;
    const key = textOf(event.key);
    const name = `${revision}.${number} (${kind} of ${key})`;
    if (revision > this.order.revision) this.fail(`is given ${name}, which nobody has applied`);
    if (!isAfter(event, this.position)) {
      const { position } = this;
      this.fail(`is given ${name} after ${position.revision}.${position.number}`);
    }
    this.assertCompleteThrough(revision - 1);
    const changes = this.order.changesOf(revision);
    if (!this.isAskedFor(key)) this.fail(`is given ${name}, which it did not ask for`);
    if (!changes.has(key)) this.fail(`is given ${name}, which never was`);
    this.order.assertPlace(key, event);
    const isRight =
      isSame(item, changes.get(key)) &&
      (kind === 'put') === (item !== undefined) &&
      previousRevision === this.order.previousRevision(key, revision);
    if (!isRight) this.fail(`is given ${name}, with another content`);
    if (revision > this.position.revision) this.given = new Set();
    else if (this.given.has(key)) this.fail(`is given ${name} for the second time`);
    this.position = { revision, number };
    this.given.add(key);
  }

  private assertCompleteThrough(revision: Revision): void {
    const missing = this.missing(revision);
    if (missing !== undefined) this.fail(`was not given ${missing}`);
  }

  /** The first change up to a revision that it should have been given and was not. */
  private missing(through: Revision): string | undefined {
    const isWhole = this.position.number === Number.POSITIVE_INFINITY;
    const first = isWhole ? this.position.revision + 1 : this.position.revision;
    for (let revision = first; revision <= through; revision += 1) {
      for (const key of this.order.changesOf(revision).keys()) {
        const isGiven = revision === this.position.revision && this.given.has(key);
        if (this.isAskedFor(key) && !isGiven) return `the change of ${key} at revision ${revision}`;
      }
    }
    return undefined;
  }

  private move(position: WatchPosition): void {
    this.position = position;
    this.given = new Set();
  }

  private fail(what: string): never {
    throw new Violation(PROPERTY, `${this.name} ${what}.`);
  }
}

function endOf(revision: Revision): WatchPosition {
  return { revision, number: Number.POSITIVE_INFINITY };
}

function isAfter(a: WatchPosition, b: WatchPosition): boolean {
  return a.revision > b.revision || (a.revision === b.revision && a.number > b.number);
}
