import { AssertionError } from '../assert.js';
import type {
  CommandResult,
  Condition,
  DeleteCommand,
  Item,
  PutCommand,
  Revision,
  TxnCommand,
  TxnOperation,
  TxnResult,
} from '../kv/types.js';
import { nameOfValue, textOf } from './bytes.js';
import type { RegisterAction, RegisterOperation } from './linearizability.js';
import { type Operation, REWRITTEN_PREFIX } from './operation.js';

/** An operation as one key sees it. */
type Seen = readonly [key: string, operation: RegisterOperation];
/** That a key had this value at the revision of its last change, whoever put it. */
export type SeenValue = Pick<Item, 'key' | 'value' | 'modRevision'>;
type Span = Pick<RegisterOperation, 'invokedAt' | 'returnedAt'>;

/**
 * The history of each key alone: a map is linearizable when each of its keys is (Herlihy and Wing, "Linearizability", 1990,
 * locality). Values are told apart by where they came from, so that every put writes another one.
 *
 * What a transaction does to several keys at once is looked at for each of them alone, which demands less than is promised; that all of
 * it happens at one moment the simulator knows from the log, see `checkers/reference-model.ts`.
 *
 * @param seen What reads showed that are no operations: they explain revisions that conditions name.
 */
export function registersOf(
  operations: readonly Operation[],
  seen: readonly SeenValue[] = [],
): ReadonlyMap<string, readonly RegisterOperation[]> {
  const view = new RegisterView(operations, seen);
  const keys = new Map<string, RegisterOperation[]>();
  for (const key of view.keys) keys.set(key, []);
  for (const operation of operations) {
    for (const [key, register] of view.translate(operation)) keys.get(key)?.push(register);
  }
  return keys;
}

/** Names values by numbers, 0 for an absent key, and says of each revision that a client was told of which value it was. */
class RegisterView {
  readonly keys = new Set<string>();
  private readonly byValue = new Map<string, number>();
  /** By key and revision. */
  private readonly byRevision = new Map<string, number>();
  private readonly explained = new Set<number>();
  /** Of each key, the puts whose fate nobody was told: a revision that no answer explains may be one of theirs. */
  private readonly unknownPuts = new Map<string, number[]>();
  /** Revisions of keys that refusals named: there was a put of each, whoever heard of it. */
  private readonly named = new Set<string>();

  constructor(operations: readonly Operation[], seen: readonly SeenValue[]) {
    for (const { request, outcome } of operations) {
      if (request.kind === 'get') {
        this.keys.add(textOf(request.key));
        continue;
      }
      for (const { key, value } of putsOf(request.command)) this.meet(textOf(key), value, outcome);
    }
    // Only now every value has its number.
    for (const { key, modRevision, value } of seen)
      this.explain(textOf(key), modRevision, this.numberOf(value));
    for (const { request, outcome } of operations) {
      if (outcome.kind === 'read' && outcome.item) {
        const { key, modRevision, value } = outcome.item;
        this.explain(textOf(key), modRevision, this.numberOf(value));
      } else if (
        outcome.kind === 'done' &&
        outcome.result.kind === 'preconditionFailed' &&
        request.kind === 'command' &&
        'key' in request.command
      ) {
        this.named.add(placeOf(textOf(request.command.key), outcome.result.modRevision));
      }
    }
  }

  private meet(key: string, value: Uint8Array, outcome: Operation['outcome']): void {
    this.keys.add(key);
    const number = this.byValue.size + 1;
    this.byValue.set(nameOfValue(value), number);
    if (outcome.kind === 'unknown') {
      this.unknownPuts.set(key, [...(this.unknownPuts.get(key) ?? []), number]);
    } else if (outcome.kind === 'done') {
      const { result } = outcome;
      const isPut = result.kind === 'put' || (result.kind === 'txn' && result.succeeded);
      if (isPut) this.explain(key, result.revision, number);
    }
  }

  private explain(key: string, revision: Revision, number: number): void {
    this.byRevision.set(placeOf(key, revision), number);
    this.explained.add(number);
  }

  /** The operation as each key that it concerns sees it. */
  translate(operation: Operation): readonly Seen[] {
    const { request, outcome, invokedAt, returnedAt } = operation;
    const span = { invokedAt, returnedAt };
    if (outcome.kind === 'refused') return [];
    if (request.kind === 'get') {
      if (outcome.kind !== 'read') return [];
      const value = outcome.item === undefined ? 0 : this.numberOf(outcome.item.value);
      return [[textOf(request.key), { ...span, action: { kind: 'read', value } }]];
    }
    const { command } = request;
    const result = outcome.kind === 'done' ? outcome.result : undefined;
    if (result !== undefined && isRefusal(result)) return [];
    switch (command.kind) {
      case 'put':
        return [this.change(command, span, result), ...this.endOfLease(command, span)];
      case 'delete':
        return [this.change(command, span, result)];
      case 'deletePrefix': {
        const prefix = textOf(command.prefix);
        const keys = [...this.keys].filter((key) => key.startsWith(prefix));
        return keys.map((key) => [key, { ...span, action: write(0) }]);
      }
      case 'txn':
        return this.transaction(command, span, result);
      default:
        // Leases; what their end does to keys is with the puts that attach them.
        return [];
    }
  }

  private change(command: PutCommand | DeleteCommand, span: Span, result: CommandResult | undefined): Seen {
    const value = command.kind === 'put' ? this.numberOf(command.value) : 0;
    const condition = this.conditionOf(command, result);
    const key = textOf(command.key);
    const told = result ? this.toldBy(key, result) : null;
    return [key, { ...span, action: { kind: 'write', value, condition, result: told } }];
  }

  /** A key that is attached to a lease may go with it at any later time, if nothing else was put meanwhile. */
  private endOfLease(
    put: PutCommand | (TxnOperation & { kind: 'put' }),
    { invokedAt }: Span,
  ): readonly Seen[] {
    if (put.lease === undefined && !('ttlMs' in put)) return [];
    const action = { ...write(0), condition: this.numberOf(put.value) };
    return [[textOf(put.key), { invokedAt, returnedAt: Number.POSITIVE_INFINITY, action }]];
  }

  /** Of an unknown outcome each put and deletion may have been, or not; of a known one, exactly those of one branch were. */
  private transaction(command: TxnCommand, span: Span, result: CommandResult | undefined): readonly Seen[] {
    if (result === undefined)
      return [...command.success, ...command.failure].flatMap((operation) =>
        this.part(operation, span, undefined),
      );
    if (result.kind !== 'txn') throw impossible(command.kind, result.kind);
    const branch = result.succeeded ? command.success : command.failure;
    return branch.flatMap((operation, at) => this.part(operation, span, result.results[at]));
  }

  /** One operation of a transaction whose branches name each key once. */
  private part(operation: TxnOperation, span: Span, result: TxnResult | undefined): readonly Seen[] {
    if (isRewriting(operation)) return [];
    switch (operation.kind) {
      case 'put': {
        const told = result?.kind === 'put' ? { took: true, existed: !result.created, found: null } : null;
        const action = { ...write(this.numberOf(operation.value)), result: told };
        return [[textOf(operation.key), { ...span, action }], ...this.endOfLease(operation, span)];
      }
      case 'delete': {
        const told =
          result?.kind === 'delete' ? { took: true, existed: result.deleted > 0, found: null } : null;
        return [[textOf(operation.key), { ...span, action: { ...write(0), result: told } }]];
      }
      case 'get': {
        if (result?.kind !== 'get') return [];
        const [item] = result.items;
        const value = item === undefined ? 0 : this.numberOf(item.value);
        return [[textOf(operation.key), { ...span, action: { kind: 'read', value } }]];
      }
      case 'getPrefix': {
        if (result?.kind !== 'get') return [];
        const found = new Map(result.items.map((item) => [textOf(item.key), this.numberOf(item.value)]));
        const prefix = textOf(operation.prefix);
        const keys = [...this.keys].filter((key) => key.startsWith(prefix));
        return keys.map((key) => [key, { ...span, action: { kind: 'read', value: found.get(key) ?? 0 } }]);
      }
      case 'add':
        // Counters are judged for themselves, see `checkers/counter-order.ts`.
        return [];
      default:
        throw new AssertionError(`Clients make no transactions with ${operation.kind}.`);
    }
  }

  /** The value that the key must have; null for any, -1 for one that it never has. */
  private conditionOf(
    { key, ifRevision, ifAbsent }: { key: Uint8Array } & Condition,
    result: CommandResult | undefined,
  ): number | null {
    if (ifAbsent === true) return 0;
    if (ifRevision === undefined) return null;
    const place = placeOf(textOf(key), ifRevision);
    const known = this.byRevision.get(place);
    if (known !== undefined) return known;
    if (!this.named.has(place)) return -1;
    // A refusal names a revision and not its value. It belongs to one of the puts of unknown fate; where there are several,
    // that is all that can be demanded.
    const unknown = this.unknownPuts.get(textOf(key)) ?? [];
    const candidates = unknown.filter((value) => !this.explained.has(value));
    const [only] = candidates;
    if (only === undefined) return -1;
    if (candidates.length === 1) return only;
    return result?.kind === 'preconditionFailed' ? -1 : null;
  }

  private toldBy(key: string, result: CommandResult) {
    switch (result.kind) {
      case 'put':
        return { took: true, existed: !result.created, found: null };
      case 'delete':
        return { took: true, existed: result.deleted > 0, found: null };
      case 'preconditionFailed': {
        const { modRevision } = result;
        const found = modRevision === 0 ? 0 : (this.byRevision.get(placeOf(key, modRevision)) ?? null);
        return { took: false, existed: modRevision !== 0, found };
      }
      default:
        throw impossible('put or a deletion', result.kind);
    }
  }

  /** -1 for a value that nobody put. */
  private numberOf(value: Uint8Array): number {
    return this.byValue.get(nameOfValue(value)) ?? -1;
  }
}

function write(value: number): Extract<RegisterAction, { kind: 'write' }> {
  return { kind: 'write', value, condition: null, result: null };
}

/** Answers after which it is certain that no key was changed, and that say nothing of any. */
function isRefusal({ kind }: CommandResult): boolean {
  return kind === 'tooManyKeys' || kind === 'leaseNotFound' || kind === 'idempotencyMismatch';
}

function putsOf(command: Extract<Operation['request'], { kind: 'command' }>['command']) {
  if (command.kind === 'put') return [command];
  if (command.kind !== 'txn') return [];
  return [...command.success, ...command.failure].filter(isPutOnce);
}

function isPutOnce(operation: TxnOperation): operation is TxnOperation & { kind: 'put' } {
  return operation.kind === 'put' && !isRewriting(operation);
}

/** Whether the operation is one of several on one key. */
function isRewriting(operation: TxnOperation): boolean {
  return textOf('key' in operation ? operation.key : operation.prefix).startsWith(REWRITTEN_PREFIX);
}

function placeOf(key: string, revision: Revision): string {
  return `${revision} of ${key}`;
}

function impossible(command: string, kind: string): AssertionError {
  return new AssertionError(`A ${command} cannot be answered with ${kind}.`);
}
