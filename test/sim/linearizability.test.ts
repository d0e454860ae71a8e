import { describe, expect, test } from 'vitest';
import { History } from '../../src/sim/history.js';
import { checkLinearizable, type RegisterOperation } from '../../src/sim/linearizability.js';

const UNKNOWN = Number.POSITIVE_INFINITY;

/** A write that took effect, or of which nobody knows. */
function write(invokedAt: number, returnedAt: number, value: number, existed = false): RegisterOperation {
  const result = returnedAt === UNKNOWN ? null : { took: true, existed, found: null };
  return { invokedAt, returnedAt, action: { kind: 'write', value, condition: null, result } };
}

function read(invokedAt: number, returnedAt: number, value: number): RegisterOperation {
  return { invokedAt, returnedAt, action: { kind: 'read', value } };
}

/** A write on condition; `took` null is an unknown outcome. */
function compareAndSet(
  invokedAt: number,
  returnedAt: number,
  condition: number,
  value: number,
  took: boolean | null,
  existed = true,
): RegisterOperation {
  const result = took === null ? null : { took, existed, found: null };
  return { invokedAt, returnedAt, action: { kind: 'write', value, condition, result } };
}

const good: readonly [string, readonly RegisterOperation[]][] = [
  ['nothing at all', []],
  ['a read of what was written', [write(1, 2, 7), read(3, 4, 7)]],
  ['a read of nothing before any write', [read(1, 2, 0)]],
  ['a read beside a write may see the old value', [write(1, 4, 7), read(2, 3, 0)]],
  ['a read beside a write may see the new value', [write(1, 4, 7), read(2, 3, 7)]],
  [
    'writes beside each other take effect in the order that the reads show',
    [write(1, 10, 1), write(2, 9, 2, true), read(11, 12, 2), read(13, 14, 2)],
  ],
  ['an unknown write that took effect', [write(1, UNKNOWN, 7), read(5, 6, 7)]],
  ['an unknown write that never did', [write(1, UNKNOWN, 7), read(5, 6, 0), read(7, 8, 0)]],
  ['an unknown write that took effect late', [write(1, UNKNOWN, 7), read(5, 6, 0), read(7, 8, 7)]],
  [
    'an unknown write that overwrites a later one',
    [write(1, UNKNOWN, 7), write(2, 3, 8), read(4, 5, 8), read(6, 7, 7)],
  ],
  ['an unknown condition that held', [write(1, 2, 1), compareAndSet(3, UNKNOWN, 1, 2, null), read(4, 5, 2)]],
  [
    'an unknown condition that did not',
    [write(1, 2, 1), compareAndSet(3, UNKNOWN, 9, 2, null), read(4, 5, 1)],
  ],
  ['a condition that held', [write(1, 2, 1), compareAndSet(3, 4, 1, 2, true), read(5, 6, 2)]],
  ['a condition that did not', [write(1, 2, 1), compareAndSet(3, 4, 9, 2, false), read(5, 6, 1)]],
  ['a deletion', [write(1, 2, 1), write(3, 4, 0, true), read(5, 6, 0), write(7, 8, 2, false)]],
];

const bad: readonly [string, readonly RegisterOperation[]][] = [
  ['a lost write', [write(1, 2, 7), read(3, 4, 0)]],
  ['a stale read', [write(1, 2, 1), write(3, 4, 2, true), read(5, 6, 1)]],
  ['a value out of nowhere', [read(1, 2, 7)]],
  ['a read from the future', [read(1, 2, 7), write(3, 4, 7)]],
  ['two reads that go back', [write(1, 10, 7), read(2, 3, 7), read(4, 5, 0)]],
  [
    'two clients that see two orders',
    [write(1, 10, 1), write(2, 10, 2, true), read(11, 12, 1), read(13, 14, 2)],
  ],
  ['an unknown write that was seen and vanished', [write(1, UNKNOWN, 7), read(5, 6, 7), read(7, 8, 0)]],
  ['an unknown write before it was invoked', [read(1, 2, 7), write(3, UNKNOWN, 7)]],
  [
    'an unknown write that took effect twice',
    [write(1, UNKNOWN, 7), read(2, 3, 7), write(4, 5, 8, true), read(6, 7, 8), read(8, 9, 7)],
  ],
  [
    'two conditions on one value that both held',
    [write(1, 2, 1), compareAndSet(3, 6, 1, 2, true), compareAndSet(4, 7, 1, 3, true)],
  ],
  ['a condition that held where it could not', [write(1, 2, 1), compareAndSet(3, 4, 9, 2, true)]],
  ['a condition that failed where it held', [write(1, 2, 1), compareAndSet(3, 4, 1, 2, false)]],
  ['a creation of what was there', [write(1, 2, 1), write(3, 4, 2, false)]],
  ['a deletion of what was not there', [write(1, 2, 0, true)]],
];

describe('the search for an order', () => {
  test.each(good)('finds one for %s', (_, operations) => {
    expect(checkLinearizable(operations)).toEqual({ kind: 'linearizable' });
  });

  test.each(bad)('finds none for %s', (_, operations) => {
    expect(checkLinearizable(operations).kind).toBe('violation');
  });

  test('gives up in time', () => {
    const writes = Array.from({ length: 40 }, (_, at) => write(at + 1, UNKNOWN, at + 1));
    const operations = [...writes, read(50, 51, 1), read(52, 53, 0)];
    expect(checkLinearizable(operations, 10_000)).toEqual({ kind: 'undecided' });
  });

  test('is quick where many operations overlap', () => {
    const writes = Array.from({ length: 300 }, (_, at) => write(2 * at + 1, 2 * at + 8, at + 1, at > 0));
    expect(checkLinearizable([...writes, read(700, 701, 300)])).toEqual({ kind: 'linearizable' });
  });

  test.each([1, 2, 3])('agrees with trying every order (%i)', (round) => {
    let state = round;
    const draw = (count: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * count);
    };
    for (let trial = 0; trial < 300; trial += 1) {
      const operations = Array.from({ length: 5 }, (_, at) => {
        const invokedAt = 1 + draw(12) + at / 100;
        const returnedAt = invokedAt + 0.001 + draw(6);
        const value = draw(3);
        if (draw(2) === 0) return read(invokedAt, returnedAt, value);
        return draw(3) === 0
          ? write(invokedAt, UNKNOWN, value)
          : write(invokedAt, returnedAt, value, draw(2) === 0);
      });
      const expected = tryEveryOrder(operations, 0) ? 'linearizable' : 'violation';
      expect(checkLinearizable(operations).kind, JSON.stringify(operations)).toBe(expected);
    }
  });
});

/** The definition itself: some operation that nothing precedes takes effect first, and so on. */
function tryEveryOrder(operations: readonly RegisterOperation[], state: number): boolean {
  if (operations.every((operation) => operation.returnedAt === UNKNOWN)) return true;
  const firstReturn = Math.min(...operations.map((operation) => operation.returnedAt));
  return operations.some((operation) => {
    if (operation.invokedAt > firstReturn) return false;
    const { action } = operation;
    const rest = operations.filter((other) => other !== operation);
    if (action.kind === 'read') return action.value === state && tryEveryOrder(rest, state);
    if (action.result !== null && action.result.existed !== (state !== 0)) return false;
    return tryEveryOrder(rest, action.value);
  });
}

describe('a history of clients', () => {
  const key = Buffer.from('key-1');
  const put = (value: string, ifRevision?: number) => ({
    kind: 'command' as const,
    command: {
      kind: 'put' as const,
      key,
      value: Buffer.from(value),
      contentType: '',
      ...(ifRevision === undefined ? {} : { ifRevision }),
    },
  });
  const get = { kind: 'get', key, byLease: false } as const;
  const item = (value: string, modRevision: number) => ({
    key,
    value: Buffer.from(value),
    createRevision: 1,
    modRevision,
    version: 1,
    contentType: '',
  });
  const verdictOf = (history: History) => {
    const operations = history.perKey().get('key-1') ?? [];
    return checkLinearizable(operations).kind;
  };

  test('is translated with its conditions, deletions and unknown outcomes', () => {
    const history = new History();
    const first = history.invoke(1, put('a'));
    history.settle(first, { kind: 'done', result: { kind: 'put', revision: 1, created: true } });
    history.settle(history.invoke(2, put('b', 1)), { kind: 'unknown' });
    history.settle(history.invoke(1, get), { kind: 'read', item: item('b', 2), appliedIndex: 2 });
    history.settle(history.invoke(1, put('c', 1)), {
      kind: 'done',
      result: { kind: 'preconditionFailed', revision: 2, modRevision: 2 },
    });
    const wipe = history.invoke(1, {
      kind: 'command',
      command: { kind: 'deletePrefix', prefix: Buffer.from('key') },
    });
    history.settle(wipe, { kind: 'done', result: { kind: 'delete', revision: 3, deleted: 1 } });
    history.settle(history.invoke(1, put('d')), { kind: 'refused' });
    history.settle(history.invoke(1, get), { kind: 'read', item: undefined, appliedIndex: 3 });
    expect(verdictOf(history)).toBe('linearizable');
    expect(history.counts()).toEqual({ done: 3, read: 2, refused: 1, unknown: 1 });
  });

  const refused = (modRevision: number) =>
    ({ kind: 'done', result: { kind: 'preconditionFailed', revision: 9, modRevision } }) as const;
  const done = (revision: number) =>
    ({ kind: 'done', result: { kind: 'put', revision, created: false } }) as const;

  test('takes a revision that only a refusal named for that of a put of unknown fate', () => {
    for (const unknownPuts of [['b'], ['b', 'also']]) {
      const history = new History();
      for (const value of unknownPuts) history.settle(history.invoke(2, put(value)), { kind: 'unknown' });
      history.settle(history.invoke(1, put('c', 7)), refused(8));
      history.settle(history.invoke(1, put('d', 8)), done(9));
      expect(verdictOf(history)).toBe('linearizable');
    }
  });

  test('shows a condition on a revision that cannot have been there', () => {
    const history = new History();
    history.settle(history.invoke(1, put('a')), {
      kind: 'done',
      result: { kind: 'put', revision: 1, created: true },
    });
    history.settle(history.invoke(1, put('d', 8)), done(9));
    expect(verdictOf(history)).toBe('violation');
    // With one put of unknown fate it is known which value the condition means, and that it came too late.
    const late = new History();
    late.settle(late.invoke(1, put('a')), {
      kind: 'done',
      result: { kind: 'put', revision: 1, created: true },
    });
    late.settle(late.invoke(1, put('d', 8)), done(9));
    late.settle(late.invoke(2, put('b')), { kind: 'unknown' });
    expect(verdictOf(late)).toBe('violation');
  });

  test('takes a revision that only a read of the past explained for that of the value it showed', () => {
    const afterwards = (seen: string) => {
      const history = new History();
      history.settle(history.invoke(1, put('a')), {
        kind: 'done',
        result: { kind: 'put', revision: 1, created: true },
      });
      history.settle(history.invoke(2, put('b')), { kind: 'unknown' });
      history.saw({ key, value: Buffer.from(seen), modRevision: 8 });
      const wipe = { kind: 'command', command: { kind: 'delete', key, ifRevision: 8 } } as const;
      history.settle(history.invoke(1, wipe), { kind: 'unknown' });
      history.settle(history.invoke(1, get), { kind: 'read', item: undefined, appliedIndex: undefined });
      return verdictOf(history);
    };
    expect(afterwards('b')).toBe('linearizable');
    // What nobody put cannot have been there for the deletion.
    expect(afterwards('x')).toBe('violation');
  });

  test('shows a refused write that was seen', () => {
    const history = new History();
    history.settle(history.invoke(1, put('a')), { kind: 'refused' });
    history.settle(history.invoke(1, get), { kind: 'read', item: item('a', 1), appliedIndex: 1 });
    expect(verdictOf(history)).toBe('violation');
  });

  test('shows a value that nobody wrote', () => {
    const history = new History();
    history.settle(history.invoke(1, get), { kind: 'read', item: item('x', 1), appliedIndex: 1 });
    expect(verdictOf(history)).toBe('violation');
  });
});
