import type { Buffer } from 'node:buffer';
import type { FastifyInstance } from 'fastify';
import { RaftkvError } from '../errors.js';
import type { CommandResult, Revision, TxnCommand } from '../kv/types.js';
import { parseJson } from './body.js';
import { bytesMember } from './bytes.js';
import { type Exchange, endpoint, type HttpContext, jsonBytesMax } from './exchange.js';
import { idempotencyKey, withIdempotency } from './idempotency.js';
import { itemSlices, JsonSlices } from './page.js';
import { Query, queryNames } from './query.js';
import { planRead, type ReadPlan, readNames, requireStarted, withRead } from './reads.js';
import { expectResult, refusalOf } from './results.js';
import { onlyReads, txnCommand } from './txn-body.js';

const readParameters = [...readNames, 'revision'];
const names = queryNames(readParameters);

export function registerTxnRoute(app: FastifyInstance, context: HttpContext): void {
  app.post('/v1/txn', endpoint(context, '/v1/txn', transact));
}

function transact(exchange: Exchange): void {
  const { context, target } = exchange;
  const query = new Query(target.query, names);
  const revision = query.integer('revision', 0);
  const plan = planRead(query, revision ?? 0);
  const repeat = idempotencyKey(exchange);
  // What is read as this node has it needs no leader.
  if (plan.consistency === 'stale') requireStarted(exchange);
  else if (!exchange.staysHere(plan.redirectNever)) return;
  // The largest value fits, also where it is not text.
  const bytesMax = Math.ceil((context.valueBytesMax * 4) / 3) + jsonBytesMax;
  exchange.withBody(bytesMax, plan.timeoutMs, (body) => {
    const command = txnCommand(parseJson(body), context.valueBytesMax);
    // A repeat of a request with a key gets the first answer, so that one goes through the log.
    if (repeat === undefined && onlyReads(command)) {
      readTxn(exchange, command, revision, plan);
      return;
    }
    refuseReadParameters(query);
    const written = context.port.write(
      { ...command, ...withIdempotency(exchange, repeat, body) },
      exchange.remainingMs(plan.timeoutMs),
      exchange.signal,
    );
    exchange.settle(written, (result) => {
      const done = expectResult(exchange, result, 'txn');
      exchange.produce(
        () => resultsJson(done, () => exchange.longWorkTurn()),
        (json) => exchange.sendJson(200, json),
      );
    });
  });
}

function readTxn(
  exchange: Exchange,
  command: TxnCommand,
  revision: Revision | undefined,
  plan: ReadPlan,
): void {
  withRead(exchange, { ...plan, timeoutMs: exchange.remainingMs(plan.timeoutMs) }, () => {
    const signal = exchange.readSignal(plan.timeoutMs);
    const read = async () => {
      const result = await exchange.context.port.readTxn(command, { revision, signal });
      if (result.kind !== 'txn') throw refusalOf(result);
      return resultsJson(result, () => exchange.longWorkTurn(signal));
    };
    exchange.produce(read, (json) => exchange.sendJson(200, json), signal);
  });
}

function refuseReadParameters(query: Query): void {
  const given = readParameters.find((name) => query.has(name));
  if (given === undefined) return;
  throw new RaftkvError(
    'bad_request',
    `"${given}" is for transactions that only read, and that carry no Idempotency-Key: leave it out. Nothing was changed.`,
  );
}

type TxnDone = Extract<CommandResult, { readonly kind: 'txn' }>;

/** In slices, like a page of a listing, which it may be as large as. */
async function resultsJson(
  { succeeded, revision, results }: TxnDone,
  turn: () => Promise<void>,
): Promise<Buffer> {
  const json = new JsonSlices(turn);
  await json.add(`{"succeeded":${succeeded},"revision":${revision},"results":[`);
  for (const [at, result] of results.entries()) {
    if (at > 0) await json.add(',');
    switch (result.kind) {
      case 'put': {
        const granted = result.lease === undefined ? '' : `,"lease":"${result.lease}"`;
        await json.add(`{"put":{${bytesMember('key', result.key)},"created":${result.created}${granted}}}`);
        break;
      }
      case 'add': {
        const { key, value, created } = result;
        await json.add(`{"add":{${bytesMember('key', key)},"value":${value},"created":${created}}}`);
        break;
      }
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
