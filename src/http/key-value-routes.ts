import { Buffer } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { RaftkvError } from '../errors.js';
import {
  type CommandResult,
  DELETED_KEY_BYTES_MAX,
  DELETED_KEYS_MAX,
  type Item,
  type PutCommand,
  type Revision,
} from '../kv/types.js';
import { asBuffer, bytesMember, keyBytesMax } from './bytes.js';
import {
  judgeRead,
  type ReadCondition,
  readCondition,
  refuseIdempotencyKey,
  writeCondition,
} from './conditions.js';
import { decodeCursor } from './cursor.js';
import { type Exchange, endpoint, type HttpContext } from './exchange.js';
import { pageJson } from './page.js';
import { Query, type QueryNames, queryNames } from './query.js';
import { planRead, type ReadPlan, readNames, withRead } from './reads.js';
import { keyOfPath, keyRoutePath } from './target.js';

const limitDefault = 100;
const limitMax = 1_000;
const contentTypeDefault = 'application/octet-stream';
const contentTypeCharactersMax = 256;

const putNames = queryNames([], ['ttl', 'lease']);
const deleteNames = queryNames([]);
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
  app.route({ method: ['GET', 'HEAD'], url: '/v1/kv', handler: endpoint(context, '/v1/kv', list) });
  app.delete('/v1/kv', endpoint(context, '/v1/kv', removePrefix));
}

function put(exchange: Exchange): void {
  const { context, request, target } = exchange;
  const key = keyOfPath(target.path);
  const { timeoutMs, redirectNever } = writeQuery(target.query, putNames);
  refuseIdempotencyKey(request.headers);
  refuseContentCoding(request.headers);
  const condition = writeCondition(request.headers);
  const contentType = storedContentType(request.headers['content-type']);
  if (!exchange.staysHere(redirectNever)) return;
  exchange.withBody(context.valueBytesMax, timeoutMs, (value) => {
    const plain: PutCommand = { kind: 'put', key, value, contentType };
    const command = condition === undefined ? plain : { ...plain, ...condition };
    exchange.settle(context.port.write(command, exchange.remainingMs(timeoutMs)), (result) => {
      confirmWrite(exchange, result.revision);
      if (result.kind !== 'put') throw unexpected(result, condition?.ifAbsent === true);
      const json = `{${bytesMember('key', key)},"revision":${result.revision},"created":${result.created}}`;
      exchange.sendJson(result.created ? 201 : 200, json, ['ETag', `"${result.revision}"`]);
    });
  });
}

function remove(exchange: Exchange): void {
  const { context, request, target } = exchange;
  const key = keyOfPath(target.path);
  const { timeoutMs, redirectNever } = writeQuery(target.query, deleteNames);
  refuseIdempotencyKey(request.headers);
  const condition = writeCondition(request.headers);
  if (!exchange.staysHere(redirectNever)) return;
  const written = context.port.write({ kind: 'delete', key, ...condition }, timeoutMs);
  exchange.settle(written, (result) => {
    confirmWrite(exchange, result.revision);
    if (result.kind !== 'delete') throw unexpected(result, condition?.ifAbsent === true);
    if (result.deleted === 0) throw keyNotFound();
    exchange.sendJson(200, `{"revision":${result.revision},"deleted":${result.deleted}}`);
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
  const timeoutMs = query.timeoutMs();
  const redirectNever = query.redirectNever();
  refuseIdempotencyKey(request.headers);
  if (writeCondition(request.headers) !== undefined) {
    throw new RaftkvError(
      'bad_request',
      'If-Match and If-None-Match need a single key; leave them out here.',
    );
  }
  if (!exchange.staysHere(redirectNever)) return;
  exchange.settle(context.port.write({ kind: 'deletePrefix', prefix }, timeoutMs), (result) => {
    confirmWrite(exchange, result.revision);
    if (result.kind === 'tooManyKeys') throw tooManyKeys();
    if (result.kind !== 'delete') throw unexpected(result, false);
    exchange.sendJson(200, `{"revision":${result.revision},"deleted":${result.deleted}}`);
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

function sendItem(exchange: Exchange, item: Item | undefined, condition: ReadCondition | undefined): void {
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
  exchange.send(200, contentType, asBuffer(item.value), ['ETag', `"${item.modRevision}"`]);
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
  withRead(exchange, plan, () => {
    const listed = context.port.list({ prefix, after: cursor?.lastKey, limit, keysOnly, revision });
    const page = listed.then((result) => pageJson(result, prefix, keysOnly));
    exchange.settle(page, (json) => exchange.sendJson(200, json));
  });
}

interface WriteQuery {
  readonly timeoutMs: number;
  readonly redirectNever: boolean;
}

const writeQueryDefault: WriteQuery = parseWriteQuery('', deleteNames);

function writeQuery(text: string, names: QueryNames): WriteQuery {
  return text === '' ? writeQueryDefault : parseWriteQuery(text, names);
}

function parseWriteQuery(text: string, names: QueryNames): WriteQuery {
  const query = new Query(text, names);
  return { timeoutMs: query.timeoutMs(), redirectNever: query.redirectNever() };
}

function confirmWrite(exchange: Exchange, revision: Revision): void {
  exchange.consistency = 'linearizable';
  exchange.writtenRevision = revision;
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
  if (header === undefined || header === '' || header === contentTypeDefault) return '';
  // What `curl -d` sends by itself says nothing about the value.
  if (header.toLowerCase().startsWith('application/x-www-form-urlencoded')) return '';
  if (header.length > contentTypeCharactersMax || !mediaType.test(header)) {
    throw new RaftkvError(
      'bad_request',
      'Content-Type is not a media type such as text/plain; charset=utf-8, or is longer than ' +
        `${contentTypeCharactersMax} characters. Correct it or leave it out.`,
    );
  }
  return header;
}

const mediaType = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+\/[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*(;[\x20-\x7e\t]*)?$/;

function keyNotFound(): RaftkvError {
  return new RaftkvError('key_not_found', 'There is no such key at this revision. PUT creates it.');
}

function preconditionFailed(modRevision: Revision): RaftkvError {
  const detail =
    modRevision === 0
      ? 'The key does not exist. Nothing was changed; send If-None-Match: * to create it.'
      : `The key's revision is ${modRevision}. Nothing was changed; read it again and decide anew.`;
  return new RaftkvError('precondition_failed', detail, { revision: modRevision });
}

function tooManyKeys(): RaftkvError {
  return new RaftkvError(
    'too_many_keys',
    `More than ${DELETED_KEYS_MAX} keys start with this prefix, or their names take more than ${DELETED_KEY_BYTES_MAX} bytes. ` +
      'Nothing was deleted; delete them in parts, by longer prefixes, or list them and delete each.',
    { keysMax: DELETED_KEYS_MAX },
  );
}

/** The error for a result that is not the one the command asks for: the condition did not hold, or a mistake. */
function unexpected(result: CommandResult, ifAbsent: boolean): Error {
  if (result.kind !== 'preconditionFailed') return new Error(`The node answered with a ${result.kind}.`);
  if (!ifAbsent) return preconditionFailed(result.modRevision);
  return new RaftkvError(
    'precondition_failed',
    `The key exists already, with revision ${result.modRevision}. Nothing was changed.`,
    { revision: result.modRevision },
  );
}
