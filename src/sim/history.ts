import type { RegisterOperation } from './linearizability.js';
import type { Operation, Outcome, Request } from './operation.js';
import { registersOf, type SeenValue } from './register-view.js';

/** Everything that clients asked and were told. Order, not time, says what was before what. */
export class History {
  readonly operations: Operation[] = [];
  private readonly seen: SeenValue[] = [];
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

  /**
   * Somebody saw this value under a key, by a read that may show the past and is no operation of the history. Its revision may come
   * to be a condition all the same.
   */
  saw(value: SeenValue): void {
    this.seen.push(value);
  }

  /** How often each outcome came. */
  counts(): Readonly<Record<Outcome['kind'], number>> {
    const counts = { done: 0, read: 0, refused: 0, unknown: 0 };
    for (const { outcome } of this.operations) counts[outcome.kind] += 1;
    return counts;
  }

  /** The history of each key alone, see `register-view.ts`. */
  perKey(): ReadonlyMap<string, readonly RegisterOperation[]> {
    return registersOf(this.operations, this.seen);
  }

  private next(): number {
    this.order += 1;
    return this.order;
  }
}
