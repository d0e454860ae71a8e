import { describe, expect, it } from 'vitest';
import { SWEEPS_PER_CLIENT_LOOK } from '../../src/node/limits.js';
import { Conditions, outcomeUnknown, readUnavailable, Sweep, WaitingRoom } from '../../src/node/waiting.js';

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
    room.expire(new Sweep().begin(10), outcomeUnknown);
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
    conditions.expire(new Sweep().begin(29));
    conditions.expire(new Sweep().begin(30));
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

it('a sweep asks whether clients have left only once in a while, and looks at deadlines each time', () => {
  const sweep = new Sweep();
  const leaving = new AbortController();
  const waiter = { resolve: () => {}, reject: () => {}, deadline: 100, signal: leaving.signal };
  leaving.abort();
  const ends = Array.from({ length: 2 * SWEEPS_PER_CLIENT_LOOK }, (_, now) => sweep.begin(now).ends(waiter));
  expect(ends.filter((isOver) => isOver)).toHaveLength(2);
  for (let now = 100; now < 103; now += 1) expect(sweep.begin(now).ends(waiter)).toBe(true);
});
