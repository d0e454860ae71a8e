import { expect, it } from 'vitest';
import { TurnBudget } from '../../src/http/turn-budget.js';

/** Turns of an event loop that the test makes. */
function turns() {
  let tasks: (() => void)[] = [];
  return {
    soon: (task: () => void) => {
      tasks.push(task);
    },
    next: async () => {
      const due = tasks;
      tasks = [];
      for (const task of due) task();
      await new Promise((resolve) => setImmediate(resolve));
      return due.length;
    },
  };
}

it('a turn gives what it has, and the others get theirs in later turns, in the order of asking', async () => {
  const { soon, next } = turns();
  const budget = new TurnBudget(10, soon);
  const served: string[] = [];
  const ask = async (name: string, cost: number) => {
    await budget.take(cost);
    served.push(name);
  };
  expect(budget.take(6)).toBeUndefined();
  // What is left is less than what it takes, and nobody could ever take more than a turn has otherwise.
  expect(budget.take(20)).toBeUndefined();
  for (const name of ['a', 'b', 'c']) void ask(name, 6);
  void ask('d', 25);
  void ask('e', 1);
  expect(served).toEqual([]);
  await next();
  expect(served).toEqual(['a', 'b']);
  // Whoever comes now comes after those who wait.
  void ask('f', 1);
  await next();
  expect(served).toEqual(['a', 'b', 'c', 'd']);
  await next();
  expect(served).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  await next();
  expect(await next()).toBe(0);
});
