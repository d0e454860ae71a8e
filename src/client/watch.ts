import { type Bytes, encodeSegment, fromMember, toText } from './bytes.js';
import { errorOf, RaftkvClientError } from './errors.js';
import { type Item, type JsonObject, toItem } from './item.js';
import { pause, queryText, type Requester } from './requester.js';

/** A change of one key. Events of one revision are numbered from 0. */
export interface WatchEvent {
  readonly kind: 'put' | 'delete';
  readonly revision: number;
  readonly number: number;
  readonly key: Uint8Array;
  readonly keyText: string;
  /** What the key is now; undefined for a deletion. */
  readonly item: Item | undefined;
  /** What it was before, where that was asked for and there was something. */
  readonly previous: Item | undefined;
}

export interface WatchOptions {
  /** One key; this or `prefix`. */
  readonly key?: Bytes;
  /** Every key that starts with it; '' for all. */
  readonly prefix?: Bytes;
  /** Begin with the changes of this revision; undefined for what comes from now on. */
  readonly fromRevision?: number;
  /** Tell what each key was before, too. */
  readonly previous?: boolean;
  /** Ends the watch. */
  readonly signal?: AbortSignal;
}

/** The server gives a sign of life every 15 s; a stream that gave none for so long is dead. */
const SILENCE_MS_MAX = 40_000;
const PAUSE_MS_MIN = 20;
const PAUSE_MS_MAX = 2_000;

/**
 * Follows changes across broken connections, restarts and changes of leader, on whichever endpoint answers. Each event comes
 * once and in order: every new connection names the last one that was seen. Ends when `signal` is aborted; throws
 * `RaftkvClientError`, with the code `compacted` when events that should follow are not kept any more.
 */
export async function* watch(requester: Requester, options: WatchOptions): AsyncGenerator<WatchEvent> {
  const { key, prefix, fromRevision, previous, signal } = options;
  const query = queryText({
    key: key === undefined ? undefined : encodeSegment(key),
    prefix: prefix === undefined ? undefined : encodeSegment(prefix),
    fromRevision,
    previous: previous === true ? true : undefined,
  });
  let lastEventId = '';
  let pauseMs = PAUSE_MS_MIN;
  while (!signal?.aborted) {
    const [endpoint] = requester.inTurn();
    const connection = new AbortController();
    const end = () => connection.abort();
    signal?.addEventListener('abort', end);
    try {
      for await (const line of lines(requester, `${endpoint}/v1/watch${query}`, lastEventId, connection)) {
        const json: JsonObject = JSON.parse(line);
        pauseMs = PAUSE_MS_MIN;
        if (json['type'] === 'error') throw problemOf(json['problem']);
        if (json['type'] === 'progress') {
          lastEventId = String(json['revision']);
          continue;
        }
        const event = toEvent(json);
        // Before it is handed out: whoever takes it may never come back for more.
        lastEventId = `${event.revision}-${event.number}`;
        yield event;
      }
    } catch (error) {
      if (isFinal(error)) throw error;
    } finally {
      signal?.removeEventListener('abort', end);
      connection.abort();
    }
    await pause(pauseMs * (0.5 + Math.random() / 2), signal);
    pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX);
  }
}

/** The whole lines of one stream; one that was cut off is dropped, and asked for again. */
async function* lines(
  requester: Requester,
  url: string,
  lastEventId: string,
  connection: AbortController,
): AsyncGenerator<string> {
  const headers = new Headers({ Accept: 'application/x-ndjson' });
  if (lastEventId !== '') headers.set('Last-Event-ID', lastEventId);
  let silence = setTimeout(() => connection.abort(), SILENCE_MS_MAX);
  try {
    const response = await requester.options.fetch(url, { headers, signal: connection.signal });
    if (!response.ok) throw await errorOf(response);
    if (response.body === null) return;
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      clearTimeout(silence);
      silence = setTimeout(() => connection.abort(), SILENCE_MS_MAX);
      const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = parts.pop() ?? '';
      // An empty line is a sign of life.
      yield* parts.filter((part) => part !== '');
    }
  } finally {
    clearTimeout(silence);
  }
}

function toEvent(json: JsonObject): WatchEvent {
  const item = json['item'] === undefined ? undefined : toItem(json['item'] as JsonObject);
  const key = item === undefined ? fromMember(json, 'key') : item.key;
  return {
    kind: json['type'] === 'delete' ? 'delete' : 'put',
    revision: Number(json['revision']),
    number: Number(json['n']),
    key,
    keyText: toText(key),
    item,
    previous: json['previous'] === undefined ? undefined : toItem(json['previous'] as JsonObject),
  };
}

function problemOf(problem: unknown): RaftkvClientError {
  const { status, code, detail } = problem as JsonObject;
  return new RaftkvClientError(Number(status), String(code), String(detail), problem as JsonObject);
}

/** What another connection would not mend: a request that is wrong, or a past that is gone. */
function isFinal(error: unknown): boolean {
  return (
    error instanceof RaftkvClientError &&
    error.status >= 400 &&
    error.status < 500 &&
    error.code !== 'request_timeout'
  );
}
