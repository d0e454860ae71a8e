import type { FastifyInstance } from 'fastify';
import { parseJson } from './body.js';
import { type Exchange, endpoint, type HttpContext } from './exchange.js';
import { idempotencyKey, withIdempotency } from './idempotency.js';
import { jsonBody } from './json-body.js';
import { Query, queryNames } from './query.js';
import { expectResult } from './results.js';

const names = queryNames([]);
const bodyBytesMax = 1_024;

export const compactBody = jsonBody(
  {
    type: 'object',
    properties: {
      revision: {
        type: 'integer',
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'the oldest revision that is kept, a whole number from 1 on',
      },
    },
    additionalProperties: false,
  },
  '{"revision":42}, or {} for all of the past',
);

export function registerCompactRoute(app: FastifyInstance, context: HttpContext): void {
  app.post('/v1/compact', endpoint(context, '/v1/compact', compact));
}

function compact(exchange: Exchange): void {
  const query = new Query(exchange.target.query, names);
  const timeoutMs = query.timeoutMs();
  const redirectNever = query.redirectNever();
  const repeat = idempotencyKey(exchange);
  if (!exchange.staysHere(redirectNever)) return;
  exchange.withBody(bodyBytesMax, timeoutMs, (body) => {
    const { revision } = compactBody.check(parseJson(body));
    const upTo = revision === undefined ? {} : { revision };
    const written = exchange.context.port.write(
      { kind: 'compact', ...upTo, ...withIdempotency(exchange, repeat, body) },
      exchange.remainingMs(timeoutMs),
      exchange.signal,
    );
    exchange.settle(written, (result) => {
      const { revision: newest, compactedRevision } = expectResult(exchange, result, 'compacted');
      exchange.sendJson(200, `{"revision":${newest},"compactedRevision":${compactedRevision}}`);
    });
  });
}
