import { Buffer } from 'node:buffer';
import type { FromSchema } from 'json-schema-to-ts';
import { RaftkvError } from '../errors.js';
import {
  CONTENT_TYPE_LENGTH_MAX,
  type Compare,
  type LeaseId,
  TXN_OPERATIONS_MAX,
  type TxnCommand,
  type TxnOperation,
} from '../kv/types.js';
import { keyBytesMax } from './bytes.js';
import { jsonBody } from './json-body.js';
import { toMs } from './lease-routes.js';
import { keptContentType, mediaTypePattern } from './media-type.js';
import { refuseReserved, refuseReservedPrefix } from './reserved.js';
import { ttlSecondsSchema } from './schemas.js';

/** Bytes in JSON: a member `name` with text, or `nameBase64` where they are not UTF-8. */
const textSchema = { type: 'string', description: 'a text' } as const;
const base64Words = 'a text in base64, padded with "="';
/**
 * The length is checked later: a pattern that counts in fours takes tens of milliseconds for a value of 1 MiB, and for one of 4 MiB more
 * stack than there is.
 */
const base64Schema = {
  type: 'string',
  pattern: '^[A-Za-z0-9+/]*={0,2}$',
  description: base64Words,
} as const;

const keyMembers = { key: textSchema, keyBase64: base64Schema } as const;
const leaseSchema = {
  type: 'string',
  pattern: '^[1-9][0-9]{0,15}$',
  description: 'the id of a lease',
} as const;

const contentTypeSchema = {
  type: 'string',
  maxLength: CONTENT_TYPE_LENGTH_MAX,
  pattern: mediaTypePattern,
  description: 'a media type, such as text/plain; charset=utf-8',
} as const;

const counterSchema = {
  type: 'integer',
  minimum: Number.MIN_SAFE_INTEGER,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'a whole number',
} as const;

const keysSchema = {
  type: 'object',
  properties: { ...keyMembers, prefix: textSchema, prefixBase64: base64Schema },
  additionalProperties: false,
} as const;

const operationSchema = {
  type: 'object',
  properties: {
    put: {
      type: 'object',
      properties: {
        ...keyMembers,
        value: textSchema,
        valueBase64: base64Schema,
        contentType: contentTypeSchema,
        lease: leaseSchema,
        ttlSeconds: ttlSecondsSchema,
      },
      additionalProperties: false,
      description: 'a key and a value: {"key":"a","value":"b"}',
    },
    add: {
      type: 'object',
      properties: { ...keyMembers, delta: counterSchema, initial: counterSchema },
      required: ['delta'],
      additionalProperties: false,
      description: 'a counter and how much to add to it: {"key":"n","delta":1}',
    },
    get: {
      ...keysSchema,
      description: 'a key or a prefix: {"key":"a"} or {"prefix":"a"}, or {"prefix":""} for all keys',
    },
    delete: {
      ...keysSchema,
      description: 'a key or a prefix that is not empty: {"key":"a"} or {"prefix":"a"}',
    },
  },
  minProperties: 1,
  maxProperties: 1,
  additionalProperties: false,
  description: 'one operation: {"put":…}, {"add":…}, {"get":…} or {"delete":…}',
} as const;

const branchSchema = {
  type: 'array',
  items: operationSchema,
  maxItems: TXN_OPERATIONS_MAX,
  description: `a list of at most ${TXN_OPERATIONS_MAX} operations`,
} as const;

const compareSchema = {
  type: 'object',
  properties: {
    ...keyMembers,
    target: {
      enum: ['value', 'version', 'createRevision', 'modRevision', 'exists'],
      description: '"value", "version", "createRevision", "modRevision" or "exists"',
    },
    op: { enum: ['=', '!=', '<', '>'], description: '"=", "!=", "<" or ">"' },
    value: {
      type: ['string', 'integer', 'boolean'],
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'a text, a whole number or a truth value, as the target is',
    },
    valueBase64: base64Schema,
  },
  required: ['target', 'op'],
  additionalProperties: false,
} as const;

export const txnBody = jsonBody(
  {
    type: 'object',
    properties: {
      compare: {
        type: 'array',
        items: compareSchema,
        maxItems: TXN_OPERATIONS_MAX,
        description: `a list of at most ${TXN_OPERATIONS_MAX} comparisons`,
      },
      success: branchSchema,
      failure: branchSchema,
    },
    additionalProperties: false,
  },
  '{"compare":[{"key":"a","target":"exists","op":"=","value":false}],"success":[{"put":{"key":"a","value":"b"}}],"failure":[]}',
);

/** The command of a body. Throws `bad_request`, or `value_too_large`. */
export function txnCommand(body: unknown, valueBytesMax: number): TxnCommand {
  const { compare = [], success = [], failure = [] } = txnBody.check(body);
  return {
    kind: 'txn',
    compare: compare.map((one, at) => toCompare(one, `compare[${at}]`)),
    success: toBranch(success, 'success', valueBytesMax),
    failure: toBranch(failure, 'failure', valueBytesMax),
  };
}

/** Whether a transaction changes nothing, whichever branch it takes: it can be answered as a read, without the log. */
export function onlyReads({ success, failure }: TxnCommand): boolean {
  const isRead = ({ kind }: TxnOperation) => kind === 'get' || kind === 'getPrefix';
  return success.every(isRead) && failure.every(isRead);
}

function toBranch(
  operations: readonly FromSchema<typeof operationSchema>[],
  name: string,
  valueBytesMax: number,
): readonly TxnOperation[] {
  const written = new Set<string>();
  return operations.map((operation, at) => {
    const place = `${name}[${at}]`;
    const made = toOperation(operation, place, valueBytesMax);
    if (made.kind === 'put' || made.kind === 'add' || made.kind === 'delete') {
      const id = Buffer.from(made.key).toString('latin1');
      // A revision has one version of a key; the other one would be lost without a word.
      if (written.has(id)) throw wrong(place, 'it changes a key that this branch has changed already');
      written.add(id);
    }
    return made;
  });
}

function toOperation(
  { put, add, get, delete: deletion }: FromSchema<typeof operationSchema>,
  place: string,
  valueBytesMax: number,
): TxnOperation {
  if (put !== undefined) {
    const key = keyOf(put, `${place}.put`);
    refuseReserved(key);
    const value = bytesOf('value', put.value, put.valueBase64, `${place}.put`);
    if (value.length > valueBytesMax) {
      throw new RaftkvError(
        'value_too_large',
        `The value of ${place} has ${value.length} bytes; ${valueBytesMax} are allowed. Store less, or in parts.`,
        { bytesMax: valueBytesMax },
      );
    }
    return {
      kind: 'put',
      key,
      value,
      contentType: keptContentType(put.contentType),
      ...attachment(put, place),
    };
  }
  if (add !== undefined) {
    const key = keyOf(add, `${place}.add`);
    refuseReserved(key);
    // JSON has a -0, which is no other number.
    return { kind: 'add', key, delta: add.delta + 0, initial: (add.initial ?? 0) + 0 };
  }
  if (get !== undefined) {
    return isPrefix(get)
      ? { kind: 'getPrefix', prefix: prefixOf(get, 0, `${place}.get`) }
      : { kind: 'get', key: keyOf(get, `${place}.get`) };
  }
  const what = deletion ?? {};
  if (!isPrefix(what)) {
    const key = keyOf(what, `${place}.delete`);
    refuseReserved(key);
    return { kind: 'delete', key };
  }
  // Not an empty one, so that a slip does not delete everything.
  const prefix = prefixOf(what, 1, `${place}.delete`);
  refuseReservedPrefix(prefix);
  return { kind: 'deletePrefix', prefix };
}

function attachment(
  { lease, ttlSeconds }: { readonly lease?: string; readonly ttlSeconds?: number },
  place: string,
): { readonly lease?: LeaseId; readonly ttlMs?: number } {
  if (lease !== undefined && ttlSeconds !== undefined) {
    throw wrong(
      `${place}.put`,
      '"ttlSeconds" gives the key a lease of its own, and "lease" an existing one; give one of them',
    );
  }
  if (lease !== undefined) {
    const id = Number(lease);
    if (!Number.isSafeInteger(id)) throw wrong(`${place}.put`, 'there is no lease of so great a number');
    return { lease: id };
  }
  return ttlSeconds === undefined ? {} : { ttlMs: toMs(ttlSeconds) };
}

function toCompare(given: FromSchema<typeof compareSchema>, place: string): Compare {
  const { target, op, value, valueBase64 } = given;
  const key = keyOf(given, place);
  if (target === 'value') {
    if (value !== undefined && typeof value !== 'string')
      throw wrong(place, 'the value of a key is compared with a text');
    return { key, target, op, value: bytesOf('value', value, valueBase64, place) };
  }
  if (valueBase64 !== undefined) throw wrong(place, 'only the target "value" is compared with bytes');
  if (target === 'exists') {
    if (typeof value !== 'boolean') throw wrong(place, '"exists" is compared with true or false');
    if (op !== '=' && op !== '!=') throw wrong(place, '"exists" is compared by "=" or "!="');
    return { key, target, op, value };
  }
  if (typeof value !== 'number') throw wrong(place, `"${target}" is compared with a whole number`);
  return { key, target, op, value };
}

interface Named {
  readonly key?: string;
  readonly keyBase64?: string;
  readonly prefix?: string;
  readonly prefixBase64?: string;
}

function isPrefix({ prefix, prefixBase64 }: Named): boolean {
  return prefix !== undefined || prefixBase64 !== undefined;
}

function keyOf({ key, keyBase64 }: Named, place: string): Buffer {
  return checkLength(bytesOf('key', key, keyBase64, place), 1, 'key', place);
}

function prefixOf(named: Named, bytesMin: number, place: string): Buffer {
  if (named.key !== undefined || named.keyBase64 !== undefined)
    throw wrong(place, 'give a key or a prefix, not both');
  return checkLength(bytesOf('prefix', named.prefix, named.prefixBase64, place), bytesMin, 'prefix', place);
}

function checkLength(bytes: Buffer, bytesMin: number, name: string, place: string): Buffer {
  if (bytes.length >= bytesMin && bytes.length <= keyBytesMax) return bytes;
  throw wrong(place, `the ${name} has ${bytes.length} bytes; ${bytesMin} to ${keyBytesMax} are allowed`);
}

function bytesOf(name: string, text: string | undefined, base64: string | undefined, place: string): Buffer {
  if (text !== undefined && base64 !== undefined)
    throw wrong(place, `give "${name}" or "${name}Base64", not both`);
  if (text !== undefined) return Buffer.from(text, 'utf8');
  if (base64 !== undefined) {
    if (base64.length % 4 !== 0) throw wrong(place, `"${name}Base64" must be ${base64Words}`);
    return Buffer.from(base64, 'base64');
  }
  throw wrong(place, `"${name}" is missing (or "${name}Base64", where it is not a text)`);
}

function wrong(place: string, reason: string): RaftkvError {
  return new RaftkvError('bad_request', `${place} is wrong: ${reason}. Correct it; nothing was changed.`);
}
