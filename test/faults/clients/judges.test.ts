import { describe, expect, it } from 'vitest';
import { type Step, statesOf } from './histories.js';
import { type Holding, judgeCounter, judgeHolders, judgeLocks } from './lock-judge.js';
import { judgeRepeaters, type Once } from './repeaters.js';
import { judgeTransfers, type Transfer } from './transfers.js';

describe('transfers', () => {
  const account = (number: number) => `bank/account/${number}`;
  const opened: Step = Object.fromEntries([0, 1, 2, 3, 4].map((number) => [account(number), '100']));
  const move: Step = { [account(0)]: '90', [account(1)]: '110', 'bank/entry/t': '10' };
  const made: Transfer = { name: 't', answer: { succeeded: true, revision: 2 } };

  it('are right where each is made once and the sum stays', () => {
    expect(judgeTransfers([made], statesOf(opened, move))).toEqual([]);
    expect(judgeTransfers([{ name: 't', answer: undefined }], statesOf(opened, move))).toEqual([]);
    expect(
      judgeTransfers([{ name: 'u', answer: { succeeded: false, revision: 2 } }], statesOf(opened, move)),
    ).toEqual([]);
  });

  it.each<[string, Transfer, readonly Step[], string]>([
    ['half of one', made, [opened, { [account(0)]: '90', 'bank/entry/t': '10' }], 'add up to 490'],
    ['one that is made again', made, [opened, move, { 'bank/entry/t': '10' }], 'revisions 2 and 3'],
    ['one that was acknowledged and is lost', made, [opened], 'was made at undefined'],
    ['one that was acknowledged elsewhere', made, [opened, { x: '' }, move], 'was made at 3'],
    [
      'one that was refused and was made',
      { name: 't', answer: { succeeded: false, revision: 1 } },
      [opened, move],
      'was made at 2',
    ],
    ['a debt', made, [opened, { [account(0)]: '-1', [account(1)]: '201', 'bank/entry/t': '' }], 'is -1'],
  ])('are wrong with %s', (_, transfer, steps, message) => {
    expect(judgeTransfers([transfer], statesOf(...steps)).join()).toContain(message);
  });
});

describe('changes under an idempotency key', () => {
  const put = (name: string, revision: number): Once => ({
    name,
    result: { kind: 'put', revision, created: true },
  });
  const refused = (name: string): Once => ({
    name,
    result: { kind: 'preconditionFailed', revision: 0, modRevision: 1 },
  });

  it('are right where each was made once', () => {
    const states = statesOf({ 'once/1': 'a' }, { 'once/1': null }, { 'once/1': 'b' });
    expect(judgeRepeaters([put('a', 1), put('b', 3), refused('c')], states)).toEqual([]);
  });

  it('are wrong where one was made again, or was made although it was refused', () => {
    const states = statesOf({ 'once/1': 'a' }, { 'once/2': 'b' }, { 'once/1': 'a' });
    expect(judgeRepeaters([put('a', 1), put('b', 2)], states).join()).toContain('again at index 3');
    expect(
      judgeRepeaters([put('a', 1), refused('b')], statesOf({ 'once/1': 'a' }, { 'once/2': 'b' })).join(),
    ).toContain('The put of b was refused');
  });
});

describe('locks', () => {
  const line = '.raftkv/locks/faults\0';
  const holding = (token: number, more: Partial<Holding> = {}): Holding => ({
    user: token,
    token,
    lease: '1',
    fromRevision: token - 1,
    throughRevision: token + 1,
    fromMs: token * 1000,
    untilMs: token * 1000 + 900,
    ...more,
  });
  /** The first comes, the second waits, and gets it when the first goes. */
  const states = statesOf(
    { [`${line}1`]: '' },
    { [`${line}2`]: '' },
    { [`${line}1`]: null },
    { [`${line}2`]: null },
  );

  it('are right where one holds it after the other', () => {
    expect(judgeLocks([holding(1), holding(2)], states)).toEqual([]);
    // Told so late that its time was over, it holds nothing.
    expect(judgeHolders([holding(1, { fromMs: 2500, untilMs: 1900 }), holding(2)])).toEqual([]);
  });

  it('are wrong where one who waits is told that it holds it, or two are told the same', () => {
    expect(judgeLocks([holding(2, { throughRevision: 2 })], states).join()).toContain(
      'never the first in line',
    );
    expect(judgeLocks([holding(1), holding(1, { fromMs: 5000, untilMs: 5900 })], states).join()).toContain(
      'two',
    );
  });

  it('are wrong where two hold it at a time, or tokens go back', () => {
    expect(judgeHolders([holding(1, { untilMs: 2001 }), holding(2)]).join()).toContain('1 ms before');
    // The one that overlaps may not be the one right before.
    expect(judgeHolders([holding(1, { untilMs: 9000 }), holding(2), holding(3)])).toHaveLength(2);
    expect(judgeHolders([holding(2), holding(1, { fromMs: 5000, untilMs: 5900 })]).join()).toContain(
      'after token 2',
    );
  });

  it('are wrong where the counter under it loses one, or an earlier holder writes', () => {
    const counter = (...values: readonly string[]) =>
      statesOf(...values.map((value) => ({ 'guarded/counter': value })));
    expect(judgeCounter(counter('1 5', '2 5', '3 8'))).toEqual([]);
    expect(judgeCounter(counter('1 5', '1 6'))).toHaveLength(1);
    expect(judgeCounter(counter('1 6', '2 5'))).toHaveLength(1);
  });
});
