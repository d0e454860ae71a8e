import type { FastifyInstance } from 'fastify';
import { RaftkvError } from '../errors.js';
import type { Revision, WatchPosition } from '../kv/types.js';
import { keyBytesMax } from './bytes.js';
import { type Exchange, endpoint, type HttpContext } from './exchange.js';
import { Query, queryNames } from './query.js';
import { atRevision, reached } from './reads.js';
import { newlineDelimitedJson, serverSentEvents, type WatchFormat } from './watch-events.js';
import { WATCHES_MAX, WatchStreams } from './watch-stream.js';

const names = queryNames(['key', 'prefix', 'fromRevision', 'previous', 'minRevision']);

/** Watches are served by the node that was asked, whether it leads or not: it has every event, a moment later perhaps. */
export function registerWatchRoute(app: FastifyInstance, context: HttpContext): void {
  const streams = new WatchStreams(context.budget, context.damaged);
  context.metrics.follow(streams);
  app.route({
    method: 'GET',
    url: '/v1/watch',
    // A stream without a body would be one without an end and without a word.
    exposeHeadRoute: false,
    handler: endpoint(context, '/v1/watch', (exchange) => watch(exchange, streams)),
  });
  context.closing.signal.addEventListener('abort', () =>
    streams.endAll(
      new RaftkvError('shutting_down', 'This node is shutting down. Resume the watch on another node.'),
    ),
  );
}

function watch(exchange: Exchange, streams: WatchStreams): void {
  const { port } = exchange.context;
  const query = new Query(exchange.target.query, names);
  const { key, isPrefix } = watched(query);
  const withPrevious = query.flag('previous');
  const fromRevision = query.integer('fromRevision', 1);
  const minRevision = query.integer('minRevision', 0) ?? 0;
  // It bounds the waiting for `minRevision`; a stream has no end that it could bound.
  const timeoutMs = query.timeoutMs();
  // Known everywhere; a watch is never sent to another node.
  query.redirectNever();
  const format = formatFor(exchange);
  const asked = begin(exchange, fromRevision);
  const begins = () => {
    if (streams.size >= WATCHES_MAX) {
      throw new RaftkvError(
        'overloaded',
        `${WATCHES_MAX} watches are open on this node, and no more are taken. Ask another node.`,
      );
    }
    const after = asked ?? endOf(port.position().revision);
    const watcher = port.watch({ key, isPrefix, after, reportsTaken: true });
    const response = exchange.beginStream(format.contentType);
    if (response === undefined) watcher.close();
    else streams.open(response, watcher, { format, withPrevious, after }, exchange.signal);
  };
  atRevision(exchange, { minRevision, timeoutMs }, () => {
    if (asked === undefined) begins();
    else reached(exchange, asked.revision, timeoutMs, begins);
  });
}

function watched(query: Query): { readonly key: Uint8Array; readonly isPrefix: boolean } {
  const key = query.bytes('key');
  const prefix = query.bytes('prefix');
  const what = key ?? prefix;
  if (what === undefined || (key !== undefined && prefix !== undefined)) {
    throw new RaftkvError(
      'bad_request',
      'A watch needs "key" or "prefix", one of them: /v1/watch?key=a, or /v1/watch?prefix= for all keys.',
    );
  }
  if (what.length > keyBytesMax || (key !== undefined && key.length === 0)) {
    throw new RaftkvError(
      'bad_request',
      `A key has 1 to ${keyBytesMax} bytes. Correct what is to be watched.`,
    );
  }
  return { key: what, isPrefix: key === undefined };
}

/** Where the client wants to begin; undefined for what comes from now on. */
function begin(exchange: Exchange, fromRevision: Revision | undefined): WatchPosition | undefined {
  const lastEventId = exchange.request.headers['last-event-id'];
  // A client that reconnects sends its first URL again, and what it has seen counts.
  if (lastEventId === undefined || lastEventId === '') {
    return fromRevision === undefined ? undefined : endOf(fromRevision - 1);
  }
  const match = /^(\d{1,16})(?:-(\d{1,9}))?$/.exec(String(lastEventId));
  const revision = Number(match?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(revision)) {
    throw new RaftkvError(
      'bad_request',
      'Last-Event-ID must be an id that this stream gave, such as 42-0, or a revision, such as 42.',
    );
  }
  return match?.[2] === undefined ? endOf(revision) : { revision, number: Number(match[2]) };
}

function formatFor({ request }: Exchange): WatchFormat {
  const accepted = request.headers.accept ?? '*/*';
  const isNamed = (type: string) => accepted.toLowerCase().includes(type);
  return isNamed(newlineDelimitedJson.contentType) && !isNamed(serverSentEvents.contentType)
    ? newlineDelimitedJson
    : serverSentEvents;
}

function endOf(revision: Revision): WatchPosition {
  return { revision, number: Number.POSITIVE_INFINITY };
}
