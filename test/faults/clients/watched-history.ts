import type { Item, Revision } from '../../../src/kv/types.js';
import { textOf } from '../../../src/sim/bytes.js';
import { EventOrder, WatchedEvents } from '../../../src/sim/checkers/watched-events.js';
import type { Revisions } from '../../e2e/revisions.js';
import { violationOf } from './judge.js';
import { RecordedLog, RecordedStates } from './recorded-states.js';
import type { Delivery } from './watcher.js';

/** What one watcher was told, over all its connections. */
export interface Watched {
  readonly name: string;
  /** Of the keys that it asked for. */
  readonly prefix: string;
  readonly deliveries: readonly Delivery[];
}

export interface WatchedHistory {
  /** The states that follow from all events. */
  readonly states: RecordedStates;
  readonly violations: readonly string[];
}

/**
 * The history of the store, put together from what all watchers were told, and what is wrong with it: each of them must have every event
 * of it, once, in order, with the same content. No watcher alone says what was: every revision up to the last one must have
 * changed something, and exactly what was acknowledged or read.
 *
 * @param last The revision that is the last, as other reads say.
 */
export function judgeWatchers(
  watched: readonly Watched[],
  revisions: Revisions,
  last: Revision,
): WatchedHistory {
  const changes = unionOf(watched);
  const states = new RecordedStates();
  const violations: string[] = [];
  for (let revision = 1; revision <= last; revision += 1) {
    const changed = changes.get(revision);
    if (changed === undefined) violations.push(`No watcher was told of revision ${revision}.`);
    states.append(changed ?? new Map());
  }
  violations.push(...differencesFrom(revisions, states));
  const order = new EventOrder(new RecordedLog(states));
  for (const { name, prefix, deliveries } of watched) {
    const events = new WatchedEvents(order, name, (key) => key.startsWith(prefix), 0);
    const wrong = violationOf(() => {
      for (const delivery of deliveries) {
        if (delivery.kind === 'event') events.take([delivery.event]);
        else if (delivery.kind === 'progress') events.settled(delivery.revision);
        else events.compacted();
      }
      events.settled(last);
    });
    if (wrong !== undefined) violations.push(wrong);
  }
  return { states, violations };
}

/** Everything that any of them was told. Where two were told different things, one of them is found wrong later. */
function unionOf(watched: readonly Watched[]): ReadonlyMap<Revision, ReadonlyMap<string, Item | undefined>> {
  const changes = new Map<Revision, Map<string, Item | undefined>>();
  for (const { deliveries } of watched) {
    for (const delivery of deliveries) {
      if (delivery.kind !== 'event') continue;
      const { revision, key, item } = delivery.event;
      const changed = changes.get(revision) ?? new Map<string, Item | undefined>();
      changes.set(revision, changed);
      if (!changed.has(textOf(key))) changed.set(textOf(key), item);
    }
  }
  return changes;
}

/** What was acknowledged or read and is not in the history, or in another way. */
function differencesFrom(revisions: Revisions, states: RecordedStates): readonly string[] {
  const wrong: string[] = [];
  for (const { revision, keys, isWhole } of revisions.all()) {
    const changed = states.changesOf(revision);
    for (const [key, value] of Object.entries(keys)) {
      const item = changed.get(key);
      const shown = item === undefined ? null : textOf(item.value);
      if (!changed.has(key) || shown !== value)
        wrong.push(`Revision ${revision} made ${key} ${value}, and watchers were told ${shown}.`);
    }
    if (isWhole && changed.size !== Object.keys(keys).length)
      wrong.push(
        `Revision ${revision} changed ${Object.keys(keys)}, and watchers were told ${[...changed.keys()]}.`,
      );
  }
  return wrong;
}
