import fastify, { type FastifyInstance, LogController } from 'fastify';
import { after, every } from '../clock.js';
import { RaftkvError, type StorageDamaged } from '../errors.js';
import type { Logger } from '../logger.js';
import type { TurnShare } from '../turn-share.js';
import { ByteBudget } from './byte-budget.js';
import { registerClusterRoutes } from './cluster-routes.js';
import { registerClusterVersionRoutes } from './cluster-version-routes.js';
import { registerCompactRoute } from './compact-routes.js';
import { Connections } from './connections.js';
import { Closing, type Exchange, endpoint, type HttpContext } from './exchange.js';
import { registerHealthRoutes } from './health-routes.js';
import { HeldRequests } from './held-requests.js';
import { compileBodies } from './json-body.js';
import { registerKeyValueRoutes } from './key-value-routes.js';
import { registerLeaseRoutes } from './lease-routes.js';
import { registerLockRoutes } from './lock-routes.js';
import { HttpMetrics, type ProcessCounts } from './metrics.js';
import { registerOpenApiRoute } from './openapi.js';
import { Origins } from './origins.js';
import type { NodePort } from './port.js';
import { RequestTurns } from './request-turns.js';
import { afterAnswers, endWithProblem, headerBytesMax, refuseOnSocket } from './socket-answers.js';
import { surplusRefuser } from './surplus-connections.js';
import { routedUrl } from './target.js';
import { registerTxnRoute } from './txn-routes.js';
import { registerWatchRoute } from './watch-routes.js';

export interface AppDependencies {
  readonly port: NodePort;
  /** What a follower does with a request that needs the leader. */
  readonly clientRouting: 'redirect' | 'serve';
  /** The largest value that a PUT accepts. */
  readonly valueBytesMax: number;
  /** Names of this node by which clients may call it, besides those that {@link Origins} allows to everybody. */
  readonly allowedHosts: readonly string[];
  /** Origins whose web pages may do what any client may. */
  readonly corsOrigins: readonly string[];
  readonly logger: Logger;
  readonly counts: ProcessCounts;
  /** Told of a record that proved to be damaged when a client read it. */
  readonly damaged?: (error: StorageDamaged) => void;
  /** What clients' long reads and large answers take of each turn of the event loop; the port's long reads share it. */
  readonly readShare: TurnShare;
  /** What all requests together may hold in memory; a share of what this process may use unless told otherwise. */
  readonly budgetBytes?: number;
  /** How long a client may take nothing of what waits for it; 30 s unless told otherwise. */
  readonly stalledMs?: number;
  /** How long a connection may stay open on which nothing is asked for; 72 s unless told otherwise. */
  readonly idleMs?: number;
  /** Connections that are open at a time; more are refused. */
  readonly connectionsMax: number;
  /** What refuses everything but /healthz and /metrics from the start, for a node that cannot serve. */
  readonly refusal?: RaftkvError;
  /** How long closing waits for what was accepted before it cuts the connections; 10 s unless told otherwise. */
  readonly closeGraceMs?: number;
}

/** The head of a request must have arrived by then: a client that sends it byte by byte holds a connection, and room for the head. */
const headTimeoutMs = 20_000;
/** The whole request must have arrived by then; nothing of ours takes this long to send. */
const requestTimeoutMs = 120_000;
/** How often Node looks for requests that are late. */
const lateRequestsMs = 5_000;
const closeGraceMsDefault = 10_000;
const closeSweepMs = 20;

/**
 * The client API on Fastify, without a socket: the caller listens. Closing it (`app.close()`) stops accepting, answers
 * what was accepted, refuses what still arrives on open connections, and completes within the grace period.
 */
export function buildApp(dependencies: AppDependencies): FastifyInstance {
  const { port, clientRouting, valueBytesMax, allowedHosts, corsOrigins, logger } = dependencies;
  const budget = new ByteBudget(dependencies.budgetBytes);
  const connections = new Connections(budget, dependencies.stalledMs, dependencies.idleMs);
  const metrics = new HttpMetrics(port, dependencies.counts, { connections, budget });
  const closing = new Closing();
  const context: HttpContext = {
    port,
    clientRouting,
    valueBytesMax,
    logger,
    damaged: dependencies.damaged ?? (() => {}),
    metrics,
    closing,
    connections,
    budget,
    origins: new Origins({ allowedHosts, corsOrigins, members: () => port.locations() }),
    held: new HeldRequests(port, closing.signal),
    turns: new RequestTurns(),
    readShare: dependencies.readShare,
  };

  const app = fastify({
    // Without a Host header, too, our own handlers refuse, with a problem document.
    http: {
      maxHeaderSize: headerBytesMax,
      requireHostHeader: false,
      headersTimeout: headTimeoutMs,
      connectionsCheckingInterval: lateRequestsMs,
    },
    requestTimeout: requestTimeoutMs,
    logController: new LogController({ disableRequestLogging: true }),
    // Refused by our own handlers, with a problem document.
    return503OnClosing: false,
    rewriteUrl: (request) => routedUrl(request.url ?? '/'),
    // Handlers read the query by themselves: it may hold bytes that are not text.
    routerOptions: { querystringParser: () => noQuery, maxParamLength: 1_024 },
    // No route has a schema of Fastify's: without these two, Fastify loads compilers of its own at every start.
    schemaController: { compilersFactory: { buildValidator: noCompiler, buildSerializer: noCompiler } },
    frameworkErrors: (error, request, reply) => {
      endpoint(context, 'unknown', (exchange) => {
        logger.debug({ err: error }, 'a request line was refused');
        exchange.fail(
          new RaftkvError('bad_request', 'The path is malformed; percent-encode what is not plain text.'),
        );
      })(request, reply);
    },
    clientErrorHandler: refuseOnSocket,
  });
  // Every method counts as one without a body to Fastify: handlers read bodies by themselves, after everything else was
  // checked, whatever their Content-Type says.
  for (const method of app.supportedMethods) {
    app.addHttpMethod(method, { hasBody: false, overrideExisting: true });
  }
  // A net: whatever else Fastify refuses by itself is answered in our words, too.
  app.setErrorHandler((error, request, reply) => {
    endpoint(context, 'unknown', (exchange) => exchange.fail(refusedByFramework(error)))(request, reply);
  });
  // Without this listener Node would ask for the body before anybody has looked at the request.
  app.server.on('checkContinue', (request, response) => app.routing(request, response));
  // Other expectations may be ignored (RFC 9110 §10.1.1); Node would refuse them without a problem document.
  app.server.on('checkExpectation', (request, response) => app.routing(request, response));

  // Node would close the connection without a word.
  app.server.on('connect', (_, socket) => {
    const refuse = () =>
      endWithProblem(
        socket,
        405,
        'method_not_allowed',
        'This is no proxy: CONNECT is not served. See /openapi.json.',
      );
    // Node has taken its own listeners off, and a client may break the connection while answers are waited for.
    socket.on('error', () => socket.destroy());
    afterAnswers(socket, refuse);
  });

  if (dependencies.refusal !== undefined) closing.begin(dependencies.refusal);
  const methods = collectMethods(app);
  registerKeyValueRoutes(app, context);
  registerTxnRoute(app, context);
  registerCompactRoute(app, context);
  registerLeaseRoutes(app, context);
  registerLockRoutes(app, context);
  registerWatchRoute(app, context);
  registerClusterRoutes(app, context);
  registerClusterVersionRoutes(app, context);
  registerHealthRoutes(app, context);
  registerOpenApiRoute(app, context);
  app.setNotFoundHandler(endpoint(context, 'unknown', (exchange) => refuseUnknown(exchange, methods)));
  // Node would drop headers past the 2,000th without a word, a condition perhaps. Their bytes are bounded.
  app.server.maxHeadersCount = 0;
  // An answer may come after the client has closed its side; `Connections` bounds how long that is waited for.
  Object.assign(app.server, { httpAllowHalfOpen: true });
  connections.follow(app.server);
  const { connectionsMax } = dependencies;
  connections.limit(app.server, connectionsMax, surplusRefuser(connectionsMax, context.origins));
  metrics.followConnections(connections);
  // Before it listens: the first client that asked for it would keep all others waiting.
  app.addHook('onReady', async () => {
    compileBodies();
    await metrics.loadLibrary();
  });
  app.addHook('preClose', (done) => {
    context.closing.begin(
      new RaftkvError(
        'shutting_down',
        'This node is shutting down and takes no new requests. Nothing was done; ask another node.',
      ),
    );
    // The close would wait for them.
    connections.endUnused();
    closeConnections(app, dependencies.closeGraceMs ?? closeGraceMsDefault);
    done();
  });
  return app;
}

/**
 * Closes the app without waiting for what was accepted, because nothing can finish it any more. Answers that are there leave
 * before the connections are cut.
 */
export async function abandonApp(app: FastifyInstance): Promise<void> {
  const cut = every(closeSweepMs, () => app.server.closeAllConnections());
  try {
    await app.close();
  } finally {
    cut.cancel();
  }
}

const noQuery = {};

/** A route with a schema of Fastify's would be a mistake of this program; `jsonBody` checks bodies. */
function noCompiler(): never {
  throw new Error('Fastify compiles no schemas here.');
}

function refusedByFramework(error: unknown): unknown {
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
  if (status < 400 || status >= 500 || !(error instanceof Error)) return error;
  return new RaftkvError('bad_request', `The request cannot be served: ${error.message}.`);
}

/** Remembers the methods of every route, by a pattern of its path. */
function collectMethods(app: FastifyInstance): ReadonlyMap<RegExp, Set<string>> {
  const byUrl = new Map<string, Set<string>>();
  const byPattern = new Map<RegExp, Set<string>>();
  app.addHook('onRoute', (route) => {
    let methods = byUrl.get(route.url);
    if (methods === undefined) {
      methods = new Set();
      byUrl.set(route.url, methods);
      byPattern.set(new RegExp(`^${route.url.replace(/:[^/]+/g, '[^/]+')}$`), methods);
    }
    for (const method of [route.method].flat()) methods.add(method);
  });
  return byPattern;
}

function refuseUnknown(exchange: Exchange, methods: ReadonlyMap<RegExp, Set<string>>): void {
  const path = routedUrl(exchange.target.path);
  for (const [pattern, known] of methods) {
    if (!pattern.test(path)) continue;
    const allow = [...known].sort().join(', ');
    if (exchange.answersPreflight(allow)) return;
    exchange.fail(new RaftkvError('method_not_allowed', `Use one of: ${allow}.`), ['Allow', allow]);
    return;
  }
  throw new RaftkvError(
    'not_found',
    'There is nothing at this path. Keys are at /v1/kv/<key>; GET /openapi.json lists all paths.',
  );
}

/**
 * Lets the server's close complete. Connections that were busy when it began turn idle one after the other, and Node
 * would keep each for its keep-alive time.
 */
function closeConnections(app: FastifyInstance, graceMs: number): void {
  const sweep = every(closeSweepMs, () => app.server.closeIdleConnections());
  const deadline = after(graceMs, () => app.server.closeAllConnections());
  app.server.once('close', () => {
    sweep.cancel();
    deadline.cancel();
  });
}
