import protobuf from 'protobufjs';
import { assert } from '../assert.js';
import { CLUSTER_VERSION_MAX, CLUSTER_VERSION_MIN, type ClusterVersion } from '../cluster-version.js';
import { RaftkvError } from '../errors.js';
import { readPlainPut } from './plain-put.js';
import { messageType } from './protobuf-schema.js';
import { checkWire, UnknownField, wireRules } from './strict-protobuf.js';
import {
  type AddCommand,
  CONDITION_REVISIONS_MAX,
  CONTENT_TYPE_LENGTH_MAX,
  type Command,
  type Compare,
  type CompareOperator,
  type Condition,
  type DeletePrefixCommand,
  FINGERPRINT_BYTES,
  IDEMPOTENCY_KEY_LENGTH_MAX,
  type Idempotency,
  KEY_BYTES_MAX,
  LOG_TIME_MS_MAX,
  type LogTime,
  mediaTypeText,
  type PutCommand,
  type Revision,
  TTL_MS_MAX,
  TXN_OPERATIONS_MAX,
  type TxnCommand,
  type TxnOperation,
  VALUE_BYTES_LIMIT,
} from './types.js';

/** The longest encoded command: a transaction with the largest body that the HTTP API accepts, and room beside it. */
export const COMMAND_BYTES_MAX = 2 * VALUE_BYTES_LIMIT;

/** The newest and the oldest format of proto/command.proto that this code reads. */
const FORMAT_VERSION = 3;
const FORMAT_VERSION_OLDEST = 1;

/** The cluster version from which on a command may be proposed: before that, a member may run a program that cannot read it. */
export function neededVersion(command: Command): ClusterVersion {
  return formatOf(command) <= 2 ? 1 : 2;
}

/** The format in which a command is written: the oldest that has what it needs, see src/cluster-version.ts. */
function formatOf(command: Command): number {
  switch (command.kind) {
    case 'add':
    case 'compact':
    case 'raiseVersion':
      return 3;
    case 'txn':
      return command.isBounded === true || [command.success, command.failure].some(isOfFormat3) ? 3 : 2;
    default:
      return 2;
  }
}

function isOfFormat3(branch: readonly TxnOperation[]): boolean {
  return branch.some(
    (operation) => operation.kind === 'add' || (operation.kind === 'put' && operation.ttlMs !== undefined),
  );
}

const CommandMessage = messageType('Command');
const commandRules = wireRules(CommandMessage);

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
    readonly isBounded: boolean;
  } | null;
  readonly leaseGrant?: { readonly ttlMs: number } | null;
  readonly leaseKeepAlive?: { readonly lease: number; readonly ttlMs: number } | null;
  readonly leaseRevoke?: { readonly lease: number } | null;
  readonly leaseExpire?: { readonly lease: number; readonly generation: number } | null;
  readonly tick?: object | null;
  readonly raiseVersion?: { readonly version: number; readonly unlessHeld: boolean } | null;
  readonly add?: DecodedAdd | null;
  readonly compact?: { readonly revision: number } | null;
}

interface DecodedPut {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly contentType: string;
  readonly condition?: DecodedCondition | null;
  readonly lease: number;
  readonly ttlMs: number;
}

interface DecodedAdd {
  readonly key: Uint8Array;
  readonly delta: number;
  readonly initial: number;
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
  readonly kind?: TxnOperation['kind'];
  readonly put: DecodedPut;
  readonly get: Uint8Array;
  readonly getPrefix: Uint8Array;
  readonly delete: Uint8Array;
  readonly deletePrefix: Uint8Array;
  readonly add: DecodedAdd;
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

/** The payload of a command that has no log time yet, with the log time that the leader gives it when it proposes it. */
export function stampCommand(payload: Uint8Array, logTimeMs: LogTime): Uint8Array {
  assertLogTime(logTimeMs);
  const stamped = Buffer.allocUnsafe(payload.length + STAMP_BYTES);
  stamped.set(payload);
  stamped[payload.length] = STAMP_TAG;
  stamped.writeDoubleLE(logTimeMs, payload.length + 1);
  return stamped;
}

/** Whether applying a command may take lasting room on disk; what deletes, or is none, does not. */
export function needsRoom(payload: Uint8Array): boolean {
  const { command } = decodeCommand(payload);
  if (command.kind === 'leaseGrant') return true;
  const operations = command.kind === 'txn' ? [...command.success, ...command.failure] : [command];
  return operations.some(({ kind }) => kind === 'put' || kind === 'add');
}

/** Where operations on prefixes stand, by the field numbers of proto/command.proto. */
interface FieldTree {
  readonly [field: number]: FieldTree | true;
}
const walkingOperations: FieldTree = { 3: true, 5: true };
const walkingFields: FieldTree = { 4: true, 5: { 2: walkingOperations, 3: walkingOperations } };

/** The command of a payload, where it walks prefixes. Undefined for others, which are not decoded, and where the bytes are no command. */
export function walkingCommand(payload: Uint8Array): TxnCommand | DeletePrefixCommand | undefined {
  try {
    if (!holdsField(protobuf.Reader.create(payload), payload.length, walkingFields)) return undefined;
    const { command } = decodeCommand(payload);
    return command.kind === 'txn' || command.kind === 'deletePrefix' ? command : undefined;
  } catch {
    return undefined;
  }
}

function holdsField(reader: protobuf.Reader, end: number, fields: FieldTree): boolean {
  while (reader.pos < end) {
    const tag = reader.uint32();
    const within = fields[tag >>> 3];
    if (within === true) return true;
    if (within === undefined) reader.skipType(tag & 7);
    else if (holdsField(reader, reader.uint32() + reader.pos, within)) return true;
  }
  return false;
}

/**
 * Reads what {@link encodeCommand} and {@link stampCommand} wrote, and checks all that the HTTP API promises of a command;
 * keys and values are views into `bytes`. Throws `storage_unusable` when a newer version wrote the command, and
 * `storage_damaged` when the bytes are no command that any version writes.
 */
export function decodeCommand(bytes: Uint8Array): DecodedCommand {
  return readPlainPut(bytes) ?? decodeAnyCommand(bytes);
}

/** The same without the short way for plain puts. */
export function decodeAnyCommand(bytes: Uint8Array): DecodedCommand {
  if (bytes.length > COMMAND_BYTES_MAX) throw malformed(`It has ${bytes.length} bytes.`);
  const message = decodeMessage(bytes);
  const { version, logTimeMs, idempotency } = message;
  if (version > FORMAT_VERSION) {
    throw fromNewerVersion(`format ${version}, and this version of raftkv reads format ${FORMAT_VERSION}`);
  }
  if (version < FORMAT_VERSION_OLDEST) throw malformed('It names no format.');
  const command = fromMessage(message);
  // Older members would take it for something else, or for nothing.
  if (formatOf(command) > Math.max(version, 2))
    throw malformed(`Format ${version} has no such ${command.kind}.`);
  try {
    checkWire(commandRules, bytes);
  } catch (error) {
    throw error instanceof UnknownField
      ? fromNewerVersion(error.message)
      : malformed((error as Error).message);
  }
  if (idempotency) {
    const { key, fingerprint } = idempotency;
    if (!isIdempotencyKey(key)) {
      throw malformed(
        `Its idempotency key is not 1 to ${IDEMPOTENCY_KEY_LENGTH_MAX} characters without control characters.`,
      );
    }
    if (fingerprint.length !== FINGERPRINT_BYTES) throw malformed('Its fingerprint has not 16 bytes.');
    // Making a new command of this one takes several times as long.
    command.idempotency = { key, fingerprint };
  }
  if (logTimeMs === undefined || logTimeMs === null) return { command, logTimeMs: undefined };
  if (!isInteger(logTimeMs, 0) || logTimeMs > LOG_TIME_MS_MAX) {
    throw malformed(`Its log time, ${logTimeMs} ms, is not a whole number that a cluster can reach.`);
  }
  return { command, logTimeMs };
}

function decodeMessage(bytes: Uint8Array): Decoded {
  try {
    return CommandMessage.decode(bytes) as unknown as Decoded;
  } catch (error) {
    throw malformed(`It cannot be decoded: ${(error as Error).message}.`);
  }
}

function fromMessage(message: Decoded): Command & { idempotency?: Idempotency } {
  const { put, delete: deletion, deletePrefix, txn } = message;
  if (put) {
    const plain = fromPut(put);
    // Most puts are plain, and spreading takes longer than checking them.
    if (!put.condition && put.ttlMs === 0) return plain;
    return { ...plain, ...fromCondition(put.condition), ...fromTtl(put.ttlMs) };
  }
  if (deletion) return { kind: 'delete', key: asKey(deletion.key), ...fromCondition(deletion.condition) };
  if (deletePrefix) return { kind: 'deletePrefix', prefix: asKey(deletePrefix.prefix) };
  if (txn) {
    return {
      kind: 'txn',
      compare: asList(txn.compare).map(fromCompare),
      success: asList(txn.success).map(fromOperation),
      failure: asList(txn.failure).map(fromOperation),
      ...(txn.isBounded ? { isBounded: true } : {}),
    };
  }
  const { leaseGrant, leaseKeepAlive, leaseRevoke, leaseExpire, tick, raiseVersion } = message;
  if (leaseGrant) return { kind: 'leaseGrant', ttlMs: asTtl(leaseGrant.ttlMs) };
  if (leaseKeepAlive) {
    return { kind: 'leaseKeepAlive', lease: asId(leaseKeepAlive.lease), ...fromTtl(leaseKeepAlive.ttlMs) };
  }
  if (leaseRevoke) return { kind: 'leaseRevoke', lease: asId(leaseRevoke.lease) };
  if (leaseExpire) {
    return {
      kind: 'leaseExpire',
      lease: asId(leaseExpire.lease),
      generation: asId(leaseExpire.generation),
    };
  }
  if (tick) return { kind: 'tick' };
  if (raiseVersion) {
    const version = asInteger(raiseVersion.version, CLUSTER_VERSION_MIN);
    if (version > CLUSTER_VERSION_MAX) {
      throw fromNewerVersion(
        `cluster version ${version}, and this version of raftkv speaks cluster version ${CLUSTER_VERSION_MAX}`,
      );
    }
    return raiseVersion.unlessHeld
      ? { kind: 'raiseVersion', version, unlessHeld: true }
      : { kind: 'raiseVersion', version };
  }
  const { add, compact } = message;
  if (add) return fromAdd(add);
  if (compact) return { kind: 'compact', ...fromRevision(asInteger(compact.revision)) };
  throw fromNewerVersion('a kind that this version of raftkv does not know');
}

function fromRevision(revision: Revision): { readonly revision?: Revision } {
  return revision === 0 ? {} : { revision };
}

function fromAdd({ key, delta, initial }: DecodedAdd) {
  return { kind: 'add' as const, key: asKey(key), delta: asSigned(delta), initial: asSigned(initial) };
}

function fromPut({
  key,
  value,
  contentType,
  lease,
  ttlMs,
}: DecodedPut): Extract<TxnOperation, { kind: 'put' }> {
  if (lease !== 0 && ttlMs !== 0) throw malformed('It gives a key two leases.');
  asKey(key);
  if (value.length > VALUE_BYTES_LIMIT) throw malformed(`It has a value of ${value.length} bytes.`);
  if (contentType.length > CONTENT_TYPE_LENGTH_MAX || !mediaTypeText.test(contentType)) {
    throw malformed(`Its content type is not at most ${CONTENT_TYPE_LENGTH_MAX} characters of ASCII.`);
  }
  if (lease === 0) return { kind: 'put', key, value, contentType };
  return { kind: 'put', key, value, contentType, lease: asId(lease) };
}

function fromTtl(ttlMs: number): { readonly ttlMs?: number } {
  return ttlMs === 0 ? {} : { ttlMs: asTtl(ttlMs) };
}

function fromCompare({ key, target, operator, bytes, number }: DecodedCompare): Compare {
  const name = TARGETS[target];
  const op = OPERATORS[operator];
  asKey(key);
  if (op === undefined) throw fromNewerVersion('a comparison that this version of raftkv does not know');
  switch (name) {
    case 'value':
      if (number !== 0) throw malformed('It compares a value with a number.');
      return { key, target: name, op, value: bytes };
    case 'version':
    case 'createRevision':
    case 'modRevision':
      if (bytes.length > 0) throw malformed('It compares a number with bytes.');
      return { key, target: name, op, value: asInteger(number) };
    case 'exists':
      if ((op !== '=' && op !== '!=') || bytes.length > 0 || (number !== 0 && number !== 1)) {
        throw malformed('Whether a key exists is compared for being so or not.');
      }
      return { key, target: name, op, value: number === 1 };
    default:
      throw fromNewerVersion('a comparison that this version of raftkv does not know');
  }
}

function fromOperation(operation: DecodedOperation): TxnOperation {
  switch (operation.kind) {
    case 'put': {
      const { put } = operation;
      if (put.condition) throw malformed('A put in a transaction has no condition.');
      return { ...fromPut(put), ...fromTtl(put.ttlMs) };
    }
    case 'add':
      return fromAdd(operation.add);
    case 'get':
      return { kind: 'get', key: asKey(operation.get) };
    case 'getPrefix':
      // An empty one stands for all keys.
      return { kind: 'getPrefix', prefix: asKey(operation.getPrefix, 0) };
    case 'delete':
      return { kind: 'delete', key: asKey(operation.delete) };
    case 'deletePrefix':
      return { kind: 'deletePrefix', prefix: asKey(operation.deletePrefix) };
    default:
      throw fromNewerVersion('an operation that this version of raftkv does not know');
  }
}

function asKey(key: Uint8Array, bytesMin = 1): Uint8Array {
  if (key.length >= bytesMin && key.length <= KEY_BYTES_MAX) return key;
  throw malformed(`It has a key of ${key.length} bytes, where ${bytesMin} to ${KEY_BYTES_MAX} are allowed.`);
}

function asList<Element>(list: readonly Element[]): readonly Element[] {
  if (list.length <= TXN_OPERATIONS_MAX) return list;
  throw malformed(`Its transaction has a list of ${list.length}, where ${TXN_OPERATIONS_MAX} are allowed.`);
}

/** The id of a lease, or its generation. */
function asId(value: number): number {
  return asInteger(value, 1);
}

function asTtl(ttlMs: number): number {
  if (ttlMs > TTL_MS_MAX) throw malformed(`Its time to live, ${ttlMs} ms, is longer than a year.`);
  return asInteger(ttlMs, 1);
}

function asSigned(value: number): number {
  // Two zeros would be two encodings of one command.
  return asInteger(Object.is(value, -0) ? Number.NaN : value, Number.MIN_SAFE_INTEGER);
}

function asInteger(value: number, least = 0): number {
  if (isInteger(value, least)) return value;
  throw malformed(`It has ${value} where a safe integer of at least ${least} belongs.`);
}

function toMessage(command: Command): Record<string, unknown> {
  const version = formatOf(command);
  const idempotency = command.idempotency && toIdempotency(command.idempotency);
  switch (command.kind) {
    case 'put': {
      const put = toPut(command);
      put.condition = toCondition(command);
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
    case 'add':
      return { version, idempotency, add: toAdd(command) };
    case 'compact':
      return { version, idempotency, compact: { revision: toCounter(command.revision) } };
    case 'raiseVersion':
      assertInteger(command.version, CLUSTER_VERSION_MIN);
      return {
        version,
        idempotency,
        raiseVersion: { version: command.version, unlessHeld: command.unlessHeld },
      };
  }
}

interface PutMessage {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly contentType: string;
  readonly lease: number | undefined;
  readonly ttlMs: number | undefined;
  condition: Record<string, unknown> | undefined;
}

function toAdd({ key, delta, initial }: Omit<AddCommand, 'kind'>): DecodedAdd {
  assertKey(key);
  for (const number of [delta, initial]) assertInteger(number, Number.MIN_SAFE_INTEGER);
  // -0 is written as 0.
  return { key, delta: delta + 0, initial: initial + 0 };
}

function toPut({ key, value, contentType, lease, ttlMs }: Omit<PutCommand, 'kind'>): PutMessage {
  assertKey(key);
  assert(lease === undefined || ttlMs === undefined, 'A key has one lease at most.');
  assert(value.length <= VALUE_BYTES_LIMIT, 'The value is too long.');
  assert(
    contentType.length <= CONTENT_TYPE_LENGTH_MAX && mediaTypeText.test(contentType),
    'A content type is a short text without line breaks.',
  );
  return { key, value, contentType, lease: toCounter(lease), ttlMs: toTtl(ttlMs), condition: undefined };
}

function toTxn({ compare, success, failure, isBounded }: TxnCommand) {
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
    isBounded,
  };
}

function toIdempotency({ key, fingerprint }: Idempotency): Idempotency {
  assert(isIdempotencyKey(key), 'An idempotency key is a short text without line breaks.');
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
    case 'add':
      return { add: toAdd(operation) };
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
  assert(revision.length <= CONDITION_REVISIONS_MAX, 'A condition names too many revisions.');
  for (const one of revision) assertInteger(one, 0);
  return { revision };
}

function fromCondition(condition: DecodedCondition | null | undefined): Condition {
  if (!condition) return {};
  switch (condition.condition) {
    case 'ifRevision': {
      const { ifRevision } = condition;
      const revision = typeof ifRevision === 'number' ? ifRevision : ifRevision.toNumber();
      if (!isInteger(revision, 0)) throw malformed('A revision is a safe integer.');
      return { ifRevision: revision };
    }
    case 'ifRevisionIn':
      return { ifRevisionIn: fromRevisions(condition.ifRevisionIn) };
    case 'ifRevisionNotIn':
      return { ifRevisionNotIn: fromRevisions(condition.ifRevisionNotIn) };
    case 'ifPresent':
      return { ifPresent: condition.ifPresent };
    case 'ifAbsent':
      return { ifAbsent: condition.ifAbsent };
    default:
      throw fromNewerVersion('a condition that this version of raftkv does not know');
  }
}

function fromRevisions(revisions: DecodedRevisions | null | undefined): readonly Revision[] {
  const list = revisions?.revision ?? [];
  if (list.length > CONDITION_REVISIONS_MAX) throw malformed(`Its condition names ${list.length} revisions.`);
  for (const revision of list) asInteger(revision);
  return list;
}

/** A text without control characters; the one that a key of a step begins with (see `http/idempotency.ts`) is no part of it. */
function isIdempotencyKey(key: string): boolean {
  return (
    key.length <= IDEMPOTENCY_KEY_LENGTH_MAX && /^\P{Cc}+$/u.test(key.startsWith('\x01') ? key.slice(1) : key)
  );
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
  assert(isInteger(value, least), () => `${value} is not a safe integer from ${least} on.`);
}

function isInteger(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}

function assertKey(key: Uint8Array, bytesMin = 1): void {
  assert(
    key.length >= bytesMin && key.length <= KEY_BYTES_MAX,
    () => `A key has ${bytesMin} to ${KEY_BYTES_MAX} bytes, not ${key.length}.`,
  );
}

function malformed(what: string): RaftkvError {
  return new RaftkvError('storage_damaged', `The command is malformed. ${what}`);
}

function fromNewerVersion(what: string): RaftkvError {
  return new RaftkvError(
    'storage_unusable',
    `The command has ${what}. A newer version runs in this cluster: upgrade this node and start it again.`,
  );
}
