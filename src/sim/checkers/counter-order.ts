import type { Command, CommandResult } from '../../kv/types.js';
import { Violation } from './checker.js';

/**
 * Adding to a counter is linearizable (docs/http-api.md, Counters): each add is made once, so no two give the same sum, and one
 * that begins after another was answered gives a greater one. All clients add positive numbers to one counter.
 */
export class CounterOrder {
  readonly property = 'A counter counts every add once and in order (docs/http-api.md)';
  /** The greatest sum that any client was told. */
  highest = 0;
  private readonly sums = new Set<number>();
  /** What was asked to be added, whether it was or not. */
  private asked = 0;

  begins(command: Command): void {
    const adds = command.kind === 'txn' ? command.success : [command];
    for (const one of adds) if (one.kind === 'add') this.asked += one.delta;
  }

  /** @param before The greatest sum that was told when the command began. */
  answered(result: CommandResult, before: number): void {
    if (result.kind === 'added') this.added(result.value, before);
    if (result.kind !== 'txn') return;
    for (const one of result.results) if (one.kind === 'add') this.added(one.value, before);
  }

  private added(sum: number, before: number): void {
    const wrong =
      sum <= before
        ? `not above ${before}, which was told before it began`
        : this.sums.has(sum)
          ? 'which another add was told'
          : sum > this.asked
            ? `more than all that was asked for, ${this.asked}`
            : undefined;
    if (wrong !== undefined) throw new Violation(this.property, `An add gives ${sum}, ${wrong}.`);
    this.sums.add(sum);
    this.highest = Math.max(this.highest, sum);
  }
}
