import type { Buffer } from 'node:buffer';
import type { FastifyInstance } from 'fastify';
import type { TxnResult } from '../kv/types.js';
import { parseJson } from './body.js';
import { bytesMember } from './bytes.js';
import { type Exchange, endpoint, type HttpContext, jsonBytesMax } from './exchange.js';
import { idempotencyKey, withIdempotency } from './idempotency.js';
import { itemSlices, JsonSlices } from './page.js';
import { Query, queryNames } from './query.js';
import { expectResult } from './results.js';
import { txnCommand } from './txn-body.js';

const names = queryNames([]);

export function registerTxnRoute(app: FastifyInstance, context: HttpContext): void {
  app.post('/v1/txn', endpoint(context, '/v1/txn', transact));
}

function transact(exchange: Exchange): void {
  const { context, target } = exchange;
  const query = new Query(target.query, names);
  const timeoutMs = query.timeoutMs();
  const redirectNever = query.redirectNever();
  const repeat = idempotencyKey(exchange);
  if (!exchange.staysHere(redirectNever)) return;
  // The largest value fits, also where it is not text.
  const bytesMax = Math.ceil((context.valueBytesMax * 4) / 3) + jsonBytesMax;
  exchange.withBody(bytesMax, timeoutMs, (body) => {
    const command = txnCommand(parseJson(body), context.valueBytesMax);
    const written = context.port.write(
      { ...command, ...withIdempotency(exchange, repeat, body) },
      exchange.remainingMs(timeoutMs),
    );
    exchange.settle(written, (result) => {
      const { succeeded, revision, results } = expectResult(exchange, result, 'txn');
      exchange.settle(resultsJson(succeeded, revision, results), (json) => exchange.sendJson(200, json));
    });
  });
}

/** In slices, like a page of a listing, which it may be as large as. */
async function resultsJson(
  succeeded: boolean,
  revision: number,
  results: readonly TxnResult[],
): Promise<Buffer> {
  const json = new JsonSlices();
  await json.add(`{"succeeded":${succeeded},"revision":${revision},"results":[`);
  for (const [at, result] of results.entries()) {
    if (at > 0) await json.add(',');
    switch (result.kind) {
      case 'put':
        await json.add(`{"put":{${bytesMember('key', result.key)},"created":${result.created}}}`);
        break;
      case 'delete':
        await json.add(`{"delete":{"deleted":${result.deleted}}}`);
        break;
      case 'get':
        await json.add('{"get":{"items":[');
        for (const [number, item] of result.items.entries()) {
          if (number > 0) await json.add(',');
          for (const slice of itemSlices(item, false)) await json.add(slice);
        }
        await json.add(']}}');
    }
  }
  await json.add(']}');
  return json.end();
}
