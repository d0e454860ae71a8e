import { describe, expect, it } from 'vitest';
import { Conditions, outcomeUnknown, readUnavailable, WaitingRoom } from '../../src/node/waiting.js';

function waiter(deadline: number, outcomes: string[]) {
  return {
    resolve: (value: unknown) => outcomes.push(`done ${value}`),
    reject: (error: { readonly code: string }) => outcomes.push(error.code),
    deadline,
  };
}

describe('waiting room', () => {
  it('gives each waiter to one taker', () => {
    const room = new WaitingRoom<number, string>();
    const outcomes: string[] = [];
    room.add(7, waiter(10, outcomes));
    room.take(7)?.resolve('x');
    expect(room.take(7)).toBeUndefined();
    expect([outcomes, room.size]).toEqual([['done x'], 0]);
  });

  it('rejects those whose time is up, and keeps the others', () => {
    const room = new WaitingRoom<number, string>();
    const outcomes: string[] = [];
    room.add(1, waiter(10, outcomes));
    room.add(2, waiter(20, outcomes));
    room.expire(10, outcomeUnknown);
    expect([outcomes, room.size]).toEqual([['outcome_unknown'], 1]);
  });

  it('rejects by key', () => {
    const room = new WaitingRoom<number, string>();
    const outcomes: string[] = [];
    for (const key of [1, 2, 3]) room.add(key, waiter(10, outcomes));
    room.rejectWhere((key) => key > 1, outcomeUnknown);
    expect([outcomes.length, room.size]).toEqual([2, 1]);
  });
});

describe('conditions', () => {
  it('resolve when they hold, expire when they do not, and may be added to while they are looked through', () => {
    const conditions = new Conditions();
    const outcomes: string[] = [];
    let index = 0;
    const add = (needed: number) =>
      conditions.add(() => index >= needed, readUnavailable, {
        ...waiter(10 * needed, outcomes),
        resolve: () => {
          outcomes.push(`${needed}`);
          if (needed === 1) add(2);
        },
      });
    add(1);
    add(3);
    index = 1;
    conditions.check();
    expect(outcomes).toEqual(['1']);
    index = 2;
    conditions.check();
    expect(outcomes).toEqual(['1', '2']);
    conditions.expire(29);
    conditions.expire(30);
    expect(outcomes).toEqual(['1', '2', 'unavailable']);
  });

  it('are all refused at the end', () => {
    const conditions = new Conditions();
    const outcomes: string[] = [];
    conditions.add(() => false, readUnavailable, waiter(99, outcomes));
    conditions.rejectAll();
    conditions.check();
    expect(outcomes).toEqual(['unavailable']);
  });
});
