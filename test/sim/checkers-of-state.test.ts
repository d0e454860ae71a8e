import { describe, expect, it, test } from 'vitest';
import type { Command, CommandResult, WatchEvent } from '../../src/kv/types.js';
import { Acknowledged } from '../../src/sim/checkers/acknowledged.js';
import { Violation } from '../../src/sim/checkers/checker.js';
import { CounterOrder } from '../../src/sim/checkers/counter-order.js';
import { LeaseTime } from '../../src/sim/checkers/lease-time.js';
import { LockEnds } from '../../src/sim/checkers/lock-ends.js';
import { MadeOnce } from '../../src/sim/checkers/made-once.js';
import { ReferenceModel } from '../../src/sim/checkers/reference-model.js';
import { ShownStates } from '../../src/sim/checkers/shown-states.js';
import { EventOrder, WatchedEvents } from '../../src/sim/checkers/watched-events.js';
import { bytes, commandEntry, put } from '../kv/model.js';
import { node } from './fake-node.js';

/** The checkers of what commands do, and of what clients are told. */

const n1 = node('n1');
const n2 = node('n2');
const remove = (key: string): Command => ({ kind: 'delete', key: bytes(key) });
const wasPut = (revision: number, created = false): CommandResult => ({ kind: 'put', revision, created });
const item = (
  key: string,
  value: string,
  modRevision: number,
  version = 1,
  createRevision = modRevision,
) => ({
  key: bytes(key),
  value: bytes(value),
  createRevision,
  modRevision,
  version,
  contentType: '',
});

/** A model that was told these commands, each of which is right. */
function modelOf(...commands: readonly Command[]): ReferenceModel {
  const model = new ReferenceModel(100, 1e9);
  const twin = new ReferenceModel(100, 1e9);
  commands.forEach((command, at) => {
    model.applied(n1, commandEntry(at + 1, command), twin.store.apply(command));
  });
  return model;
}

describe('Nothing acknowledged is lost', () => {
  const command = put('k', 'v');
  const result = wasPut(3, true);

  test('allows what is in the log and on the member', () => {
    const checker = new Acknowledged();
    checker.performed(7, command, result);
    checker.acknowledged(command, result);
    checker.finished(n2, 7);
  });

  test('takes a repeat for what its first time did', () => {
    const checker = new Acknowledged();
    checker.performed(7, command, result);
    checker.performed(9, command, result);
    checker.acknowledged(command, result);
    checker.finished(n2, 7);
  });

  test('finds an answer that no log has', () => {
    const checker = new Acknowledged();
    expect(() => checker.acknowledged(command, result)).toThrow('the log has nothing there');
  });

  test('finds an answer for what another client did', () => {
    const checker = new Acknowledged();
    checker.performed(7, command, result);
    expect(() => checker.acknowledged(put('k', 'w'), result)).toThrow('another put');
  });

  test('finds a member that ends without it', () => {
    const checker = new Acknowledged();
    checker.performed(7, command, result);
    checker.acknowledged(command, result);
    expect(() => checker.finished(n2, 6)).toThrow('index 7 was acknowledged');
  });
});

describe('Every command gives the same result as the reference model', () => {
  test('allows the same answer on every node', () => {
    const model = modelOf(put('k', 'a'), put('k', 'b'));
    model.applied(n2, commandEntry(2, put('k', 'b')), wasPut(2));
    expect(model.itemAt('k', 1)?.version).toBe(1);
    expect(model.itemAt('k', 2)?.version).toBe(2);
  });

  test('finds a wrong answer of the first node', () => {
    expect(() =>
      new ReferenceModel(100, 1e9).applied(n1, commandEntry(1, put('k', 'a')), wasPut(1, false)),
    ).toThrow('should be {"kind":"put","revision":1,"created":true}');
  });

  test('finds another answer of a later node', () => {
    const model = modelOf(put('k', 'a'));
    expect(() => model.applied(n2, commandEntry(1, put('k', 'a')), wasPut(2, true))).toThrow('n2 answers');
  });

  test('finds a lease that ends in spite of its renewal', () => {
    const model = modelOf({ kind: 'leaseGrant', ttlMs: 500 }, { kind: 'leaseKeepAlive', lease: 1 });
    const expire = commandEntry(3, { kind: 'leaseExpire', lease: 1, generation: 1 }, 9000);
    const revoked = { kind: 'leaseRevoked', revision: 0, lease: 1, deleted: 0, remaining: false } as const;
    expect(() => model.applied(n1, expire, revoked)).toThrow('should be {"kind":"leaseKept"');
  });
});

describe('A read shows the state at some index', () => {
  const key = bytes('k');
  const model = modelOf(put('k', 'a'), put('k', 'b'), remove('k'), put('l', 'c'), put('m', 'd'));
  const checker = new ShownStates(model);

  test('allows what the log leaves at that index', () => {
    checker.newest('n2', key, undefined, 0);
    checker.newest('n2', key, item('k', 'a', 1), 1);
    checker.newest('n2', key, item('k', 'b', 2, 2, 1), 2);
    checker.newest('n2', key, undefined, 3);
  });

  test.each([
    ['the future', item('k', 'b', 2, 2, 1), 1],
    ['the past of another index', item('k', 'a', 1), 2],
    ['another value', item('k', 'c', 2, 2, 1), 2],
    ['another version', item('k', 'b', 2, 3, 1), 2],
    ['what was deleted', item('k', 'b', 2, 2, 1), 3],
    ['nothing where there is something', undefined, 2],
  ])('finds %s', (_, shown, appliedIndex) => {
    expect(() => checker.newest('n2', key, shown, appliedIndex)).toThrow(Violation);
  });

  test('looks at reads of the past in the same way', () => {
    checker.past('n2', key, item('k', 'a', 1), 1);
    expect(() => checker.past('n2', key, item('k', 'a', 1), 2)).toThrow(Violation);
  });

  test('looks at pages of a listing', () => {
    const [l, m] = [item('l', 'c', 4), item('m', 'd', 5)];
    checker.page('n2', bytes(''), { revision: 5, items: [l, m], more: false });
    checker.page('n2', bytes(''), { revision: 5, items: [l], more: true });
    checker.page('n2', bytes('k'), { revision: 5, items: [], more: false });
    expect(() => checker.page('n2', bytes(''), { revision: 5, items: [l], more: false })).toThrow(
      '1 of 2 keys',
    );
    expect(() => checker.page('n2', bytes(''), { revision: 4, items: [l, m], more: false })).toThrow(
      Violation,
    );
    expect(() => checker.page('n2', bytes(''), { revision: 5, items: [m], more: true })).toThrow(Violation);
  });

  test('looks at the pages after the first', () => {
    const m = item('m', 'd', 5);
    checker.page('n2', bytes(''), { revision: 5, items: [m], more: false }, bytes('l'));
    const again = { revision: 5, items: [item('l', 'c', 4), m], more: false };
    expect(() => checker.page('n2', bytes(''), again, bytes('l'))).toThrow(Violation);
  });

  test('looks whether a read is as new as it asks for, and how many keys there are', () => {
    checker.reaches('n2', 4, 4);
    expect(() => checker.reaches('n2', 5, 4)).toThrow('asked for revision 5 at least, and shows revision 4');
    checker.counted('n2', 1, 1);
    checker.counted('n2', 2, 5);
    expect(() => checker.counted('n2', 2, 3)).toThrow('counts 2 keys, where the log leaves 0');
  });

  test('allows a node to have dropped only what may be dropped', () => {
    const short = new ReferenceModel(2, 1e9);
    const twin = new ReferenceModel(2, 1e9);
    for (const index of [1, 2, 3, 4]) {
      const command = put('k', `${index}`);
      short.applied(n1, commandEntry(index, command), twin.store.apply(command));
    }
    new ShownStates(short).compacted('n1', 1, 2);
    expect(() => new ShownStates(short).compacted('n1', 2, 3)).toThrow('which must be kept');
    expect(() => new ShownStates(short).compacted('n1', 1, 1)).toThrow('which must be kept');
  });
});

describe('A repeat changes nothing and gets the first answer', () => {
  const command: Command = { ...put('k', 'v'), idempotency: { key: 'r', fingerprint: new Uint8Array(16) } };

  test('allows one change, and its answer again', () => {
    const checker = new MadeOnce();
    checker.performed(1, command, wasPut(1, true));
    checker.performed(2, command, wasPut(1, true));
    checker.answered('r', wasPut(1, true));
    checker.answered('r', wasPut(1, true));
  });

  test('finds a second change', () => {
    const checker = new MadeOnce();
    checker.performed(1, command, wasPut(1, true));
    expect(() => checker.performed(2, command, wasPut(2))).toThrow('at index 1 and again at index 2');
  });

  test('finds another answer', () => {
    const checker = new MadeOnce();
    checker.answered('r', wasPut(1, true));
    expect(() => checker.answered('r', wasPut(1))).toThrow(Violation);
  });
});

describe('A lease lasts for its time to live', () => {
  const granted = { kind: 'lease', revision: 0, lease: 1, ttlMs: 500 } as const;
  const expire: Command = { kind: 'leaseExpire', lease: 1, generation: 1 };
  const ended = { kind: 'leaseRevoked', revision: 0, lease: 1, deleted: 0, remaining: false } as const;

  function setUp(clockDrift = 0) {
    const time = { nowMs: 1000, leaptMs: 0, clockDrift };
    const checker = new LeaseTime(time);
    checker.renewed(granted, checker.asks({ kind: 'leaseGrant', ttlMs: 500 }));
    return { time, checker };
  }

  test('allows it to end after its time', () => {
    const { time, checker } = setUp();
    time.nowMs = 1500;
    checker.performed(1, expire, ended);
  });

  test('finds one that ended too early', () => {
    const { time, checker } = setUp();
    time.nowMs = 1490;
    expect(() => checker.performed(1, expire, ended)).toThrow('490 ms after it was renewed for 500 ms');
  });

  test('counts from the last renewal', () => {
    const { time, checker } = setUp();
    time.nowMs = 1400;
    checker.renewed(granted, checker.asks({ kind: 'leaseKeepAlive', lease: 1 }));
    time.nowMs = 1800;
    expect(() => checker.performed(1, expire, ended)).toThrow('400 ms');
  });

  test('gives clocks that are fast or leap what they count', () => {
    const fast = setUp(0.05);
    fast.time.nowMs = 1477;
    fast.checker.performed(1, expire, ended);
    const leaping = setUp();
    leaping.time.leaptMs = 300;
    leaping.time.nowMs = 1200;
    leaping.checker.performed(1, expire, ended);
  });

  test('lets its holder end it at any time', () => {
    const { checker } = setUp();
    checker.performed(1, { kind: 'leaseRevoke', lease: 1 }, ended);
  });
});

describe('A watch delivers every event once, in order, and only after it was applied', () => {
  const both: Command = {
    kind: 'txn',
    compare: [],
    success: [
      { kind: 'put', key: bytes('a'), value: bytes('2'), contentType: '' },
      { kind: 'put', key: bytes('b'), value: bytes('2'), contentType: '' },
    ],
    failure: [],
  };
  const model = modelOf(put('a', '1'), both, remove('a'));
  const event = (
    revision: number,
    number: number,
    key: string,
    shown: WatchEvent['item'],
    previousRevision: number,
  ): WatchEvent => ({
    kind: shown ? 'put' : 'delete',
    key: bytes(key),
    revision,
    number,
    item: shown,
    previousRevision,
  });
  const first = event(1, 0, 'a', item('a', '1', 1), 0);
  const second = event(2, 0, 'a', item('a', '2', 2, 2, 1), 1);
  const third = event(2, 1, 'b', item('b', '2', 2), 0);
  const last = event(3, 0, 'a', undefined, 2);
  const watch = (order = new EventOrder(model)) => new WatchedEvents(order, 'watch', () => true, 0);

  test('allows everything in order, at once or piece by piece', () => {
    const whole = watch();
    whole.take([first, second, third, last]);
    expect(whole.isComplete).toBe(true);
    const pieces = watch();
    for (const one of [first, second, third]) {
      expect(pieces.isComplete).toBe(false);
      pieces.take([one]);
    }
    pieces.settled(2);
    pieces.take([last]);
    expect(pieces.isComplete).toBe(true);
  });

  test('asks nothing about keys that are not watched', () => {
    const ofB = new WatchedEvents(new EventOrder(model), 'watch', (key) => key === 'b', 0);
    ofB.take([third]);
    expect(ofB.isComplete).toBe(true);
    expect(() => ofB.take([last])).toThrow('did not ask for');
  });

  test.each([
    ['an event that was left out', [first, third, last], 'was not given the change of a at revision 2'],
    ['a revision that was left out', [first, last], 'was not given'],
    ['a repeated event', [first, first], 'is given 1.0 (put of a) after 1.0'],
    ['events in the wrong order', [first, third, second], 'after 2.1'],
    ['an event that never was', [first, second, third, event(3, 0, 'b', undefined, 2)], 'which never was'],
    [
      'an event from the future',
      [first, second, third, last, event(4, 0, 'a', undefined, 0)],
      'nobody has applied',
    ],
    ['another value', [event(1, 0, 'a', item('a', 'x', 1), 0)], 'another content'],
    ['another previous revision', [first, event(2, 0, 'a', second.item, 0)], 'another content'],
  ])('finds %s', (_, events, message) => {
    expect(() => watch().take(events)).toThrow(message);
  });

  test('finds two nodes that number the events of a revision differently', () => {
    const order = new EventOrder(model);
    watch(order).take([first, second]);
    expect(() => watch(order).take([first, { ...third, number: 0 }])).toThrow('on one node');
  });

  test('finds a claim that nothing is missing', () => {
    const one = watch();
    one.take([first]);
    one.settled(1);
    expect(() => one.settled(2)).toThrow('was not given the change of a at revision 2');
    expect(() => watch().settled(9)).toThrow('nobody has applied');
  });

  test('finds a claim that what is kept is gone', () => {
    expect(() => watch().compacted()).toThrow('which must be kept');
  });

  test('looks at what the key was before', () => {
    const one = watch();
    one.take([first, second]);
    one.previous(first, undefined);
    one.previous(second, item('a', '1', 1));
    expect(() => one.previous(second, undefined)).toThrow('another value from before 2.0');
    expect(() => one.previous(second, item('a', '2', 2, 2, 1))).toThrow('another value from before 2.0');
  });

  test('goes on from what was read instead', () => {
    const one = watch();
    one.beginAnew(2);
    one.take([last]);
    expect(one.isComplete).toBe(true);
  });
});

describe('the checker of counters', () => {
  it('finds an add that was made twice, lost, or out of order', () => {
    const key = bytes('counter');
    const add = (delta: number) => ({ kind: 'add', key, delta, initial: 0 }) as const;
    const sum = (value: number) => ({ kind: 'added', revision: 1, created: false, value }) as const;
    // In a transaction, too.
    const counts: Command = { kind: 'txn', compare: [], success: [add(2)], failure: [] };
    const results = [{ kind: 'add', key, created: false, value: 4 }] as const;
    const counted = { kind: 'txn', revision: 1, succeeded: true, results } as const;
    const asked = () => {
      const order = new CounterOrder();
      for (const command of [add(1), counts]) order.begins(command);
      return order;
    };
    const right = asked();
    // The second one began before the first was answered.
    right.answered(sum(3), 0);
    right.answered(sum(2), 0);
    expect(right.highest).toBe(3);
    const lost = asked();
    lost.answered(sum(1), 0);
    expect(() => lost.answered(sum(1), 0)).toThrow('which another add was told');
    const late = asked();
    late.answered(sum(2), 0);
    expect(() => late.answered(sum(1), late.highest)).toThrow('not above 2');
    expect(() => asked().answered(counted, 0)).toThrow('more than all that was asked for');
  });
});

describe('A lock ends only by its token or its time to live', () => {
  const place = '.raftkv/locks/lock\0a';
  const taken: Command = { ...put(place, ''), ttlMs: 500 } as Command;

  /** A client holds the lock with token 1, which this command ends. */
  function ending(command: Command, more: (checker: LockEnds) => void = () => {}): LockEnds {
    const model = modelOf(taken);
    const checker = new LockEnds(model);
    checker.performed(1, taken, wasPut(1, true));
    checker.isTold(1);
    more(checker);
    const result = model.store.apply(command, command.kind === 'leaseExpire' ? 1000 : undefined);
    checker.performed(2, command, result);
    return checker;
  }

  test('allows its time, its token, and the end of a place that nobody was told of', () => {
    ending({ kind: 'leaseExpire', lease: 1, generation: 1 });
    ending({ kind: 'leaseRevoke', lease: 1 }, (checker) => checker.givesBack(1));
    const model = modelOf(taken);
    new LockEnds(model).performed(2, remove(place), model.store.apply(remove(place)));
  });

  test('does not take a command that changes nothing for the one before it', () => {
    const checker = ending({ kind: 'leaseExpire', lease: 1, generation: 1 });
    checker.performed(3, { kind: 'tick' }, { kind: 'ticked', revision: 2 });
  });

  test('finds any other end', () => {
    expect(() => ending({ kind: 'leaseRevoke', lease: 1 })).toThrow('ends the lock with token 1');
    expect(() => ending(remove(place))).toThrow('The delete at index 2');
    expect(() => ending(remove(place), (checker) => checker.givesBack(7))).toThrow('did not give it back');
  });
});
