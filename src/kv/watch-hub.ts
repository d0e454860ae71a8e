import { assert } from '../assert.js';
import { RaftkvError } from '../errors.js';
import { decodeChange } from './change-index.js';
import { ChangeWindow, isAfter, sizeOf, type WindowBounds, type WindowEvent } from './change-window.js';
import type { PastStep } from './past-events.js';
import { toItem } from './reader.js';
import type { KeyId } from './sorted-map.js';
import type { Item, Revision, WatchEvent, Watcher, WatchPosition, WatchRequest } from './types.js';
import { WatchIndex } from './watch-index.js';
import { type BufferedChange, keyId } from './write-buffer.js';

/** What watches are served at a time. */
export interface WatchReads {
  /**
   * What one read gives at most; a single event may exceed the bytes. A slow reader holds as much, so it is not more; and it is
   * not less, because each read of the past opens a view of the state, which costs as much as some hundred kilobytes.
   */
  readonly eventsMax: number;
  readonly bytesMax: number;
  /** Events that one read looks through, whether they are asked for or not. */
  readonly lookedAtMax: number;
  /** Those who wait and are woken in one turn of the event loop, so that thousands of them do not hold it. */
  readonly wakesPerTurn: number;
  /** Reads of the past at once, each until its reader has taken the events (see `reportsTaken`); others wait for their turn. */
  readonly pastReadsMax: number;
}

export const WATCH_READS: WatchReads = {
  eventsMax: 256,
  bytesMax: 256 * 1024,
  lookedAtMax: 4_096,
  wakesPerTurn: 128,
  pastReadsMax: 8,
};

/** The applied state as watches see it. */
export interface WatchedState {
  readonly revision: Revision;
  readonly compactedRevision: Revision;
  /** The events of a revision and of those after it, in order, of the keys that are asked for; a bounded number at a time. */
  eventsFrom(revision: Revision, isAskedFor: (id: KeyId) => boolean): AsyncGenerator<PastStep>;
  /** The value that the key got at exactly this revision, if it is still there. */
  itemAt(key: Uint8Array, revision: Revision): Item | undefined;
}

/**
 * Watches on the applied state of this node. A watch is a position and not a queue, so what it takes in memory does not depend
 * on how far behind it is: it reads on from the window of the latest events, or from the change index where it is further
 * behind, and both give the same events.
 *
 * Invariant: whoever waits has been given every event up to the state's revision. A change wakes those that it concerns, and
 * they read on from just before it.
 */
export class WatchHub {
  readonly #state: () => WatchedState;
  readonly #soon: (task: () => void) => void;
  readonly #bounds: WindowBounds;
  readonly #waiting = new WatchIndex<HubWatcher>();
  readonly #watchers = new Set<HubWatcher>();
  readonly #pastReads: Turns;
  /** Only kept while anybody watches. */
  #window: ChangeWindow;
  #last: WatchPosition = { revision: 0, number: 0 };
  /** Woken, and not told yet. */
  #woken: HubWatcher[] = [];
  #isWaking = false;

  /** @param soon Runs a task in another turn of the event loop. */
  constructor(
    state: () => WatchedState,
    soon: (task: () => void) => void,
    bounds: WindowBounds,
    readonly reads: WatchReads,
  ) {
    this.#state = state;
    this.#soon = soon;
    this.#bounds = bounds;
    this.#pastReads = new Turns(reads.pastReadsMax);
    this.#window = new ChangeWindow(state().revision, bounds);
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  /** Begins a watch. Throws `compacted` when events that it should have are gone. */
  watch(request: WatchRequest): Watcher {
    const watcher = new HubWatcher(this, request);
    this.assertKept(request.after);
    if (this.#watchers.size === 0) this.#window = new ChangeWindow(this.#state().revision, this.#bounds);
    this.#watchers.add(watcher);
    return watcher;
  }

  /** A change was applied; all changes of one revision are told of in one turn. */
  record({ id, key, version, record }: BufferedChange): void {
    if (this.#watchers.size === 0) return;
    const { revision, kind, previous } = decodeChange(record);
    // Key and value are parts of a larger message, which would be kept as a whole.
    const kept = Buffer.from(key);
    const event: WindowEvent = {
      revision,
      number: revision === this.#last.revision ? this.#last.number + 1 : 0,
      kind,
      id,
      key: kept,
      item: version.deleted ? undefined : toItem(kept, version, Buffer.from(version.value)),
      previousRevision: previous,
    };
    this.#last = { revision, number: event.number };
    this.#window.add(event);
    // Waking takes them out of the index.
    for (const watcher of [...this.#waiting.waitersOf(id)]) this.#wake(watcher, before(event));
  }

  /** Another state has taken the place of the one before: who waits reads on in it from where that one ended. */
  replaced(revisionBefore: Revision): void {
    this.#window = new ChangeWindow(this.#state().revision, this.#bounds);
    for (const watcher of this.#watchers) {
      if (watcher.isWaiting) this.#wake(watcher, endOf(revisionBefore));
    }
  }

  /** Ends all watches with this error. */
  end(error: Error): void {
    for (const watcher of [...this.#watchers]) watcher.end(error);
  }

  // For watchers ---------------------------------------------------------------------------------------------------

  get state(): WatchedState {
    return this.#state();
  }

  /** Whether every event after a position is in memory. */
  isRecent(position: WatchPosition): boolean {
    return this.#window.covers(position);
  }

  recent(position: WatchPosition): Generator<WindowEvent> {
    return this.#window.after(position);
  }

  /** Runs `read` when it is its turn. */
  readPast<Value>(read: () => Promise<Value>): Promise<Value> {
    return this.#pastReads.take(read);
  }

  wait(watcher: HubWatcher): void {
    this.#waiting.add(watcher.id, watcher.isPrefix, watcher);
  }

  remove(watcher: HubWatcher): void {
    this.#watchers.delete(watcher);
    this.#waiting.remove(watcher.id, watcher.isPrefix, watcher);
  }

  assertKept({ revision, number }: WatchPosition): void {
    const { compactedRevision } = this.#state();
    // All of a revision that can be read was superseded by what is kept; of an older one, not all is.
    if (
      revision >= compactedRevision &&
      (revision > compactedRevision || number === Number.POSITIVE_INFINITY)
    )
      return;
    throw new RaftkvError(
      'compacted',
      `Changes at and before revision ${compactedRevision} are not kept any more. Read what there is now, and watch from its ` +
        'revision on.',
      { compactedRevision },
    );
  }

  #wake(watcher: HubWatcher, position: WatchPosition): void {
    this.#waiting.remove(watcher.id, watcher.isPrefix, watcher);
    watcher.readOnFrom(position);
    this.#woken.push(watcher);
    this.#wakeSome();
  }

  #wakeSome(): void {
    if (this.#isWaking) return;
    this.#isWaking = true;
    this.#soon(() => {
      this.#isWaking = false;
      const rest = this.#woken.splice(this.reads.wakesPerTurn);
      const woken = this.#woken;
      this.#woken = rest;
      for (const watcher of woken) watcher.resume();
      if (rest.length > 0) this.#wakeSome();
    });
  }
}

class HubWatcher implements Watcher {
  readonly id: KeyId;
  readonly isPrefix: boolean;
  readonly #hub: WatchHub;
  readonly #reportsTaken: boolean;
  #position: WatchPosition;
  #waiter:
    | { readonly resolve: (events: readonly WatchEvent[]) => void; readonly reject: (error: unknown) => void }
    | undefined;
  #isWaiting = false;
  #isClosed = false;
  #ended: Error | undefined;
  /** Frees the place of a read of the past whose events the reader still holds. */
  #freePlace: (() => void) | undefined;

  constructor(hub: WatchHub, { key, isPrefix, after, reportsTaken }: WatchRequest) {
    this.#hub = hub;
    this.#reportsTaken = reportsTaken === true;
    this.id = keyId(key);
    this.isPrefix = isPrefix;
    this.#position = after;
  }

  /** Whether it was given everything that there is. */
  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  get settledThrough(): Revision | undefined {
    if (!this.#isWaiting) return undefined;
    const { revision: newest } = this.#hub.state;
    // It may wait for what this node has not reached: of that, nothing is known.
    return firstAfter(this.#position) - 1 > newest ? undefined : newest;
  }

  read(): Promise<readonly WatchEvent[]> {
    assert(this.#waiter === undefined, 'A watch is read by one.');
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.taken();
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      this.resume();
    });
  }

  get holdsPast(): boolean {
    return this.#freePlace !== undefined;
  }

  taken(): void {
    this.#freePlace?.();
    this.#freePlace = undefined;
  }

  previousOf({ key, previousRevision }: WatchEvent): Item | undefined {
    return previousRevision === 0 ? undefined : this.#hub.state.itemAt(key, previousRevision);
  }

  /** Whoever reads, now or later, gets this error. */
  end(error: Error): void {
    const waiter = this.#waiter;
    this.close();
    this.#ended = error;
    waiter?.reject(error);
  }

  close(): void {
    this.#isClosed = true;
    this.#isWaiting = false;
    this.#waiter = undefined;
    this.taken();
    this.#hub.remove(this);
  }

  /** A change that concerns it, or another state, came while it waited. */
  readOnFrom(position: WatchPosition): void {
    this.#isWaiting = false;
    this.#passTo(position);
  }

  /** Gives whoever reads the next events, or waits for them. */
  resume(): void {
    if (this.#waiter === undefined || this.#isClosed) return;
    try {
      if (!this.#hub.isRecent(this.#position)) {
        this.#hub.assertKept(this.#position);
        void this.#hub.readPast(() => this.#readPast());
        return;
      }
      const taken = this.#take(this.#hub.recent(this.#position));
      if (taken.events.length > 0 || taken.isFull) this.#give(taken.events);
      else {
        this.#isWaiting = true;
        this.#hub.wait(this);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  async #readPast(): Promise<void> {
    if (this.#isClosed) return;
    const { state } = this.#hub;
    const { revision: newest } = state;
    const start = this.#position;
    const events: WatchEvent[] = [];
    try {
      // Since it was asked, while others had their turn, what it needs may have gone.
      this.#hub.assertKept(start);
      let bytes = 0;
      let isFull = false;
      for await (const step of state.eventsFrom(firstAfter(start), (id) => this.#concerns(id))) {
        const taken = this.#take(step.events, events.length, bytes);
        events.push(...taken.events);
        bytes += taken.bytes;
        isFull = taken.isFull;
        if (isFull || this.#isClosed) break;
        this.#passTo(step.last);
      }
      // To the end: what comes next is in the window.
      if (!isFull) this.#passTo(endOf(newest));
      this.#give(events);
      if (this.#reportsTaken && !this.#isClosed) await this.#untilTaken();
    } catch (error) {
      // A state that was replaced meanwhile is closed; what was read of it is read again.
      if (this.#hub.state === state) this.#fail(error);
      else {
        this.#position = start;
        this.resume();
      }
    }
  }

  #untilTaken(): Promise<void> {
    return new Promise((resolve) => {
      this.#freePlace = resolve;
    });
  }

  /** Looks through events, remembers how far, and keeps those that are asked for. */
  #take(found: Iterable<WindowEvent>, countBefore = 0, bytesBefore = 0) {
    const events: WatchEvent[] = [];
    let position = this.#position;
    let bytes = 0;
    let lookedAt = 0;
    let isFull = false;
    const { eventsMax, bytesMax, lookedAtMax } = this.#hub.reads;
    for (const event of found) {
      if (!isAfter(event, position)) continue;
      position = event;
      lookedAt += 1;
      if (this.#concerns(event.id)) {
        events.push(event);
        bytes += sizeOf(event);
      }
      isFull =
        countBefore + events.length >= eventsMax ||
        bytesBefore + bytes >= bytesMax ||
        lookedAt >= lookedAtMax;
      if (isFull) break;
    }
    // The event itself would keep its value, and the bytes that were made of it, as long as the watch comes no further.
    this.#position = { revision: position.revision, number: position.number };
    return { events, bytes, isFull };
  }

  /** Nothing up to there is for it any more. It may be further on: it may wait for what this node has not reached. */
  #passTo(position: WatchPosition): void {
    if (isAfter(position, this.#position)) this.#position = position;
  }

  #concerns(id: KeyId): boolean {
    return this.isPrefix ? id.startsWith(this.id) : id === this.id;
  }

  #give(events: readonly WatchEvent[]): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.resolve(events);
  }

  #fail(error: unknown): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.reject(error);
  }
}

/** Lets so many tasks run at a time, in the order in which they came. */
class Turns {
  #free: number;
  #queue: (() => void)[] = [];

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  async take<Value>(task: () => Promise<Value>): Promise<Value> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#free -= 1;
    try {
      return await task();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}

function before({ revision, number }: WatchPosition): WatchPosition {
  return number === 0 ? endOf(revision - 1) : { revision, number: number - 1 };
}

/** The revision in which what follows a position begins. */
function firstAfter({ revision, number }: WatchPosition): Revision {
  return number === Number.POSITIVE_INFINITY ? revision + 1 : revision;
}

function endOf(revision: Revision): WatchPosition {
  return { revision, number: Number.POSITIVE_INFINITY };
}
