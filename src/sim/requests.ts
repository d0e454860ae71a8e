import {
  type AddCommand,
  type Compare,
  FINGERPRINT_BYTES,
  type Idempotency,
  type Item,
  type Revision,
  type TxnCommand,
  type TxnOperation,
} from '../kv/types.js';
import { makeValue, nameOfValue, textOf } from './bytes.js';
import {
  type ClientCommand,
  type Operation,
  type Outcome,
  REWRITTEN_PREFIX,
  type Request,
} from './operation.js';
import type { Prng } from './prng.js';
import type { Settings } from './settings.js';

/** The share of values that are larger than their name. */
const LARGE_RATE = 0.15;
/** The share of commands that are repeated until they are answered, under an idempotency key. */
const REPEATABLE_RATE = 0.4;
/** The share of those that come under a key that was another request's. */
const MISMATCH_RATE = 0.03;
/** The share of transactions that also count. */
const COUNTING_RATE = 0.2;
/** The share of transactions that do several things to one key. */
const REWRITING_RATE = 0.25;
/** The share of comparisons that are of a value. */
const VALUE_RATE = 0.3;
/** The share of transactions whose put gives its key a time to live. */
const TEMPORARY_RATE = 0.15;
/** Keys that go with leases. */
const TEMPORARY_KEYS = 2;
const TTL_MS_MIN = 200;
const TTL_MS_MAX = 1500;

/** What clients ask for, as the seed has it. */
export class Requests {
  readonly keys: readonly Uint8Array[];
  private readonly temporaryKeys: readonly Uint8Array[];
  /** The revision at which each key was seen last. */
  private readonly seenRevisions = new Map<string, Revision>();
  /** The value that each key was seen to have last. */
  private readonly seenValues = new Map<string, Uint8Array>();
  private valueCount = 0;
  private idempotencyCount = 0;
  private fingerprintCount = 0;

  constructor(
    private readonly settings: Settings,
    private readonly random: Prng,
  ) {
    const { keyCount, holderCount, hasLastKeys } = settings;
    const named = (name: string, count: number) =>
      Array.from({ length: count }, (_, at) => Buffer.from(`${name}-${at}`));
    this.temporaryKeys = holderCount === 0 ? [] : named('temporary', TEMPORARY_KEYS);
    const last = hasLastKeys ? LAST_KEYS : [];
    this.keys = [...named('key', keyCount), ...last, ...this.temporaryKeys];
  }

  draw(): Request {
    const key = this.pickKey();
    const dice = this.random.real();
    if (dice < 0.36) return { kind: 'get', key, byLease: dice < 0.18 };
    return { kind: 'command', command: this.repeatable(this.command(key, dice)) };
  }

  private command(key: Uint8Array, dice: number): ClientCommand {
    const seen = this.seenRevisions.get(textOf(key));
    if (dice < 0.58) return this.put(key);
    if (dice < 0.66) return this.put(key, seen === undefined ? { ifAbsent: true } : { ifRevision: seen });
    if (dice < 0.72) return this.put(key, { ifAbsent: true });
    if (dice < 0.79) return { kind: 'delete', key };
    if (dice < 0.82) return { kind: 'delete', key, ...(seen === undefined ? {} : { ifRevision: seen }) };
    if (dice < 0.84) return { kind: 'deletePrefix', prefix: this.pickPrefix() };
    if (dice < 0.91) return this.transaction();
    if (dice < 0.93) return this.count();
    if (dice < 0.96 || this.temporaryKeys.length === 0) return this.reading();
    return this.put(this.pickTemporaryKey(), { ttlMs: this.ttlMs() });
  }

  /** An unconditional put, or one that is not. */
  put(
    key: Uint8Array,
    more: { ifRevision?: Revision; ifAbsent?: boolean; lease?: number; ttlMs?: number } = {},
  ): ClientCommand {
    return { kind: 'put', key, value: this.newValue(), contentType: '', ...more };
  }

  /** A transaction that does what {@link put} does. */
  putInTransaction(key: Uint8Array, lease: number): TxnCommand {
    const put: TxnOperation = { kind: 'put', key, value: this.newValue(), contentType: '', lease };
    return { kind: 'txn', compare: [], success: [put], failure: [] };
  }

  /** Most keys, or those that no key with another prefix follows. */
  pickPrefix(): Uint8Array {
    const last =
      this.settings.hasLastKeys && this.random.chance(0.5) ? this.random.pick(LAST_KEYS) : undefined;
    return last ?? Buffer.from('key-');
  }

  ttlMs(): number {
    return this.random.integer(TTL_MS_MIN, TTL_MS_MAX);
  }

  pickKey(): Uint8Array {
    return this.keys[this.random.integer(0, this.keys.length - 1)] ?? new Uint8Array(1);
  }

  pickTemporaryKey(): Uint8Array {
    return this.random.pick(this.temporaryKeys) ?? this.pickKey();
  }

  /** What clients remember, to make conditions from. */
  learn({ request, outcome }: Operation): void {
    if (outcome.kind === 'read' && outcome.item) {
      this.seenRevisions.set(textOf(outcome.item.key), outcome.item.modRevision);
      this.seenValues.set(textOf(outcome.item.key), outcome.item.value);
    } else if (outcome.kind === 'done' && request.kind === 'command') {
      const { command } = request;
      const { result } = outcome;
      if (result.kind === 'put' && command.kind === 'put')
        this.seenRevisions.set(textOf(command.key), result.revision);
    }
  }

  /** Two keys are changed together, or read together where the comparison does not hold. */
  private transaction(): TxnCommand {
    const [first = new Uint8Array(1), second = first] = this.random.shuffled(this.keys);
    const isTemporary = this.temporaryKeys.length > 0 && this.random.chance(TEMPORARY_RATE);
    const put: TxnOperation = { kind: 'put', key: first, value: this.newValue(), contentType: '' };
    const success: TxnOperation[] = [isTemporary ? { ...put, ttlMs: this.ttlMs() } : put];
    if (second !== first) success.push(this.secondOperation(second));
    if (this.random.chance(COUNTING_RATE)) success.push(this.count());
    if (this.random.chance(REWRITING_RATE)) success.push(...this.rewriting());
    return {
      kind: 'txn',
      compare: this.random.chance(0.3) ? [] : [this.comparison(this.random.chance(0.5) ? first : second)],
      success,
      failure: second === first ? [] : [first, second].map((key) => ({ kind: 'get', key })),
    };
  }

  /** Operations on one key, each of which sees what those before it did. The last one is a put, so that there is a change. */
  private rewriting(): readonly TxnOperation[] {
    const key = Buffer.from(`${REWRITTEN_PREFIX}${this.random.integer(0, 1)}`);
    const one = (): TxnOperation => {
      const kind = this.random.pick(['put', 'put', 'delete', 'get', 'getPrefix'] as const) ?? 'get';
      if (kind === 'put') return { kind, key, value: this.newValue(), contentType: '' };
      return kind === 'getPrefix' ? { kind, prefix: Buffer.from(REWRITTEN_PREFIX) } : { kind, key };
    };
    const operations = Array.from({ length: this.random.integer(1, 4) }, one);
    return [...operations, { kind: 'put', key, value: this.newValue(), contentType: '' }];
  }

  /** All clients count on one key, which nothing else touches. */
  private count(): AddCommand {
    return { kind: 'add', key: Buffer.from('counter'), delta: this.random.integer(1, 3), initial: 0 };
  }

  /** Keys are read together, at one revision. */
  private reading(): TxnCommand {
    const [first = new Uint8Array(1), second = first] = this.random.shuffled(this.keys);
    const gets: TxnOperation[] = [first, second].map((key) => ({ kind: 'get', key }));
    return {
      kind: 'txn',
      compare: [this.comparison(first)],
      success: gets,
      failure: [{ kind: 'getPrefix', prefix: this.pickPrefix() }],
    };
  }

  private secondOperation(key: Uint8Array): TxnOperation {
    const kind = this.random.pick(['put', 'delete', 'get'] as const) ?? 'get';
    return kind === 'put' ? { kind, key, value: this.newValue(), contentType: '' } : { kind, key };
  }

  private comparison(key: Uint8Array): Compare {
    const value = this.seenValues.get(textOf(key));
    if (value !== undefined && this.random.chance(VALUE_RATE))
      return {
        key,
        target: 'value',
        op: this.random.pick(['=', '=', '!=', '<', '>'] as const) ?? '=',
        value,
      };
    const seen = this.seenRevisions.get(textOf(key));
    if (seen === undefined || this.random.chance(0.5))
      return { key, target: 'exists', op: '=', value: this.random.chance(0.5) };
    return { key, target: 'modRevision', op: this.random.chance(0.8) ? '=' : '!=', value: seen };
  }

  private repeatable(command: ClientCommand): ClientCommand {
    return this.random.chance(REPEATABLE_RATE) ? { ...command, idempotency: this.newIdempotency() } : command;
  }

  private newIdempotency(): Idempotency {
    const isMismatch = this.idempotencyCount > 0 && this.random.chance(MISMATCH_RATE);
    if (!isMismatch) this.idempotencyCount += 1;
    const key = isMismatch ? this.random.integer(1, this.idempotencyCount) : this.idempotencyCount;
    this.fingerprintCount += 1;
    const fingerprint = Buffer.alloc(FINGERPRINT_BYTES);
    fingerprint.writeUInt32BE(this.fingerprintCount);
    return { key: `request-${key}`, fingerprint };
  }

  private newValue(): Uint8Array {
    this.valueCount += 1;
    const padding = this.random.chance(LARGE_RATE) ? this.random.integer(1, this.settings.valueBytesMax) : 0;
    return makeValue(this.valueCount, padding);
  }
}

/** Behind the key `key-` and all its followers, and behind all keys. */
const LAST_KEYS: readonly Uint8Array[] = [Buffer.from('key-\xff', 'latin1'), Buffer.of(0xff)];

export function describeRequest(request: Request): string {
  if (request.kind === 'get') return `get ${textOf(request.key)}${request.byLease ? ' by the lease' : ''}`;
  const { command } = request;
  const under = command.idempotency === undefined ? '' : ` under ${command.idempotency.key}`;
  return describeCommand(command) + under;
}

function describeCommand(command: ClientCommand): string {
  switch (command.kind) {
    case 'put':
    case 'delete':
      return describeChange(command);
    case 'deletePrefix':
      return `delete ${textOf(command.prefix)}*`;
    case 'txn': {
      const [compare] = command.compare;
      const condition =
        compare === undefined
          ? ''
          : `if ${textOf(compare.key)} ${compare.target} ${compare.op} ${compare.target === 'value' ? nameOfValue(compare.value) : compare.value}: `;
      return condition + command.success.map(describeOperation).join(', ');
    }
    case 'add':
      return describeOperation(command);
    case 'compact':
      return `compact up to ${command.revision ?? 'now'}`;
    case 'leaseGrant':
      return `grant a lease of ${command.ttlMs} ms`;
    default:
      return `${command.kind} ${command.lease}`;
  }
}

function describeChange(command: Extract<ClientCommand, { kind: 'put' | 'delete' }>): string {
  const condition =
    command.ifAbsent === true
      ? ' if absent'
      : command.ifRevision === undefined
        ? ''
        : ` if at ${command.ifRevision}`;
  if (command.kind === 'delete') return `delete ${textOf(command.key)}${condition}`;
  const { lease } = command;
  const attached = lease === undefined ? '' : ` with lease ${lease}`;
  return `${describeOperation(command)}${attached}${condition}`;
}

function describeOperation(operation: TxnOperation): string {
  if (operation.kind === 'put') {
    const time = operation.ttlMs === undefined ? '' : ` for ${operation.ttlMs} ms`;
    return `put ${textOf(operation.key)} = ${nameOfValue(operation.value)}${time}`;
  }
  if (operation.kind === 'add') return `add ${operation.delta} to ${textOf(operation.key)}`;
  return `${operation.kind} ${'key' in operation ? textOf(operation.key) : textOf(operation.prefix)}`;
}

export function describeOutcome(outcome: Outcome): string {
  if (outcome.kind === 'done') return JSON.stringify(outcome.result);
  if (outcome.kind !== 'read') return outcome.kind;
  return describeItem(outcome.item);
}

function describeItem(item: Item | undefined): string {
  return item === undefined ? 'absent' : `${nameOfValue(item.value)} at ${item.modRevision}`;
}
