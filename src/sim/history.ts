import { AssertionError } from '../assert.js';
import type {
  CommandResult,
  Condition,
  DeleteCommand,
  DeletePrefixCommand,
  Item,
  PutCommand,
  Revision,
} from '../kv/types.js';
import type { Index } from '../raft/types.js';
import { nameOfValue, textOf } from './bytes.js';
import type { RegisterOperation } from './linearizability.js';

/** The commands that the clients of the simulator give. */
export type ClientCommand = PutCommand | DeleteCommand | DeletePrefixCommand;

/** What a client asked for. */
export type Request =
  | { readonly kind: 'command'; readonly command: ClientCommand }
  | { readonly kind: 'get'; readonly key: Uint8Array; readonly byLease: boolean };

/** What a client knows of the outcome. */
export type Outcome =
  | { readonly kind: 'done'; readonly result: CommandResult }
  | {
      readonly kind: 'read';
      readonly item: Item | undefined;
      /** How far the state was that answered; undefined where the client cannot know, over HTTP. */
      readonly appliedIndex: Index | undefined;
    }
  /** Certainly nothing happened. */
  | { readonly kind: 'refused' }
  /** It may have taken effect, may do so at any later time, or never (correctness row 26). */
  | { readonly kind: 'unknown' };

/** One request and its answer, in the order of the whole run. */
export interface Operation {
  readonly client: number;
  readonly request: Request;
  readonly invokedAt: number;
  /** Infinity while there is no answer. */
  returnedAt: number;
  outcome: Outcome;
}

/** Everything that clients asked and were told. Order, not time, says what was before what. */
export class History {
  readonly operations: Operation[] = [];
  private order = 0;

  invoke(client: number, request: Request): Operation {
    const operation: Operation = {
      client,
      request,
      invokedAt: this.next(),
      returnedAt: Number.POSITIVE_INFINITY,
      outcome: { kind: 'unknown' },
    };
    this.operations.push(operation);
    return operation;
  }

  /** The client has its answer. For an unknown outcome the operation goes on for ever. */
  settle(operation: Operation, outcome: Outcome): void {
    operation.outcome = outcome;
    if (outcome.kind !== 'unknown') operation.returnedAt = this.next();
  }

  /** How often each outcome came. */
  counts(): Readonly<Record<Outcome['kind'], number>> {
    const counts = { done: 0, read: 0, refused: 0, unknown: 0 };
    for (const { outcome } of this.operations) counts[outcome.kind] += 1;
    return counts;
  }

  /**
   * The history of each key alone: a map is linearizable when each of its keys is (Herlihy and Wing, "Linearizability",
   * 1990, locality). Values are told apart by where they came from, so that every put writes another one.
   */
  perKey(): ReadonlyMap<string, readonly RegisterOperation[]> {
    const writes = new Writes(this.operations);
    const keys = new Map<string, RegisterOperation[]>();
    for (const key of writes.keys) keys.set(key, []);
    for (const operation of this.operations) {
      for (const [key, register] of writes.translate(operation)) keys.get(key)?.push(register);
    }
    return keys;
  }

  private next(): number {
    this.order += 1;
    return this.order;
  }
}

/** Names values by numbers: 0 for an absent key, and for each put the place in the history of the one that wrote it. */
class Writes {
  readonly keys = new Set<string>();
  private readonly byValue = new Map<string, number>();
  private readonly byRevision = new Map<Revision, number>();
  /** Of each key, the puts whose fate nobody was told: a revision that no answer explains may be one of theirs. */
  private readonly unknownPuts = new Map<string, number[]>();

  constructor(operations: readonly Operation[]) {
    operations.forEach(({ request, outcome }, at) => {
      if (request.kind === 'get') {
        this.keys.add(textOf(request.key));
      } else if (request.command.kind === 'put') {
        this.keys.add(textOf(request.command.key));
        this.byValue.set(nameOfValue(request.command.value), at + 1);
        if (outcome.kind === 'done' && outcome.result.kind === 'put')
          this.byRevision.set(outcome.result.revision, at + 1);
        if (outcome.kind === 'unknown') {
          const key = textOf(request.command.key);
          this.unknownPuts.set(key, [...(this.unknownPuts.get(key) ?? []), at + 1]);
        }
      }
    });
    for (const { outcome } of operations) {
      if (outcome.kind === 'read' && outcome.item) {
        this.byRevision.set(
          outcome.item.modRevision,
          this.byValue.get(nameOfValue(outcome.item.value)) ?? -1,
        );
      }
    }
  }

  /** The operation as each key that it concerns sees it. */
  translate(operation: Operation): readonly (readonly [string, RegisterOperation])[] {
    const { request, outcome, invokedAt, returnedAt } = operation;
    if (outcome.kind === 'refused') return [];
    if (request.kind === 'get') {
      if (outcome.kind !== 'read') return [];
      const value =
        outcome.item === undefined ? 0 : (this.byValue.get(nameOfValue(outcome.item.value)) ?? -1);
      return [[textOf(request.key), { invokedAt, returnedAt, action: { kind: 'read', value } }]];
    }
    const { command } = request;
    const result = outcome.kind === 'done' ? outcome.result : undefined;
    if (result?.kind === 'tooManyKeys') return [];
    if (command.kind === 'deletePrefix') {
      const prefix = textOf(command.prefix);
      const action = { kind: 'write', value: 0, condition: null, result: null } as const;
      return [...this.keys]
        .filter((key) => key.startsWith(prefix))
        .map((key) => [key, { invokedAt, returnedAt, action }]);
    }
    const value = command.kind === 'put' ? (this.byValue.get(nameOfValue(command.value)) ?? -1) : 0;
    const condition = this.conditionOf(command, result);
    const action = {
      kind: 'write',
      value,
      condition,
      result: result ? this.resultOf(result) : null,
    } as const;
    return [[textOf(command.key), { invokedAt, returnedAt, action }]];
  }

  /** The value that the key must have; null for any, -1 for one that it never has. */
  private conditionOf(
    { key, ifRevision, ifAbsent }: { key: Uint8Array } & Condition,
    result: CommandResult | undefined,
  ): number | null {
    if (ifAbsent === true) return 0;
    if (ifRevision === undefined) return null;
    const known = this.byRevision.get(ifRevision);
    if (known !== undefined) return known;
    // Such a revision is heard of by a refusal, which names it and not its value. It belongs to one of the puts of unknown
    // fate; where there are several, that is all that can be demanded.
    const candidates = (this.unknownPuts.get(textOf(key)) ?? []).filter((value) => !this.isExplained(value));
    const [only] = candidates;
    if (only === undefined) return -1;
    if (candidates.length === 1) return only;
    return result?.kind === 'preconditionFailed' ? -1 : null;
  }

  /** Whether a read showed at which revision this value was put. */
  private isExplained(value: number): boolean {
    for (const explained of this.byRevision.values()) if (explained === value) return true;
    return false;
  }

  private resultOf(result: CommandResult) {
    switch (result.kind) {
      case 'put':
        return { took: true, existed: !result.created, found: null };
      case 'delete':
        return { took: true, existed: result.deleted > 0, found: null };
      case 'preconditionFailed': {
        const found = result.modRevision === 0 ? 0 : (this.byRevision.get(result.modRevision) ?? null);
        return { took: false, existed: result.modRevision !== 0, found };
      }
      default:
        throw new AssertionError(`A put or a deletion cannot be answered with ${result.kind}.`);
    }
  }
}
