import { messageType } from './protobuf-schema.js';
import type { CommandResult, Item, TxnResult } from './types.js';

const ResultMessage = messageType('Result');

/** The message as protobufjs decodes it: what is absent is 0, false or empty. */
interface Decoded {
  readonly kind: CommandResult['kind'];
  readonly revision: number;
  readonly created: boolean;
  readonly deleted: number;
  readonly modRevision: number;
  readonly lease: number;
  readonly ttlMs: number;
  readonly remaining: boolean;
  readonly succeeded: boolean;
  readonly clusterVersion: number;
  readonly value: number;
  readonly compactedRevision: number;
  readonly results: readonly {
    readonly kind: 'put' | 'add' | 'get' | 'deleted';
    readonly put: { readonly key: Uint8Array; readonly created: boolean; readonly lease: number };
    readonly add: { readonly key: Uint8Array; readonly created: boolean; readonly value: number };
    readonly get: { readonly items: readonly Required<Item>[] };
    readonly deleted: number;
  }[];
}

/** What applying a command gave, for another node or a repeat of the command. Keys and values stay what they are. */
export function encodeResult(result: CommandResult): Uint8Array {
  const message = result.kind === 'txn' ? { ...result, results: result.results.map(toOperation) } : result;
  return ResultMessage.encode(message).finish();
}

/** Reads what {@link encodeResult} wrote; keys and values are views into `bytes`. */
export function decodeResult(bytes: Uint8Array): CommandResult {
  const message = ResultMessage.decode(bytes) as unknown as Decoded;
  const { kind, revision, created, deleted, lease } = message;
  switch (kind) {
    case 'put':
      return lease === 0 ? { kind, revision, created } : { kind, revision, created, lease };
    case 'added':
      return { kind, revision, created, value: message.value };
    case 'compacted':
      return { kind, revision, compactedRevision: message.compactedRevision };
    case 'delete':
      return { kind, revision, deleted };
    case 'txn':
      return { kind, revision, succeeded: message.succeeded, results: message.results.map(fromOperation) };
    case 'lease':
      return { kind, revision, lease, ttlMs: message.ttlMs };
    case 'leaseRevoked':
      return { kind, revision, lease, deleted, remaining: message.remaining };
    case 'preconditionFailed':
      return { kind, revision, modRevision: message.modRevision };
    case 'leaseNotFound':
      return { kind, revision, lease };
    case 'versionRaised':
      return { kind, revision, clusterVersion: message.clusterVersion };
    case 'ticked':
    case 'revisionInFuture':
    case 'tooManyKeys':
    case 'notANumber':
    case 'sumOutOfRange':
    case 'tooManyLeases':
    case 'answerTooLarge':
    case 'leaseKept':
    case 'idempotencyMismatch':
      return { kind, revision };
    default:
      // Of a later version; whoever gets it knows that this is not what it asked for.
      return kind satisfies never;
  }
}

function toOperation(result: TxnResult): Record<string, unknown> {
  switch (result.kind) {
    case 'put':
      return { put: result };
    case 'add':
      return { add: result };
    case 'get':
      return { get: result };
    case 'delete':
      return { deleted: result.deleted };
  }
}

function fromOperation({ kind, put, add, get, deleted }: Decoded['results'][number]): TxnResult {
  switch (kind) {
    case 'put': {
      const { key, created, lease } = put;
      return lease === 0 ? { kind, key, created } : { kind, key, created, lease };
    }
    case 'add':
      return { kind, key: add.key, created: add.created, value: add.value };
    case 'get':
      return { kind, items: get.items.map(fromItem) };
    case 'deleted':
      return { kind: 'delete', deleted };
  }
}

function fromItem(item: Required<Item>): Item {
  const { key, value, createRevision, modRevision, version, contentType, lease } = item;
  const plain = { key, value, createRevision, modRevision, version, contentType };
  return lease === 0 ? plain : { ...plain, lease };
}
