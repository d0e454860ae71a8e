import type { FastifyInstance } from 'fastify';
import { type Exchange, endpoint, type HttpContext } from './exchange.js';
import { refuseIdempotencyKey } from './idempotency.js';
import { Query, queryNames } from './query.js';
import { clusterVersionBody } from './schemas.js';

const names = queryNames([]);

/**
 * The cluster version, and how the cluster moves to the next one. Any node answers and passes on what needs the leader, because
 * the leader may be too old to know these routes.
 */
export function registerClusterVersionRoutes(app: FastifyInstance, context: HttpContext): void {
  app.get('/v1/cluster-version', endpoint(context, '/v1/cluster-version', show));
  app.put('/v1/cluster-version', endpoint(context, '/v1/cluster-version', raise));
  for (const method of ['put', 'delete'] as const) {
    app[method](
      '/v1/cluster-version/hold',
      endpoint(context, '/v1/cluster-version/hold', (exchange) => hold(exchange, method === 'put')),
    );
  }
}

function show(exchange: Exchange): void {
  const timeoutMs = checkedTimeoutMs(exchange);
  exchange.settle(
    exchange.context.port.clusterVersionStatus(exchange.unheldMs(timeoutMs), exchange.signal),
    (status) => {
      exchange.sendJson(200, JSON.stringify(status));
    },
  );
}

function raise(exchange: Exchange): void {
  refuseIdempotencyKey(exchange);
  const timeoutMs = checkedTimeoutMs(exchange);
  waitForLeader(exchange);
  exchange.withJson(timeoutMs, (json) => {
    const { clusterVersion: version } = clusterVersionBody.check(json);
    const { port } = exchange.context;
    exchange.settle(
      port.raiseClusterVersion(version, exchange.remainingMs(timeoutMs), exchange.signal),
      (clusterVersion) => {
        exchange.consistency = 'linearizable';
        exchange.sendJson(200, JSON.stringify({ clusterVersion }));
      },
    );
  });
}

function hold(exchange: Exchange, held: boolean): void {
  refuseIdempotencyKey(exchange);
  const timeoutMs = checkedTimeoutMs(exchange);
  waitForLeader(exchange);
  exchange.withoutBody(timeoutMs, () => {
    exchange.settle(
      exchange.context.port.holdClusterVersion(held, exchange.unheldMs(timeoutMs), exchange.signal),
      () => {
        exchange.consistency = 'linearizable';
        exchange.sendJson(200, JSON.stringify({ held }));
      },
    );
  });
}

/** Without a leader, a change is held as any other. With one, nobody is redirected. */
function waitForLeader(exchange: Exchange): void {
  exchange.staysHere(true);
}

function checkedTimeoutMs(exchange: Exchange): number {
  const query = new Query(exchange.target.query, names);
  query.redirectNever();
  return query.timeoutMs();
}
