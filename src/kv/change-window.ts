import type { KeyId } from './sorted-map.js';
import type { Revision, WatchEvent, WatchPosition } from './types.js';

/** How much the window holds: past either, the oldest are dropped. */
export interface WindowBounds {
  readonly eventsMax: number;
  /** Bytes of memory, roughly. */
  readonly bytesMax: number;
}

export const WINDOW_BOUNDS: WindowBounds = { eventsMax: 8_192, bytesMax: 8 * 1024 * 1024 };
/** What an event costs in memory besides its key and its value, roughly. */
const EVENT_OVERHEAD_BYTES = 300;
/** Dropped places at the front of the array before it is cut. */
const CUT_AT = 1_024;

/** An event with the key as it is looked up. */
export interface WindowEvent extends WatchEvent {
  readonly id: KeyId;
}

/**
 * The latest events in memory, shared by all who watch: most of them are at the end of it.
 *
 * Invariant: every event after `completeAfter` is in it, in order.
 */
export class ChangeWindow {
  /** Dropped ones are undefined until the array is cut. */
  #events: (WindowEvent | undefined)[] = [];
  #start = 0;
  #bytes = 0;
  #completeAfter: Revision;
  readonly #bounds: WindowBounds;

  constructor(completeAfter: Revision, bounds: WindowBounds) {
    this.#completeAfter = completeAfter;
    this.#bounds = bounds;
  }

  /** Takes the next event. */
  add(event: WindowEvent): void {
    this.#events.push(event);
    this.#bytes += EVENT_OVERHEAD_BYTES + sizeOf(event);
    const { eventsMax, bytesMax } = this.#bounds;
    while (this.#events.length - this.#start > eventsMax || this.#bytes > bytesMax) {
      const oldest = this.#events[this.#start];
      if (oldest === undefined) break;
      this.#events[this.#start] = undefined;
      this.#start += 1;
      this.#bytes -= EVENT_OVERHEAD_BYTES + sizeOf(oldest);
      this.#completeAfter = oldest.revision;
    }
    if (this.#start < CUT_AT) return;
    this.#events = this.#events.slice(this.#start);
    this.#start = 0;
  }

  /** Whether every event after a position is here. */
  covers({ revision, number }: WatchPosition): boolean {
    // Of the last revision that was dropped, some may be left.
    return (
      revision > this.#completeAfter ||
      (revision === this.#completeAfter && number === Number.POSITIVE_INFINITY)
    );
  }

  /** The events after a position that it covers. */
  *after(position: WatchPosition): Generator<WindowEvent> {
    let low = this.#start;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const event = this.#events[middle];
      if (event !== undefined && isAfter(event, position)) high = middle;
      else low = middle + 1;
    }
    for (let event = this.#events[low]; event !== undefined; event = this.#events[++low]) yield event;
  }
}

export function isAfter(event: WatchPosition, position: WatchPosition): boolean {
  return event.revision === position.revision
    ? event.number > position.number
    : event.revision > position.revision;
}

/** Bytes of an event that count where they are bounded. */
export function sizeOf({ key, item }: WatchEvent): number {
  return key.length + (item?.value.length ?? 0);
}
