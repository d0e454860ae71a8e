import { describe, expect, it } from 'vitest';
import { Revisions } from '../../e2e/revisions.js';
import { statesOf } from './histories.js';
import { judgeGlances, judgeListings } from './past-reader.js';
import { judgeWatchers } from './watched-history.js';
import type { Delivery } from './watcher.js';

const states = statesOf({ a: '1' }, { a: '2', b: '2' }, { a: null }, { a: '4' });
const LAST = 4;

/** Revision 2 changes two keys. */
const right: readonly Delivery[] = [
  eventOf(1, 0, 'a'),
  eventOf(2, 0, 'a'),
  eventOf(2, 1, 'b'),
  { kind: 'progress', revision: 2 },
  eventOf(3, 0, 'a'),
  eventOf(4, 0, 'a'),
];

function eventOf(revision: number, number: number, key: string, more: object = {}): Delivery {
  const item = states.itemAt(key, revision);
  const kind = item === undefined ? ('delete' as const) : ('put' as const);
  const previousRevision = states.itemAt(key, revision - 1)?.modRevision ?? 0;
  const event = { revision, number, kind, key: Buffer.from(key), item, previousRevision, ...more };
  return { kind: 'event', event, previousLease: undefined };
}

function acknowledgements(): Revisions {
  const revisions = new Revisions();
  revisions.acknowledged(1, 0, { a: '1' });
  revisions.acknowledged(2, 1, { a: '2', b: '2' });
  revisions.note(4, { a: '4' });
  return revisions;
}

function judge(...all: readonly (readonly Delivery[])[]): readonly string[] {
  const watched = all.map((deliveries, place) => ({ name: `w${place}`, prefix: '', deliveries }));
  return judgeWatchers(watched, acknowledgements(), LAST).violations;
}

describe('what watchers were told', () => {
  it('is right where all have everything once and in order', () => {
    expect(judge(right, right)).toEqual([]);
  });

  const second = right[1] ?? eventOf(2, 0, 'a');
  it.each<[string, readonly Delivery[], string]>([
    ['a lost event', right.filter((one) => one !== second), 'was not given'],
    ['a lost last event', right.slice(0, -1), 'was not given'],
    ['a repeated event', [...right.slice(0, 2), second, ...right.slice(2)], 'after 2.0'],
    ['events out of order', [...right.slice(0, 4), ...right.slice(4).reverse()], 'w1 was not given'],
    ['a revision that nobody made', [...right, eventOf(5, 0, 'b')], 'nobody has applied'],
    ['a claim about the future', [...right, { kind: 'progress', revision: 5 }], 'nobody has applied'],
    [
      'a claim that there is no more',
      [...right.slice(0, 1), { kind: 'progress', revision: 2 }],
      'was not given',
    ],
    [
      'a claim that it is gone',
      [...right.slice(0, 1), { kind: 'compacted' }, ...right.slice(1)],
      'must be kept',
    ],
    [
      'another content',
      [...right.slice(0, -1), eventOf(4, 0, 'a', { previousRevision: 2 })],
      'another content',
    ],
    [
      'another order within a revision',
      [...right.slice(0, 1), eventOf(2, 0, 'b'), eventOf(2, 1, 'a'), ...right.slice(3)],
      'on another',
    ],
  ])('is wrong with %s at one of them', (_, deliveries, message) => {
    expect(judge(right, deliveries).join()).toContain(message);
  });

  it('is right where one asked for less, and wrong where that one was told more or less than it asked for', () => {
    const ofB = (deliveries: readonly Delivery[]) => {
      const watched = [
        { name: 'w', prefix: '', deliveries: right },
        { name: 'of b', prefix: 'b', deliveries },
      ];
      return judgeWatchers(watched, acknowledgements(), LAST).violations.join();
    };
    const own = eventOf(2, 1, 'b');
    expect(ofB([own, { kind: 'progress', revision: 4 }])).toBe('');
    expect(ofB([{ kind: 'progress', revision: 4 }, own])).toContain('was not given');
    expect(ofB([own, eventOf(3, 0, 'a')])).toContain('did not ask for');
  });

  it('is wrong where all of them miss the same', () => {
    const withoutThird = right.filter((one) => one.kind !== 'event' || one.event.revision !== 3);
    expect(judge(withoutThird, withoutThird).join()).toContain('No watcher was told of revision 3');
    const withoutB = right.filter((one) => one.kind !== 'event' || one.event.key.toString() !== 'b');
    expect(judge(withoutB, withoutB).join()).toContain('Revision 2');
  });

  it('is wrong where it is not what was acknowledged', () => {
    const revisions = acknowledgements();
    revisions.note(4, { b: '4' });
    const watched = [{ name: 'w', prefix: '', deliveries: right }];
    expect(judgeWatchers(watched, revisions, LAST).violations.join()).toContain('Revision 4 made b 4');
    const more = new Revisions();
    more.acknowledged(2, 0, { a: '2' });
    expect(judgeWatchers(watched, more, LAST).violations.join()).toContain('Revision 2 changed a,');
  });

  it('is wrong where all say the same wrong thing of how often a key was put', () => {
    const item = states.itemAt('a', 4);
    const wrong = [...right.slice(0, -1), eventOf(4, 0, 'a', { item: { ...item, version: 2 } })];
    expect(judge(wrong, wrong).join()).toContain('another content');
  });
});

describe('reads of the past', () => {
  const glance = (revision: number, item: { value: string; modRevision: number } | undefined) => ({
    node: 'n1',
    key: 'a',
    revision,
    item,
  });

  it('are right where they show what was', () => {
    expect(judgeGlances([glance(1, { value: '1', modRevision: 1 }), glance(3, undefined)], states)).toEqual(
      [],
    );
  });

  it.each([
    ['the newest', glance(1, { value: '4', modRevision: 4 })],
    ['another value', glance(1, { value: '2', modRevision: 1 })],
    ['nothing', glance(1, undefined)],
    ['what was deleted', glance(3, { value: '2', modRevision: 2 })],
  ])('are wrong where they show %s', (_, one) => {
    expect(judgeGlances([one], states)).toHaveLength(1);
  });
});

describe('listings', () => {
  const listing = (revision: number, more: object = {}) => ({
    node: 'n1',
    prefix: '',
    revision,
    items: states.list('', revision),
    more: false,
    ...more,
  });

  it('are right where they show what was, now and in the past', () => {
    expect(
      judgeListings(
        [1, 2, 3, 4].map((revision) => listing(revision)),
        states,
      ),
    ).toEqual([]);
  });

  it('are wrong where they show another past, or less of it', () => {
    expect(judgeListings([listing(1, { items: states.list('', 2) })], states)).toHaveLength(1);
    expect(judgeListings([listing(2, { items: states.list('', 2).slice(0, 1) })], states)).toHaveLength(1);
  });
});
