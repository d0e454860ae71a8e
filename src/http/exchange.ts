import { Buffer } from 'node:buffer';
import { setMaxListeners } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants, gzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { after } from '../clock.js';
import { RaftkvError, StorageDamaged } from '../errors.js';
import type { Revision } from '../kv/types.js';
import type { Logger } from '../logger.js';
import type { TurnShare } from '../turn-share.js';
import { hasBody, parseJson, readBody, refusalOfCoding } from './body.js';
import { type ByteBudget, COUNTED_BYTES_MIN } from './byte-budget.js';
import type { Connections } from './connections.js';
import type { HeldRequests } from './held-requests.js';
import type { HttpMetrics } from './metrics.js';
import type { Origins } from './origins.js';
import type { NodePort } from './port.js';
import { problemBody, problemContentType, problemOf } from './problem.js';
import type { RequestTurns, Startable } from './request-turns.js';
import { endWith, writeHead } from './response-writes.js';
import { originForm, splitTarget, type Target } from './target.js';
import { acceptsEventStream, refusedStream, serverSentEvents } from './watch-events.js';

/** What all routes share. */
export interface HttpContext {
  readonly port: NodePort;
  readonly clientRouting: 'redirect' | 'serve';
  readonly valueBytesMax: number;
  readonly logger: Logger;
  readonly damaged: (error: StorageDamaged) => void;
  readonly metrics: HttpMetrics;
  readonly closing: Closing;
  readonly connections: Connections;
  readonly origins: Origins;
  readonly held: HeldRequests;
  readonly budget: ByteBudget;
  readonly turns: RequestTurns;
  /** What clients' long reads and large answers take of each turn of the event loop. */
  readonly readShare: TurnShare;
}

/** The end of the server. */
export class Closing {
  readonly #controller = new AbortController();
  /** What refuses requests once the server closes. Each request looks at this, and asking a signal takes longer. */
  refusal: RaftkvError | undefined;

  constructor() {
    // Each request that waits for a lock listens; Node takes more than ten for a leak, and says so on standard error.
    setMaxListeners(0, this.#controller.signal);
  }

  /** Aborted when the server begins to close, with the refusal as the reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  begin(refusal: RaftkvError): void {
    this.refusal = refusal;
    this.#controller.abort(refusal);
  }
}

/** What an answer's content is known to be: a confirmed state of the cluster, or this node's view of it. */
export type ServedConsistency = 'linearizable' | 'lease' | 'stale';

/** The largest JSON document that a request may carry. */
export const jsonBytesMax = 65_536;

/** How long, and for how many bytes, a client that was refused may go on sending before the connection is closed. */
const lingerMs = 2_000;
const lingerBytesMax = 16 * 1024 * 1024;

/** How long a browser may remember what it was told of a page. */
const preflightSeconds = 600;

/** A smaller document leaves in one packet in any case. */
const compressedBytesMin = 1_400;
/** One of the codings that the client takes, unless it says that it does not (`q=0`). */
const acceptsGzip = /(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[^,]*)?(?:,|$)/i;

/** As Node recognizes it, which leaves the answer to such a request to us. */
const continueExpectation = /(?:^|\W)100-continue(?:$|\W)/i;

/** Failures that pass without the client changing anything. */
const passing: ReadonlySet<RaftkvError['code']> = new Set([
  'shutting_down',
  'no_leader',
  'unavailable',
  'not_ready',
]);

/**
 * One request and its answer. Exactly one of {@link send} and what is built on it ({@link sendJson}, {@link fail},
 * {@link redirect}) is called.
 *
 * Answers are written to Node's response directly: each is one buffer or string whose headers are known, so that
 * nothing of Fastify's serialisation is needed, and it would be the largest part of what a small request costs.
 */
export class Exchange implements Startable {
  readonly context: HttpContext;
  readonly request: IncomingMessage;
  readonly target: Target;
  /** What {@link send} reports; `stale` until a handler has confirmed more. */
  consistency: ServedConsistency = 'stale';
  /** The revision that a write took, which this node may not have applied yet. */
  writtenRevision: Revision = 0;
  /** Whether to answer however much is held: a change was made, or somebody looks at what is wrong here. */
  mustAnswer = false;
  /** What caches on the way may do with the answer; {@link fail} and changes leave it as it is. */
  caching: 'no-store' | 'no-cache' = 'no-store';
  /** The origin of the page that may read the answer; undefined where no page asked. */
  private origin: string | undefined;
  private readonly reply: FastifyReply;
  private readonly response: ServerResponse;
  private readonly originalUrl: string;
  private readonly endpoint: Endpoint;
  /** When the request came, by `performance.now()`. */
  readonly startedAtMs = performance.now();
  private readonly announcesBody: boolean;
  private bodyWasRead = false;
  /** The client may go on sending what nobody reads. */
  private bodyIsUnwanted = false;
  private heldBytes = 0;
  /** Whether it waited until this node had started or knew a leader, or for content that no handler uses. */
  hasWaited = false;

  constructor(endpoint: Endpoint, request: FastifyRequest, reply: FastifyReply) {
    this.context = endpoint.context;
    this.endpoint = endpoint;
    this.request = request.raw;
    this.announcesBody = hasBody(this.request);
    this.reply = reply;
    this.response = reply.raw;
    this.originalUrl = request.originalUrl;
    this.target = splitTarget(this.originalUrl);
  }

  /** Calls the handler, unless something is wrong with the request. */
  begin(): void {
    const { closing } = this.context;
    try {
      if (closing.refusal !== undefined && !this.endpoint.answersWhileClosing) throw closing.refusal;
      this.checkHead();
      this.run();
    } catch (error) {
      this.fail(error);
    }
  }

  /** A handler fails at once for want of a leader before it has done anything, so it can be tried again. */
  private run(): void {
    // A node that starts may learn only while it holds a request to which cluster it belongs.
    if (this.target.query !== '') refuseOtherCluster(this);
    try {
      this.endpoint.handler(this);
    } catch (error) {
      const mayPass = error instanceof RaftkvError && error.code === 'no_leader';
      const resume = () => {
        this.hasWaited = true;
        this.attempt(() => this.run());
      };
      if (!mayPass || !this.context.held.hold(this, error, resume)) throw error;
    }
  }

  /** What is wrong with a request whatever it asks for, and with where it comes from. */
  private checkHead(): void {
    const { origins } = this.context;
    origins.checkHost(this.request, this.originalUrl, this.startedAtMs);
    this.origin = origins.checkOrigin(this.request);
    // The router would end the path here, and so act on less than was asked for.
    if (this.originalUrl.includes('#')) {
      throw new RaftkvError('bad_request', 'The path or the query holds a bare "#"; write it as %23.');
    }
    const refusal = this.announcesBody ? refusalOfCoding(this.request.headers) : undefined;
    if (refusal === undefined) return;
    this.bodyIsUnwanted = true;
    throw refusal;
  }

  /** Whether a browser asked, on behalf of a page. No other client says where a request comes from. */
  get isAskedByPage(): boolean {
    const { headers } = this.request;
    return headers.origin !== undefined || headers['sec-fetch-site'] !== undefined;
  }

  /** Answers the question by which a browser finds out whether a page may send a request; false where this is none. */
  answersPreflight(methods: string): boolean {
    const { headers, method } = this.request;
    if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) return false;
    this.send(204, null, null, [
      'Access-Control-Allow-Methods',
      methods,
      'Access-Control-Allow-Headers',
      '*',
      'Access-Control-Max-Age',
      String(preflightSeconds),
    ]);
    return true;
  }

  /**
   * What is left of `timeoutMs` for a handler that has read no content: all of it, unless the request has waited before. The
   * clock is read only then, because gets begin with this.
   */
  unheldMs(timeoutMs: number): number {
    return this.hasWaited ? this.remainingMs(timeoutMs) : timeoutMs;
  }

  /** Whole milliseconds that are left of `timeoutMs`, counted from the arrival of the request; at least 1. */
  remainingMs(timeoutMs: number): number {
    return Math.max(1, Math.ceil(timeoutMs - (performance.now() - this.startedAtMs)));
  }

  /**
   * Reads the content, at most `bytesMax` bytes and within the request's timeout, of which the work that follows gets what
   * {@link remainingMs} says. Goes on with `use`; failures are answered here.
   */
  withBody(bytesMax: number, timeoutMs: number, use: (body: Buffer) => void): void {
    // The client waits for this with `Expect: 100-continue`; one that is refused or redirected never sends its body.
    if (this.expectsContinue()) this.response.writeContinue();
    const atEndOfTurn = (task: () => void): void => this.context.turns.atEnd(task);
    const hold = (bytes: number): void => this.hold(bytes);
    readBody(this.request, bytesMax, this.remainingMs(timeoutMs), atEndOfTurn, hold, (error, body) => {
      if (error !== undefined) {
        this.bodyIsUnwanted = true;
        this.fail(error);
        return;
      }
      this.bodyWasRead = true;
      this.attempt(() => use(body));
    });
  }

  /**
   * Goes on with `act`, which changes something and uses no content, once the whole request has arrived. A request that turns out
   * malformed after its head, or is cut off, is refused as one that changed nothing, so it must not have been acted upon. Content
   * that is announced nevertheless is read, within the bounds of a JSON document, and dropped.
   */
  withoutBody(timeoutMs: number, act: () => void): void {
    if (!this.announcesBody) {
      act();
      return;
    }
    this.withBody(jsonBytesMax, timeoutMs, () => {
      this.hasWaited = true;
      act();
    });
  }

  withJson(timeoutMs: number, use: (value: unknown) => void): void {
    this.withBody(jsonBytesMax, timeoutMs, (body) => use(parseJson(body)));
  }

  /** Aborted, with a `RaftkvError`, when the client has left. The whole connection shares it, so whoever listens to it must stop listening. */
  get signal(): AbortSignal {
    return this.context.connections.signalOf(this.request.socket);
  }

  /**
   * The same for a read, which is not worth going on with either once the request's time is up: then the reason is
   * `unavailable`.
   */
  readSignal(timeoutMs: number): AbortSignal {
    const late = new AbortController();
    const timer = after(this.remainingMs(timeoutMs), () =>
      late.abort(
        new RaftkvError(
          'unavailable',
          'The read did not end within its timeout. Nothing was changed; read less at once, or give it a longer timeout.',
        ),
      ),
    );
    const { signal } = this;
    // A response that waits for its turn behind others on its connection never closes.
    const leave = () => {
      timer.cancel();
      late.abort(signal.reason);
    };
    signal.addEventListener('abort', leave);
    if (signal.aborted) leave();
    this.response.once('close', () => {
      timer.cancel();
      signal.removeEventListener('abort', leave);
    });
    return late.signal;
  }

  /**
   * Makes an answer that may be large, when it is its turn, and answers with what `use` makes of it.
   *
   * @param signal Ends the waiting for the turn.
   */
  produce<Value>(task: () => Promise<Value>, use: (value: Value) => void, signal = this.signal): void {
    this.settle(this.context.budget.produce(signal, task), use);
  }

  /** Resolves when the next slice of a long piece of work may run; rejects with the signal's reason once that is aborted. */
  async longWorkTurn(signal = this.signal): Promise<void> {
    await this.context.readShare.turn();
    signal.throwIfAborted();
  }

  /**
   * Counts bytes that are held for this request until its answer has been taken: of the body or of the answer, whichever is
   * more. Throws `overloaded` where this node holds too many, and the answer can still be a refusal.
   */
  private hold(bytes: number): void {
    const more = bytes - this.heldBytes;
    if (more <= 0) return;
    const { connections } = this.context;
    const { socket } = this.request;
    connections.hold(socket, more, this.mustAnswer);
    if (this.heldBytes === 0) this.response.once('close', () => connections.release(socket, this.heldBytes));
    this.heldBytes += more;
  }

  /** Answers with what `use` makes of the promise's value, or with the problem that it failed with. */
  settle<Value>(promise: Promise<Value>, use: (value: Value) => void): void {
    promise.then(
      (value) => {
        try {
          use(value);
        } catch (error) {
          this.fail(error);
        }
      },
      (error: unknown) => this.fail(error),
    );
  }

  /** Runs `task`; what it throws is answered. */
  attempt(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.fail(error);
    }
  }

  /**
   * Decides who does what needs the leader. True: this node does, through its port. False: it is answered already,
   * with a redirect.
   */
  staysHere(redirectNever: boolean): boolean {
    const route = this.context.port.route();
    if (route.kind === 'leader') return true;
    if (route.kind === 'noLeader') {
      throw new RaftkvError(
        'no_leader',
        'No leader is known at the moment, probably because one is being elected. Nothing was done; try again shortly.',
      );
    }
    if (redirectNever || this.context.clientRouting === 'serve') return true;
    // A page may be redirected to another origin only once, and then as nobody: browsers send `Origin: null` there.
    // Its reads from its own origin name none: there, only the browser says who asks.
    const { origin, 'sec-fetch-site': site } = this.request.headers;
    if (origin !== undefined || site === 'same-origin') return true;
    // The leader is known and its client URL is not yet: sending the client away would need a place to send it to.
    if (route.url === '') return true;
    this.redirect(route.leader, route.url);
    return false;
  }

  /**
   * Compressed where the client takes that and it is worth it; values are never, since their tags say that they are as put. For
   * `lines` see {@link send}.
   */
  sendJson(status: number, json: Buffer | string, headers: readonly string[] = [], lines = ''): void {
    if (json.length < compressedBytesMin) {
      this.send(status, 'application/json', json, headers, lines);
      return;
    }
    const varying = [...headers, 'Vary', 'Accept-Encoding'];
    if (!acceptsGzip.test(this.request.headers['accept-encoding'] ?? '')) {
      this.send(status, 'application/json', json, varying, lines);
      return;
    }
    // Both are there for a while.
    this.hold(json.length);
    gzip(json, { level: constants.Z_BEST_SPEED }, (error, compressed) => {
      if (error) this.fail(error);
      else this.send(status, 'application/json', compressed, [...varying, 'Content-Encoding', 'gzip'], lines);
    });
  }

  fail(error: unknown, headers: readonly string[] = []): void {
    this.caching = 'no-store';
    const problem = problemOf(error);
    if (error instanceof StorageDamaged) this.context.damaged(error);
    if (error instanceof RaftkvError && this.isEventSource()) {
      if (passing.has(error.code)) {
        this.hangUp();
        return;
      }
      if (error.code === 'overloaded') {
        this.send(200, serverSentEvents.contentType, refusedStream(problem.body), []);
        return;
      }
    }
    if (this.response.destroyed) {
      // The client has left, which is why most of what it asked for fails.
    } else if (!(error instanceof RaftkvError)) {
      this.context.logger.error({ err: error, route: this.endpoint.route }, 'a request failed unexpectedly');
    } else if (problem.status === 500) {
      // Such as a damaged record: the client cannot mend it, and whoever runs this node must hear of it.
      this.context.logger.error({ code: error.code, route: this.endpoint.route }, error.message);
    }
    this.send(problem.status, problemContentType, problem.body, [...problem.headers, ...headers]);
  }

  private isEventSource(): boolean {
    return this.endpoint.route === '/v1/watch' && acceptsEventStream(this.request.headers);
  }

  /** To a browser's EventSource any status but 200 is final, while it asks again when a connection is lost. */
  private hangUp(): void {
    this.reply.hijack();
    this.request.socket.destroy();
  }

  private redirect(leader: string, leaderUrl: string): void {
    const location = leaderUrl + originForm(this.originalUrl);
    const detail =
      `This needs the leader, which is ${leader}. Follow the Location header: with curl, add -L. ` +
      'To let this node ask the leader for you, add redirect=never to the query.';
    const body = problemBody(307, 'not_leader', 'Another node is the leader', detail, { leader, leaderUrl });
    this.send(307, problemContentType, body, ['Location', location]);
  }

  /**
   * Sends the answer.
   *
   * @param body Null where the status has none.
   * @param headers Names and values in turn.
   * @param lines More headers, of nothing that a client sent; see {@link writeHead}.
   */
  send(
    status: number,
    contentType: string | null,
    body: Buffer | string | null,
    headers: readonly string[],
    lines = '',
  ): void {
    const { request, response, context } = this;
    // Fastify must not touch the reply any more; from here on only Node's response is used.
    this.reply.hijack();
    if (response.headersSent || response.destroyed) return;
    if (body !== null && body.length > COUNTED_BYTES_MIN && status < 500) {
      try {
        this.hold(body.length);
      } catch (error) {
        this.fail(error);
        return;
      }
    }
    const ownLines = this.ownLines() + lines;
    const allHeaders = this.furtherHeaders(contentType);
    const bytes = body === null ? 0 : Buffer.byteLength(body);
    if (body !== null) allHeaders.push('Content-Length', String(bytes));
    for (const part of headers) allHeaders.push(part);
    context.metrics.observe(
      this.endpoint.route,
      request.method ?? '',
      status,
      performance.now() - this.startedAtMs,
    );

    const unread = !this.bodyWasRead && this.announcesBody && !request.complete;
    if (unread && this.mustLinger()) {
      allHeaders.push('Connection', 'close');
      writeHead(response, status, ownLines, allHeaders);
      if (body !== null && request.method !== 'HEAD') response.write(body);
      this.linger();
      return;
    }
    if (context.closing.refusal !== undefined) allHeaders.push('Connection', 'close');
    writeHead(response, status, ownLines, allHeaders);
    if (body === null || request.method === 'HEAD') response.end();
    else endWith(response, body, body.length === bytes);
  }

  /** Whether the request is to this cluster alone; one to another was refused before it was handled. */
  get namesCluster(): boolean {
    return this.target.query.includes('cluster=');
  }

  /** Begins an answer without an end that is known; the caller writes it. Undefined when the client is gone already. */
  beginStream(contentType: string): ServerResponse | undefined {
    const { request, response, context } = this;
    this.reply.hijack();
    if (response.headersSent || response.destroyed) return undefined;
    // Between here and the client nobody may keep the stream, or hold it back until it is larger.
    const headers = [...this.furtherHeaders(contentType), 'X-Accel-Buffering', 'no'];
    context.metrics.observe(
      this.endpoint.route,
      request.method ?? '',
      200,
      performance.now() - this.startedAtMs,
    );
    writeHead(response, 200, this.ownLines(), headers);
    response.flushHeaders();
    request.resume();
    return response;
  }

  /** The headers of every answer. */
  private ownLines(): string {
    const { port } = this.context;
    const { revision, term, cluster } = port.position();
    const lines =
      `Raftkv-Revision: ${Math.max(revision, this.writtenRevision)}\r\nRaftkv-Term: ${term}\r\nRaftkv-Node: ${port.id}\r\n` +
      `Raftkv-Consistency: ${this.consistency}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: ${this.caching}\r\n`;
    return cluster === '' ? lines : `${lines}Raftkv-Cluster: ${cluster}\r\n`;
  }

  /** Headers that depend on who asked, and on the answer. */
  private furtherHeaders(contentType: string | null): string[] {
    const headers: string[] = [];
    // No credentials are allowed, so that a star stands for all headers.
    if (this.origin !== undefined)
      headers.push('Access-Control-Allow-Origin', this.origin, 'Access-Control-Expose-Headers', '*');
    if (this.isAskedByPage || (this.caching === 'no-cache' && this.context.origins.servesOthers)) {
      headers.push('Vary', 'Origin');
    }
    if (contentType !== null) headers.push('Content-Type', contentType);
    return headers;
  }

  /** A body that is small and on its way anyway is thrown away by Node, and the connection lives on. */
  private mustLinger(): boolean {
    const length = Number(this.request.headers['content-length'] ?? Number.POSITIVE_INFINITY);
    return this.bodyIsUnwanted || this.expectsContinue() || length > this.context.valueBytesMax;
  }

  /**
   * The answer is sent, and the client may still be sending. Closing now would make the kernel reset the connection,
   * and the client might never see the answer; so what arrives is thrown away for a while, within bounds.
   */
  private linger(): void {
    const { request, response } = this;
    let bytes = 0;
    const finish = (): void => {
      timer.cancel();
      response.end();
    };
    const timer = after(lingerMs, finish);
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > lingerBytesMax) finish();
    });
    request.once('end', finish);
    request.once('close', finish);
    request.on('error', () => {});
    request.resume();
  }

  private expectsContinue(): boolean {
    const { expect } = this.request.headers;
    return expect !== undefined && continueExpectation.test(expect);
  }
}

/** A route's work. It answers through the exchange, now or later; what it throws is answered as a problem. */
export type Handler = (exchange: Exchange) => void;

/** What the exchanges of one route share. */
interface Endpoint {
  readonly context: HttpContext;
  /** The route's name in the metrics. */
  readonly route: string;
  readonly handler: Handler;
  readonly answersWhileClosing: boolean;
}

/**
 * Makes a Fastify handler. It is synchronous on purpose: Fastify would wait on a promise, and nothing here needs that.
 *
 * @param route The route's name in the metrics; a fixed text, so that their number is bounded.
 */
export function endpoint(
  context: HttpContext,
  route: string,
  handler: Handler,
  availability: 'whileOpen' | 'whileClosing' = 'whileOpen',
): (request: FastifyRequest, reply: FastifyReply) => void {
  const shared: Endpoint = {
    context,
    route,
    handler,
    answersWhileClosing: availability === 'whileClosing',
  };
  return (request, reply) => {
    const exchange = new Exchange(shared, request, reply);
    context.turns.begin(request.raw.socket, exchange.startedAtMs, exchange);
  };
}

/** Also without a value. A percent-encoded name is one that no route knows. */
const mayNameCluster = /(?:^|&)cluster/;

/** Refuses a request that names another cluster: its revisions and ids mean nothing here. */
function refuseOtherCluster({ context, target }: Exchange): void {
  if (!mayNameCluster.test(target.query)) return;
  const { cluster } = context.port.position();
  const asked = new URLSearchParams(target.query).getAll('cluster');
  if (cluster === '' || asked.every((named) => named === cluster)) return;
  throw new RaftkvError(
    'other_cluster',
    `This node belongs to cluster ${cluster}, and the request names another one. The cluster was rebuilt, or the address ` +
      'belongs to another one: read everything anew, and name this cluster from then on.',
    { cluster },
  );
}
