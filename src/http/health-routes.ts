import type { FastifyInstance } from 'fastify';
import { RaftkvError } from '../errors.js';
import { type Exchange, endpoint, type HttpContext } from './exchange.js';
import { Query, queryNames } from './query.js';

const names = queryNames([]);

export function registerHealthRoutes(app: FastifyInstance, context: HttpContext): void {
  // A node that shuts down is alive, and its metrics are of interest then: these two go on answering.
  app.get('/healthz', endpoint(context, '/healthz', health, 'whileClosing'));
  app.get('/metrics', endpoint(context, '/metrics', metrics, 'whileClosing'));
  app.get('/readyz', endpoint(context, '/readyz', readiness));
}

function health(exchange: Exchange): void {
  checkQuery(exchange);
  exchange.sendJson(200, '{"status":"alive"}');
}

function readiness(exchange: Exchange): void {
  checkQuery(exchange);
  const { ready, reason } = exchange.context.port.readiness();
  if (!ready) {
    throw new RaftkvError('not_ready', `This node is not ready: ${reason}. Send clients to another one.`, {
      reason,
    });
  }
  exchange.sendJson(200, '{"status":"ready"}');
}

function metrics(exchange: Exchange): void {
  checkQuery(exchange);
  const { metrics, connections } = exchange.context;
  exchange.settle(metrics.text(), (text) => {
    // They say why others are refused; but whoever asks again and again and takes nothing is one of those others.
    exchange.mustAnswer = connections.isUnburdened(exchange.request.socket);
    exchange.send(200, metrics.contentType, text, []);
  });
}

function checkQuery(exchange: Exchange): void {
  const query = new Query(exchange.target.query, names);
  query.timeoutMs();
  query.redirectNever();
}
