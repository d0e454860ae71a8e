import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { RequestTurns } from '../../src/http/request-turns.js';

/** Turns of an event loop that the test makes, and requests that take 4 ms each. */
function kit() {
  let nowMs = 0;
  let tasks: (() => void)[] = [];
  const begun: string[] = [];
  const turns = new RequestTurns(
    () => nowMs,
    (task) => {
      tasks.push(task);
    },
  );
  return {
    begun,
    ask: (socket: object, name: string) =>
      turns.begin(socket as Socket, nowMs, {
        begin: () => {
          begun.push(name);
          nowMs += 4;
        },
      }),
    turns,
    nextTurn: () => {
      const due = tasks;
      tasks = [];
      for (const task of due) task();
      return due.length;
    },
  };
}

it('requests begin as they come while a turn has time, and then in later turns', () => {
  const { ask, begun, nextTurn } = kit();
  const many = {};
  for (let count = 0; count < 8; count += 1) ask(many, `${count}`);
  expect(begun.join('')).toBe('012');
  nextTurn();
  expect(begun.join('')).toBe('012345');
  nextTurn();
  expect(begun.join('')).toBe('01234567');
  expect(nextTurn()).toBe(1);
  expect(nextTurn()).toBe(0);
  ask(many, '8');
  expect(begun.join('')).toBe('012345678');
});

it('the requests of a connection stay in their order, and those of others need not wait for all of them', () => {
  const { ask, begun, nextTurn } = kit();
  const many = {};
  for (let count = 0; count < 9; count += 1) ask(many, `${count}`);
  ask({}, 'a');
  ask({}, 'b');
  ask(many, '9');
  nextTurn();
  expect(begun.join('')).toBe('0123ab');
  for (let turn = 0; turn < 3; turn += 1) nextTurn();
  expect(begun.join('')).toBe('0123ab456789');
});

it('what waits for the end of a turn is called once, when the turn ends, whether or not a request began it', () => {
  const { ask, begun, nextTurn, turns } = kit();
  turns.atEnd(() => begun.push('!'));
  ask({}, 'a');
  turns.atEnd(() => begun.push('?'));
  expect(begun.join('')).toBe('a');
  nextTurn();
  nextTurn();
  expect(begun.join('')).toBe('a!?');
});
