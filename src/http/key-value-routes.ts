import { Buffer } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { RaftkvError } from '../errors.js';
import {
  CONTENT_TYPE_LENGTH_MAX,
  type Item,
  type LeaseId,
  type PutCommand,
  type Revision,
  TTL_MS_MAX,
} from '../kv/types.js';
import { asBuffer, bytesMember, keyBytesMax } from './bytes.js';
import { judgeRead, type ReadCondition, readCondition, writeCondition } from './conditions.js';
import { decodeCursor } from './cursor.js';
import { type Exchange, endpoint, type HttpContext } from './exchange.js';
import { idempotencyKey, idempotencyOf, withIdempotency } from './idempotency.js';
import { contentTypeDefault, keptContentType, mediaTypePattern } from './media-type.js';
import { pageJson } from './page.js';
import { parseDurationMs, Query, type QueryNames, queryNames } from './query.js';
import { planRead, type ReadPlan, readNames, requireStarted, withRead } from './reads.js';
import { refuseReserved, refuseReservedPrefix } from './reserved.js';
import { expectResult, keyNotFound, preconditionFailed } from './results.js';
import { keyOfPath, keyRoutePath } from './target.js';

const limitDefault = 100;
const limitMax = 1_000;
/** As for a lease that is granted by itself. */
const ttlMsMin = 1_000;

const putNames = queryNames(['ttl', 'lease']);
const deleteNames = queryNames([]);
const addNames = queryNames(['add', 'initial']);
const getNames = queryNames([...readNames, 'revision']);
const listNames = queryNames([...readNames, 'revision', 'prefix', 'limit', 'cursor', 'keysOnly']);
const deletePrefixNames = queryNames(['prefix']);

export function registerKeyValueRoutes(app: FastifyInstance, context: HttpContext): void {
  app.put(keyRoutePath, endpoint(context, '/v1/kv/{key}', put));
  app.route({
    method: ['GET', 'HEAD'],
    url: keyRoutePath,
    handler: endpoint(context, '/v1/kv/{key}', get),
  });
  app.delete(keyRoutePath, endpoint(context, '/v1/kv/{key}', remove));
  app.post(keyRoutePath, endpoint(context, '/v1/kv/{key}', add));
  app.route({ method: ['GET', 'HEAD'], url: '/v1/kv', handler: endpoint(context, '/v1/kv', list) });
  app.delete('/v1/kv', endpoint(context, '/v1/kv', removePrefix));
}

function put(exchange: Exchange): void {
  const { context, request, target } = exchange;
  const key = keyOfPath(target.path);
  refuseReserved(key);
  const { timeoutMs, redirectNever, attach } = writeQuery(target.query, putNames);
  const repeat = idempotencyKey(exchange);
  refuseContentCoding(request.headers);
  const condition = writeCondition(request.headers);
  const contentType = storedContentType(request.headers['content-type']);
  if (!exchange.staysHere(redirectNever)) return;
  exchange.withBody(context.valueBytesMax, timeoutMs, (value) => {
    const plain: PutCommand =
      repeat === undefined
        ? { kind: 'put', key, value, contentType }
        : { kind: 'put', key, value, contentType, idempotency: idempotencyOf(exchange, repeat, value) };
    // Most puts are plain, and spreading takes longer than all else that is done with them here.
    const isPlain = condition === undefined && attach === undefined;
    const command = isPlain ? plain : { ...plain, ...condition, ...attach };
    exchange.settle(
      context.port.write(command, exchange.remainingMs(timeoutMs), exchange.signal),
      (result) => {
        const { created, revision, lease } = expectResult(exchange, result, 'put');
        const granted = lease === undefined ? '' : `,"lease":"${lease}"`;
        const json = `{${bytesMember('key', key)},"revision":${revision},"created":${created}${granted}}`;
        exchange.sendJson(created ? 201 : 200, json, [], `ETag: "${revision}"\r\n`);
      },
    );
  });
}

function remove(exchange: Exchange): void {
  const { context, request, target } = exchange;
  const key = keyOfPath(target.path);
  refuseReserved(key);
  const { timeoutMs, redirectNever } = writeQuery(target.query, deleteNames);
  const repeat = idempotencyKey(exchange);
  const condition = writeCondition(request.headers);
  if (!exchange.staysHere(redirectNever)) return;
  exchange.withoutBody(timeoutMs, () => {
    const written = context.port.write(
      { kind: 'delete', key, ...condition, ...withIdempotency(exchange, repeat, undefined) },
      exchange.unheldMs(timeoutMs),
      exchange.signal,
    );
    exchange.settle(written, (result) => {
      const { deleted, revision } = expectResult(exchange, result, 'delete');
      if (deleted === 0) throw keyNotFound();
      exchange.sendJson(200, `{"revision":${revision},"deleted":${deleted}}`);
    });
  });
}

function add(exchange: Exchange): void {
  const { context, request, target } = exchange;
  const key = keyOfPath(target.path);
  refuseReserved(key);
  const query = new Query(target.query, addNames);
  const delta = query.signed('add');
  if (delta === undefined) {
    throw new RaftkvError(
      'bad_request',
      'A POST to a key adds to a counter: say how much, as in ?add=1. To store a value, PUT it.',
    );
  }
  const initial = query.signed('initial') ?? 0;
  const timeoutMs = query.timeoutMs();
  const redirectNever = query.redirectNever();
  const repeat = idempotencyKey(exchange);
  if (writeCondition(request.headers) !== undefined) {
    throw new RaftkvError('bad_request', 'An add takes no If-Match and no If-None-Match; leave them out.');
  }
  if (!exchange.staysHere(redirectNever)) return;
  exchange.withoutBody(timeoutMs, () => {
    const written = context.port.write(
      { kind: 'add', key, delta, initial, ...withIdempotency(exchange, repeat, undefined) },
      exchange.unheldMs(timeoutMs),
      exchange.signal,
    );
    exchange.settle(written, (result) => {
      const { created, revision, value } = expectResult(exchange, result, 'added');
      const json = `{${bytesMember('key', key)},"value":${value},"revision":${revision},"created":${created}}`;
      exchange.sendJson(created ? 201 : 200, json, ['ETag', `"${revision}"`]);
    });
  });
}

function removePrefix(exchange: Exchange): void {
  const { context, request, target } = exchange;
  const query = new Query(target.query, deletePrefixNames);
  const prefix = query.bytes('prefix');
  if (prefix === undefined || prefix.length === 0) {
    throw new RaftkvError(
      'bad_request',
      'Deleting many keys needs a prefix that is not empty, so that a slip does not delete everything: ' +
        'DELETE /v1/kv?prefix=… To delete one key, write it after /v1/kv/.',
    );
  }
  checkPrefix(prefix);
  refuseReservedPrefix(prefix);
  const timeoutMs = query.timeoutMs();
  const redirectNever = query.redirectNever();
  const repeat = idempotencyKey(exchange);
  if (writeCondition(request.headers) !== undefined) {
    throw new RaftkvError(
      'bad_request',
      'If-Match and If-None-Match need a single key; leave them out here.',
    );
  }
  if (!exchange.staysHere(redirectNever)) return;
  exchange.withoutBody(timeoutMs, () => {
    const written = context.port.write(
      { kind: 'deletePrefix', prefix, ...withIdempotency(exchange, repeat, undefined) },
      exchange.unheldMs(timeoutMs),
      exchange.signal,
    );
    exchange.settle(written, (result) => {
      const { deleted, revision } = expectResult(exchange, result, 'delete');
      exchange.sendJson(200, `{"revision":${revision},"deleted":${deleted}}`);
    });
  });
}

function get(exchange: Exchange): void {
  const { context, request, target } = exchange;
  const key = keyOfPath(target.path);
  const condition = readCondition(request.headers);
  let plan = linearizableRead;
  let revision: Revision | undefined;
  if (target.query !== '') {
    const query = new Query(target.query, getNames);
    revision = query.integer('revision', 0);
    plan = planRead(query, revision ?? 0);
  }
  withRead(exchange, plan, () => sendItem(exchange, context.port.get(key, revision), condition));
}

/** The plan of a read that says nothing of its own. */
const linearizableRead: ReadPlan = planRead(new Query('', getNames), 0);

/** A value is data, whatever its type says: as a page it runs nothing and is of no origin. */
const asData = "Content-Security-Policy: sandbox; default-src 'none'\r\n";
/** No other page can embed it. Only browsers need to be told. */
const notEmbedded = 'Cross-Origin-Resource-Policy: same-origin\r\n';

function sendItem(exchange: Exchange, item: Item | undefined, condition: ReadCondition | undefined): void {
  // A cache may keep it and must ask whether it still holds; of the past, too, which is compacted one day. The tag is a revision, and
  // a cluster that was rebuilt gives out the same ones again: only under a URL that names the cluster does a tag stand for one value.
  if (exchange.namesCluster) exchange.caching = 'no-cache';
  if (condition !== undefined) {
    const verdict = judgeRead(condition, item?.modRevision);
    if (verdict === 'preconditionFailed') throw preconditionFailed(item?.modRevision ?? 0);
    if (verdict === 'notModified' && item !== undefined) {
      exchange.send(304, null, null, ['ETag', `"${item.modRevision}"`]);
      return;
    }
  }
  if (item === undefined) throw keyNotFound();
  const contentType = item.contentType === '' ? contentTypeDefault : item.contentType;
  const { modRevision, version, createRevision, lease } = item;
  let lines = `ETag: "${modRevision}"\r\nRaftkv-Version: ${version}\r\nRaftkv-Create-Revision: ${createRevision}\r\n${asData}`;
  if (exchange.isAskedByPage) lines += notEmbedded;
  if (lease !== undefined) lines += `Raftkv-Lease: ${lease}\r\n`;
  exchange.send(200, contentType, asBuffer(item.value), [], lines);
}

function list(exchange: Exchange): void {
  const { context, target } = exchange;
  const query = new Query(target.query, listNames);
  const prefix = query.bytes('prefix') ?? Buffer.alloc(0);
  checkPrefix(prefix);
  const limit = query.integer('limit', 1, limitMax) ?? limitDefault;
  const keysOnly = query.flag('keysOnly');
  const cursorText = query.text('cursor');
  // Empty for the first page, so that a client can fill in one pattern for all pages.
  const cursor = cursorText ? decodeCursor(cursorText, prefix) : undefined;
  const asked = query.integer('revision', 0);
  if (cursor !== undefined && asked !== undefined && asked !== cursor.revision) {
    throw new RaftkvError(
      'bad_request',
      `"cursor" goes on with a listing of revision ${cursor.revision}; leave "revision" out.`,
    );
  }
  const revision = cursor?.revision ?? asked;
  const plan = planRead(query, revision ?? 0);
  requireStarted(exchange);
  withRead(exchange, plan, () => {
    const signal = exchange.readSignal(plan.timeoutMs);
    const makePage = async () => {
      const after = cursor?.lastKey;
      const result = await context.port.list({ prefix, after, limit, keysOnly, revision, signal });
      return pageJson(result, prefix, keysOnly, () => exchange.longWorkTurn(signal));
    };
    exchange.produce(makePage, (json) => exchange.sendJson(200, json), signal);
  });
}

interface WriteQuery {
  readonly timeoutMs: number;
  readonly redirectNever: boolean;
  /** The lease that a put asks for; undefined for none. */
  readonly attach: { readonly ttlMs: number } | { readonly lease: LeaseId } | undefined;
}

const writeQueryDefault: WriteQuery = parseWriteQuery('', deleteNames);

function writeQuery(text: string, names: QueryNames): WriteQuery {
  return text === '' ? writeQueryDefault : parseWriteQuery(text, names);
}

function parseWriteQuery(text: string, names: QueryNames): WriteQuery {
  const query = new Query(text, names);
  return { timeoutMs: query.timeoutMs(), redirectNever: query.redirectNever(), attach: attachment(query) };
}

function attachment(query: Query): WriteQuery['attach'] {
  const ttl = query.text('ttl');
  const lease = query.integer('lease', 1);
  if (ttl !== undefined && lease !== undefined) {
    throw new RaftkvError(
      'bad_request',
      '"ttl" gives the key a lease of its own, and "lease" an existing one; send one of them.',
    );
  }
  if (lease !== undefined) return { lease };
  if (ttl === undefined) return undefined;
  return { ttlMs: parseDurationMs(ttl, 'ttl', ttlMsMin, TTL_MS_MAX) };
}

function checkPrefix(prefix: Buffer): void {
  if (prefix.length > keyBytesMax) {
    throw new RaftkvError(
      'bad_request',
      `The prefix has ${prefix.length} bytes, and keys have at most ${keyBytesMax}. Shorten it.`,
    );
  }
}

/** A coding or a range would have to be given back with the value, which has room for a media type only. */
function refuseContentCoding(headers: IncomingHttpHeaders): void {
  const coding = headers['content-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== 'identity') {
    throw new RaftkvError(
      'bad_request',
      'Content-Encoding is not kept with a value. Send the bytes without it, under a Content-Type of their own.',
    );
  }
  if (headers['content-range'] !== undefined) {
    throw new RaftkvError('bad_request', 'A value is put as a whole; leave Content-Range out.');
  }
}

/** The media type to keep with a value; '' stands for the default. */
function storedContentType(header: string | undefined): string {
  if (header === undefined || header === '') return '';
  // What `curl -d` sends by itself says nothing about the value.
  if (/^application\/x-www-form-urlencoded *(?:;|$)/i.test(header)) return '';
  if (header.length > CONTENT_TYPE_LENGTH_MAX || !mediaType.test(header)) {
    throw new RaftkvError(
      'bad_request',
      'Content-Type is not a media type such as text/plain; charset=utf-8, or is longer than ' +
        `${CONTENT_TYPE_LENGTH_MAX} characters. Correct it or leave it out.`,
    );
  }
  return keptContentType(header);
}

const mediaType = new RegExp(mediaTypePattern);
