import type { Caller } from './caller.js';
import type { OptionNames } from './check-options.js';
import { errorOfProblem, isPassing, NotReachableError, RaftkvClientError } from './errors.js';
import { readEventStream, type StreamMessage } from './event-stream.js';
import type { FetchHeaders } from './fetch.js';
import { Item, type ItemJson } from './item.js';
import { Pauses, sleep } from './timing.js';
import { type Bytes, jsonBytes, textOf } from './wire.js';

export interface WatchOptions {
  /** The key, or every key with a prefix: one of the two. */
  readonly key?: Bytes | undefined;
  readonly prefix?: Bytes | undefined;
  /** Begins with the changes of this revision; with the next change unless given. */
  readonly fromRevision?: number | undefined;
  /** Goes on after this event, which another watch has given out; in place of `fromRevision`. */
  readonly after?: string | undefined;
  /**
   * The cluster that `fromRevision` or `after` belongs to, as `status()` names it. The watch fails with `other_cluster` where
   * another one answers. Without it, the watch compares with the first cluster that answered.
   */
  readonly cluster?: string | undefined;
  /** Gives the item before the change, too. */
  readonly previous?: boolean | undefined;
  /** Gives a {@link ReadyEvent} first, once a node has begun the watch. */
  readonly ready?: boolean | undefined;
  /** Ends the watch with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export const watchOptionNames: OptionNames<WatchOptions> = {
  key: true,
  prefix: true,
  fromRevision: true,
  after: true,
  cluster: true,
  previous: true,
  ready: true,
  signal: true,
};

export interface WatchEventBase {
  /** For `after`. */
  readonly id: string;
  /** At which the change was made. */
  readonly revision: number;
  /** Counts the events of one revision from 0. */
  readonly n: number;
  /** U+FFFD stands where the bytes are not UTF-8; see `keyBytes`. */
  readonly key: string;
  readonly keyBytes: Uint8Array;
  /** The item before the change, where that was asked for and there was one. */
  readonly previous: Item | undefined;
}

export interface PutEvent extends WatchEventBase {
  readonly type: 'put';
  readonly item: Item;
}

export interface DeleteEvent extends WatchEventBase {
  readonly type: 'delete';
}

export type WatchEvent = PutEvent | DeleteEvent;

/** The watch has begun: every change after `revision` will be given out. */
export interface ReadyEvent {
  readonly type: 'ready';
  readonly revision: number;
}

/** What ends a watch; after everything else it goes on. */
function isFinal(error: unknown): boolean {
  if (!(error instanceof RaftkvClientError)) return true;
  if (error instanceof NotReachableError || isPassing(error)) return false;
  // A refusal will be repeated; a mistake of a server may not, and an answer of something else comes from between.
  return error.status < 500;
}

/** Every change, in order and once, across broken connections and nodes that come and go. */
export function watch(
  caller: Caller,
  options: WatchOptions & { readonly ready: true },
): AsyncGenerator<WatchEvent | ReadyEvent, void, void>;
export function watch(caller: Caller, options: WatchOptions): AsyncGenerator<WatchEvent, void, void>;
export async function* watch(
  caller: Caller,
  options: WatchOptions,
): AsyncGenerator<WatchEvent | ReadyEvent, void, void> {
  const { key, prefix, fromRevision, previous, signal } = options;
  const pauses = new Pauses();
  const checkHead = clusterCheck(options.cluster);
  let position = options.after;
  let wasLive = false;
  for (;;) {
    const stream = caller.stream({
      path: '/v1/watch',
      query: {
        key,
        prefix,
        fromRevision: position === undefined ? fromRevision : undefined,
        previous: previous === true ? true : undefined,
      },
      headers: {
        Accept: 'text/event-stream',
        ...(position === undefined ? {} : { 'Last-Event-ID': position }),
      },
      signal,
      checkHead,
    });
    try {
      for await (const message of readEventStream(stream)) {
        if (message.event === 'error') throw errorOfProblem(JSON.parse(message.data));
        // A stream begins by saying from where it goes on.
        if (!wasLive && options.ready === true) yield readyAt(message);
        wasLive = true;
        pauses.reset();
        // What is not after the position was given out before, by another node.
        if (message.id === undefined || (position !== undefined && !isAfter(message.id, position))) continue;
        position = message.id;
        if (message.event === 'put' || message.event === 'delete') yield eventOf(message, message.id);
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (isFinal(error)) throw error;
      if (error instanceof NotReachableError && !wasLive && !caller.waitForNodes) throw error;
    }
    await sleep(pauses.take(), signal);
  }
}

/** Revisions of one cluster mean nothing in another, such as one that was rebuilt at the same addresses. */
function clusterCheck(expected: string | undefined): (headers: FetchHeaders) => void {
  let known = expected;
  return (headers) => {
    // An older server does not name its cluster.
    const cluster = headers.get('Raftkv-Cluster') ?? known;
    known ??= cluster ?? undefined;
    if (cluster === known) return;
    throw new RaftkvClientError(
      'other_cluster',
      `The node belongs to cluster ${cluster}, and this watch to ${known}. The cluster was rebuilt, or the endpoints lead to ` +
        'another one: read everything anew, and begin another watch.',
    );
  };
}

function readyAt({ data }: StreamMessage): ReadyEvent {
  const { revision }: { readonly revision: number } = JSON.parse(data);
  return { type: 'ready', revision };
}

interface EventJson extends ItemJson {
  readonly previous?: ItemJson;
}

function eventOf({ event, data }: StreamMessage, id: string): WatchEvent {
  const { previous, ...item }: EventJson = JSON.parse(data);
  const [revision, n] = placeOf(id);
  const keyBytes = jsonBytes(item.key, item.keyBase64);
  const base: WatchEventBase = {
    id,
    revision,
    n,
    key: item.key ?? textOf(keyBytes),
    keyBytes,
    previous: previous === undefined ? undefined : new Item(previous),
  };
  return event === 'put' ? { ...base, type: 'put', item: new Item(item) } : { ...base, type: 'delete' };
}

function isAfter(id: string, position: string): boolean {
  const [revision, n] = placeOf(id);
  const [positionRevision, positionN] = placeOf(position);
  return revision > positionRevision || (revision === positionRevision && n > positionN);
}

/** The revision and which of its events; a bare revision stands for all of them. */
function placeOf(id: string): readonly [revision: number, n: number] {
  const [revision = '', n] = id.split('-');
  return [Number(revision), n === undefined ? Number.POSITIVE_INFINITY : Number(n)];
}
