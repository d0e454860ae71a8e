import { Buffer } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import type { Item, Revision, WatchEvent } from '../kv/types.js';
import { bytesMember } from './bytes.js';
import { itemSlices } from './page.js';

/** How a stream of events is written: Server-Sent Events, or one JSON object a line. */
export interface WatchFormat {
  readonly contentType: string;
  /** @param previous What the key was before, where the client asked for it. */
  event(event: WatchEvent, previous: Item | undefined): string;
  /**
   * Everything up to this revision was sent.
   *
   * @param id From where to resume: the revision, unless the beginning of the next one was sent, too.
   */
  progress(revision: Revision, id: string): string;
  /** The stream cannot go on, for the reason that this problem document tells. */
  error(problem: string): string;
  /** Keeps proxies from taking the connection for dead. */
  readonly heartbeat: string;
}

export const serverSentEvents: WatchFormat = {
  contentType: 'text/event-stream',
  event(event, previous) {
    const data = event.item === undefined ? deletionMembers(event) : itemMembers(event.item);
    return `id: ${event.revision}-${event.number}\nevent: ${event.kind}\ndata: {${data}${previousMember(previous)}}\n\n`;
  },
  progress: (revision, id) => `id: ${id}\nevent: progress\ndata: {"revision":${revision}}\n\n`,
  error: (problem) => `event: error\ndata: ${problem}\n\n`,
  heartbeat: ': heartbeat\n\n',
};

/** How long an EventSource waits before it asks again after a refusal; its own default is about as long, and differs by browser. */
const RETRY_MS = 5_000;

/** Whether the client takes Server-Sent Events, as an EventSource does. */
export function acceptsEventStream({ accept }: IncomingHttpHeaders): boolean {
  return accept?.includes(serverSentEvents.contentType) === true;
}

/**
 * A stream that says why there is none, and ends. To an EventSource any status but 200 is final, and to one whose connection
 * breaks nothing is said, neither why nor when to ask again.
 */
export function refusedStream(problem: string): string {
  return `retry: ${RETRY_MS}\n${serverSentEvents.error(problem)}`;
}

export const newlineDelimitedJson: WatchFormat = {
  contentType: 'application/x-ndjson',
  event(event, previous) {
    const what =
      event.item === undefined ? bytesMember('key', event.key) : `"item":{${itemMembers(event.item)}}`;
    return `{"type":"${event.kind}","revision":${event.revision},"n":${event.number},${what}${previousMember(previous)}}\n`;
  },
  progress: (revision) => `{"type":"progress","revision":${revision}}\n`,
  error: (problem) => `{"type":"error","problem":${problem}}\n`,
  // White space between texts is allowed, and readers of lines pass over an empty one.
  heartbeat: '\n',
};

/** Events as bytes. Most are sent to many, so what was made for one is kept as long as the event is. */
export class EventBytes {
  private readonly plain = new WeakMap<WatchEvent, Buffer>();
  private readonly withPrevious = new WeakMap<WatchEvent, Buffer>();

  constructor(private readonly format: WatchFormat) {}

  /** @param previousOf What the key was before, where that is to be told. */
  of(event: WatchEvent, previousOf: ((event: WatchEvent) => Item | undefined) | undefined): Buffer {
    const made = previousOf === undefined ? this.plain : this.withPrevious;
    let bytes = made.get(event);
    if (bytes === undefined) {
      bytes = Buffer.from(this.format.event(event, previousOf?.(event)));
      made.set(event, bytes);
    }
    return bytes;
  }
}

function itemMembers(item: Item): string {
  return [...itemSlices(item, false)].join('').slice(1, -1);
}

function deletionMembers({ key, revision }: WatchEvent): string {
  return `${bytesMember('key', key)},"modRevision":${revision}`;
}

function previousMember(previous: Item | undefined): string {
  return previous === undefined ? '' : `,"previous":{${itemMembers(previous)}}`;
}
