import { assert } from '../assert.js';
import { CLUSTER_VERSION_MAX, CLUSTER_VERSION_MIN } from '../cluster-version.js';
import { RaftkvError } from '../errors.js';
import { messageType } from './protobuf-schema.js';
import {
  type Command,
  type Compare,
  type CompareOperator,
  type Condition,
  FINGERPRINT_BYTES,
  IDEMPOTENCY_KEY_LENGTH_MAX,
  type Idempotency,
  type LogTime,
  type PutCommand,
  type Revision,
  TTL_MS_MAX,
  TXN_OPERATIONS_MAX,
  type TxnCommand,
  type TxnOperation,
} from './types.js';

/** The longest key, in bytes. A longer one is refused before it is proposed (400). */
export const KEY_BYTES_MAX = 4096;
/** The longest media type, in bytes of UTF-8; its length takes two bytes in the state's records. */
export const CONTENT_TYPE_BYTES_MAX = 65_535;

/** The newest and the oldest format of proto/command.proto that this code reads. */
const FORMAT_VERSION = 3;
const FORMAT_VERSION_OLDEST = 1;

/** The format in which a command is written: the oldest that has what it needs, see src/cluster-version.ts. */
function formatOf(command: Command): number {
  return command.kind === 'raiseVersion' ? 3 : 2;
}

const CommandMessage = messageType('Command');

/** More than a cluster can reach, in about 4,500 years; with a time to live it still fits into 48 bits. */
const LOG_TIME_MS_MAX = 2 ** 47;

/** What the leader appends: the field's number and type, and a double. */
const STAMP_BYTES = 9;
const STAMP_TAG = (15 << 3) | 1;

/** protobufjs gives 64-bit numbers as this where the library `long` is installed, and as numbers elsewhere. */
type Unsigned64 = number | { toNumber(): number };

/** The message as protobufjs decodes it; bytes are views into what was decoded, and absent numbers are 0. */
interface Decoded {
  readonly version: number;
  readonly logTimeMs?: number | null;
  readonly idempotency?: Idempotency | null;
  readonly put?: DecodedPut | null;
  readonly delete?: { readonly key: Uint8Array; readonly condition?: DecodedCondition | null } | null;
  readonly deletePrefix?: { readonly prefix: Uint8Array } | null;
  readonly txn?: {
    readonly compare: readonly DecodedCompare[];
    readonly success: readonly DecodedOperation[];
    readonly failure: readonly DecodedOperation[];
  } | null;
  readonly leaseGrant?: { readonly ttlMs: number } | null;
  readonly leaseKeepAlive?: { readonly lease: number; readonly ttlMs: number } | null;
  readonly leaseRevoke?: { readonly lease: number } | null;
  readonly leaseExpire?: { readonly lease: number; readonly generation: number } | null;
  readonly tick?: object | null;
  readonly raiseVersion?: { readonly version: number } | null;
}

interface DecodedPut {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly contentType: string;
  readonly condition?: DecodedCondition | null;
  readonly lease: number;
  readonly ttlMs: number;
}

interface DecodedCondition {
  readonly condition?: keyof Condition;
  readonly ifRevision: Unsigned64;
  readonly ifAbsent: boolean;
  readonly ifPresent: boolean;
  readonly ifRevisionIn?: DecodedRevisions | null;
  readonly ifRevisionNotIn?: DecodedRevisions | null;
}

interface DecodedRevisions {
  readonly revision: readonly number[];
}

interface DecodedCompare {
  readonly key: Uint8Array;
  readonly target: number;
  readonly operator: number;
  readonly bytes: Uint8Array;
  readonly number: number;
}

interface DecodedOperation {
  readonly kind?: 'put' | 'get' | 'getPrefix' | 'delete' | 'deletePrefix';
  readonly put: DecodedPut;
  readonly get: Uint8Array;
  readonly getPrefix: Uint8Array;
  readonly delete: Uint8Array;
  readonly deletePrefix: Uint8Array;
}

/** In the order of their numbers in proto/command.proto. */
const TARGETS = ['value', 'version', 'createRevision', 'modRevision', 'exists'] as const;
const OPERATORS: readonly CompareOperator[] = ['=', '!=', '<', '>'];

/** A command as a log entry carries it. */
export interface DecodedCommand {
  readonly command: Command;
  /** Log time when it was proposed; undefined for a command of format 1, for which log time stands still. */
  readonly logTimeMs: LogTime | undefined;
}

/**
 * The payload of a log entry, without log time. The command's shape was checked where it came in; breaking it is a
 * programmer error.
 */
export function encodeCommand(command: Command): Uint8Array {
  return CommandMessage.encode(toMessage(command)).finish();
}

/** The payload with log time, which the leader gives it when it proposes it; one that it had already counts no more. */
export function stampCommand(payload: Uint8Array, logTimeMs: LogTime): Uint8Array {
  assertLogTime(logTimeMs);
  const stamped = Buffer.allocUnsafe(payload.length + STAMP_BYTES);
  stamped.set(payload);
  stamped[payload.length] = STAMP_TAG;
  stamped.writeDoubleLE(logTimeMs, payload.length + 1);
  return stamped;
}

/**
 * Reads what {@link encodeCommand} and {@link stampCommand} wrote; keys and values are views into `bytes`. Throws
 * `storage_unusable` when a newer version wrote the command, and `storage_damaged` when the bytes are no command at all:
 * neither can be skipped, because the other members applied it.
 */
export function decodeCommand(bytes: Uint8Array): DecodedCommand {
  let message: Decoded;
  try {
    message = CommandMessage.decode(bytes) as unknown as Decoded;
  } catch (error) {
    throw new RaftkvError(
      'storage_damaged',
      `A committed command cannot be decoded: ${(error as Error).message}. Remove this member, wipe its data directory ` +
        'and start it with --join.',
    );
  }
  const { version, logTimeMs, idempotency } = message;
  if (version < FORMAT_VERSION_OLDEST || version > FORMAT_VERSION) {
    throw fromNewerVersion(`format ${version}, and this version of raftkv reads format ${FORMAT_VERSION}`);
  }
  const command = fromMessage(message);
  if (idempotency) {
    const { key, fingerprint } = idempotency;
    // Making a new command of this one takes several times as long.
    command.idempotency = { key, fingerprint };
  }
  if (logTimeMs === undefined || logTimeMs === null) return { command, logTimeMs: undefined };
  assertLogTime(logTimeMs);
  return { command, logTimeMs };
}

function fromMessage(message: Decoded): Command & { idempotency?: Idempotency } {
  const { put, delete: deletion, deletePrefix, txn } = message;
  if (put) return { kind: 'put', ...fromPut(put), ...fromCondition(put.condition), ...fromTtl(put.ttlMs) };
  if (deletion) return { kind: 'delete', key: deletion.key, ...fromCondition(deletion.condition) };
  if (deletePrefix) return { kind: 'deletePrefix', prefix: deletePrefix.prefix };
  if (txn) {
    return {
      kind: 'txn',
      compare: txn.compare.map(fromCompare),
      success: txn.success.map(fromOperation),
      failure: txn.failure.map(fromOperation),
    };
  }
  const { leaseGrant, leaseKeepAlive, leaseRevoke, leaseExpire, tick, raiseVersion } = message;
  if (leaseGrant) return { kind: 'leaseGrant', ttlMs: leaseGrant.ttlMs };
  if (leaseKeepAlive) {
    return { kind: 'leaseKeepAlive', lease: leaseKeepAlive.lease, ...fromTtl(leaseKeepAlive.ttlMs) };
  }
  if (leaseRevoke) return { kind: 'leaseRevoke', lease: leaseRevoke.lease };
  if (leaseExpire) {
    return { kind: 'leaseExpire', lease: leaseExpire.lease, generation: leaseExpire.generation };
  }
  if (tick) return { kind: 'tick' };
  if (raiseVersion) {
    const { version } = raiseVersion;
    assertInteger(version, CLUSTER_VERSION_MIN);
    if (version > CLUSTER_VERSION_MAX) {
      throw fromNewerVersion(
        `cluster version ${version}, and this version of raftkv speaks cluster version ${CLUSTER_VERSION_MAX}`,
      );
    }
    return { kind: 'raiseVersion', version };
  }
  throw fromNewerVersion('a kind that this version of raftkv does not know');
}

function fromPut({ key, value, contentType, lease }: DecodedPut) {
  return lease === 0 ? { key, value, contentType } : { key, value, contentType, lease };
}

function fromTtl(ttlMs: number): { readonly ttlMs?: number } {
  return ttlMs === 0 ? {} : { ttlMs };
}

function fromCompare({ key, target, operator, bytes, number }: DecodedCompare): Compare {
  const name = TARGETS[target];
  const op = OPERATORS[operator];
  if (op === undefined) throw fromNewerVersion('a comparison that this version of raftkv does not know');
  switch (name) {
    case 'value':
      return { key, target: name, op, value: bytes };
    case 'version':
    case 'createRevision':
    case 'modRevision':
      return { key, target: name, op, value: number };
    case 'exists':
      assert(op === '=' || op === '!=', 'Whether a key exists is compared for being so or not.');
      return { key, target: name, op, value: number === 1 };
    default:
      throw fromNewerVersion('a comparison that this version of raftkv does not know');
  }
}

function fromOperation(operation: DecodedOperation): TxnOperation {
  switch (operation.kind) {
    case 'put':
      return { kind: 'put', ...fromPut(operation.put) };
    case 'get':
      return { kind: 'get', key: operation.get };
    case 'getPrefix':
      return { kind: 'getPrefix', prefix: operation.getPrefix };
    case 'delete':
      return { kind: 'delete', key: operation.delete };
    case 'deletePrefix':
      return { kind: 'deletePrefix', prefix: operation.deletePrefix };
    default:
      throw fromNewerVersion('an operation that this version of raftkv does not know');
  }
}

function toMessage(command: Command): Record<string, unknown> {
  const version = formatOf(command);
  const idempotency = command.idempotency && toIdempotency(command.idempotency);
  switch (command.kind) {
    case 'put': {
      const { lease, ttlMs } = command;
      assert(lease === undefined || ttlMs === undefined, 'A key has one lease at most.');
      const put = toPut(command);
      put.condition = toCondition(command);
      put.ttlMs = toTtl(ttlMs);
      return { version, idempotency, put };
    }
    case 'delete':
      assertKey(command.key);
      return { version, idempotency, delete: { key: command.key, condition: toCondition(command) } };
    case 'deletePrefix':
      assertKey(command.prefix);
      return { version, idempotency, deletePrefix: { prefix: command.prefix } };
    case 'txn':
      return { version, idempotency, txn: toTxn(command) };
    case 'leaseGrant':
      return { version, idempotency, leaseGrant: { ttlMs: toTtl(command.ttlMs) } };
    case 'leaseKeepAlive': {
      const { lease, ttlMs } = command;
      return { version, idempotency, leaseKeepAlive: { lease: toCounter(lease), ttlMs: toTtl(ttlMs) } };
    }
    case 'leaseRevoke':
      return { version, idempotency, leaseRevoke: { lease: toCounter(command.lease) } };
    case 'leaseExpire': {
      const { lease, generation } = command;
      const leaseExpire = { lease: toCounter(lease), generation: toCounter(generation) };
      return { version, idempotency, leaseExpire };
    }
    case 'tick':
      return { version, idempotency, tick: {} };
    case 'raiseVersion':
      assertInteger(command.version, CLUSTER_VERSION_MIN);
      return { version, idempotency, raiseVersion: { version: command.version } };
  }
}

interface PutMessage {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly contentType: string;
  readonly lease: number | undefined;
  condition: Record<string, unknown> | undefined;
  ttlMs: number | undefined;
}

function toPut({ key, value, contentType, lease }: Omit<PutCommand, 'kind'>): PutMessage {
  assertKey(key);
  assert(Buffer.byteLength(contentType) <= CONTENT_TYPE_BYTES_MAX, 'The content type is too long.');
  return { key, value, contentType, lease: toCounter(lease), condition: undefined, ttlMs: undefined };
}

function toTxn({ compare, success, failure }: TxnCommand) {
  for (const { length } of [compare, success, failure]) {
    assert(
      length <= TXN_OPERATIONS_MAX,
      () => `A transaction has at most ${TXN_OPERATIONS_MAX}, not ${length}.`,
    );
  }
  return {
    compare: compare.map(toCompare),
    success: success.map(toOperation),
    failure: failure.map(toOperation),
  };
}

function toIdempotency({ key, fingerprint }: Idempotency): Idempotency {
  assert(key.length >= 1 && key.length <= IDEMPOTENCY_KEY_LENGTH_MAX, 'An idempotency key is too long.');
  assert(fingerprint.length === FINGERPRINT_BYTES, 'A fingerprint has 16 bytes.');
  return { key, fingerprint };
}

function toCompare(compare: Compare): Record<string, unknown> {
  const { key, target, op, value } = compare;
  assertKey(key);
  const message = { key, target: TARGETS.indexOf(target), operator: OPERATORS.indexOf(op) };
  if (typeof value === 'object') return { ...message, bytes: value };
  const number = Number(value);
  assertInteger(number, 0);
  return { ...message, number };
}

function toOperation(operation: TxnOperation): Record<string, unknown> {
  switch (operation.kind) {
    case 'put':
      return { put: toPut(operation) };
    case 'get':
    case 'delete':
      assertKey(operation.key);
      return { [operation.kind]: operation.key };
    case 'getPrefix':
      // An empty one stands for all keys.
      assertKey(operation.prefix, 0);
      return { getPrefix: operation.prefix };
    case 'deletePrefix':
      assertKey(operation.prefix);
      return { deletePrefix: operation.prefix };
  }
}

function toTtl(ttlMs: number | undefined): number | undefined {
  assert((ttlMs ?? 0) <= TTL_MS_MAX, 'A time to live is a year at most.');
  return toCounter(ttlMs);
}

function toCondition(command: Condition): Record<string, unknown> | undefined {
  const { ifRevision, ifRevisionIn, ifRevisionNotIn, ifPresent, ifAbsent } = command;
  const given = [ifRevision, ifRevisionIn, ifRevisionNotIn, ifPresent, ifAbsent];
  assert(given.filter((one) => one !== undefined).length <= 1, 'A command has one condition at most.');
  if (ifAbsent !== undefined) return { ifAbsent };
  if (ifPresent !== undefined) return { ifPresent };
  if (ifRevisionIn !== undefined) return { ifRevisionIn: toRevisions(ifRevisionIn) };
  if (ifRevisionNotIn !== undefined) return { ifRevisionNotIn: toRevisions(ifRevisionNotIn) };
  if (ifRevision === undefined) return undefined;
  assertInteger(ifRevision, 0);
  return { ifRevision };
}

function toRevisions(revision: readonly Revision[]): DecodedRevisions {
  for (const one of revision) assertInteger(one, 0);
  return { revision };
}

function fromCondition(condition: DecodedCondition | null | undefined): Condition {
  if (!condition) return {};
  switch (condition.condition) {
    case 'ifRevision': {
      const { ifRevision } = condition;
      const revision = typeof ifRevision === 'number' ? ifRevision : ifRevision.toNumber();
      assert(Number.isSafeInteger(revision), 'A revision is a safe integer.');
      return { ifRevision: revision };
    }
    case 'ifRevisionIn':
      return { ifRevisionIn: condition.ifRevisionIn?.revision ?? [] };
    case 'ifRevisionNotIn':
      return { ifRevisionNotIn: condition.ifRevisionNotIn?.revision ?? [] };
    case 'ifPresent':
      return { ifPresent: condition.ifPresent };
    case 'ifAbsent':
      return { ifAbsent: condition.ifAbsent };
    default:
      throw fromNewerVersion('a condition that this version of raftkv does not know');
  }
}

/** A number of which 0 on the wire means that it is absent. */
function toCounter(value: number | undefined): number | undefined {
  if (value !== undefined) assertInteger(value, 1);
  return value;
}

function assertLogTime(logTimeMs: LogTime): void {
  assertInteger(logTimeMs, 0);
  assert(logTimeMs <= LOG_TIME_MS_MAX, () => `${logTimeMs} ms is more log time than there can be.`);
}

function assertInteger(value: number, least: number): void {
  assert(
    Number.isSafeInteger(value) && value >= least,
    () => `${value} is not a safe integer from ${least} on.`,
  );
}

function assertKey(key: Uint8Array, bytesMin = 1): void {
  assert(
    key.length >= bytesMin && key.length <= KEY_BYTES_MAX,
    () => `A key has ${bytesMin} to ${KEY_BYTES_MAX} bytes, not ${key.length}.`,
  );
}

function fromNewerVersion(what: string): RaftkvError {
  return new RaftkvError(
    'storage_unusable',
    `A committed command has ${what}. A newer version runs in this cluster: upgrade this node and start it again.`,
  );
}
