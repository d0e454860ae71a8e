import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import { openKv } from '../../src/kv/state-machine.js';
import type { Command, WatchEvent, Watcher } from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import type { StoreDirectory } from '../../src/storage/ordered-store.js';
import { bytes, commandEntry, put, text } from './model.js';
import { observedStores } from './observed-stores.js';

/** An event as one line: revision-number kind key value. */
function line({ revision, number, kind, key, item }: WatchEvent): string {
  return `${revision}-${number} ${kind} ${text(key)}${item === undefined ? '' : ` ${text(item.value)}`}`;
}

class World {
  private readonly disk = new MemoryDisk();
  private soon: (() => void)[] = [];
  private snapshots = 0;
  /** Records that were read from views of the disk. */
  reads = 0;
  turns = 0;
  kv!: Awaited<ReturnType<typeof openKv>>;

  static async open(historyRevisions = 1_000): Promise<World> {
    const world = new World();
    world.kv = await openKv(world.countingDirectory(), 'state-0', {
      historyRevisions,
      soon: (task) => world.soon.push(task),
      applyTurn: () => Promise.resolve(),
    });
    return world;
  }

  private countingDirectory(): StoreDirectory {
    return observedStores(this.disk.directory(), { viewRead: () => (this.reads += 1) });
  }

  async apply(command: Command): Promise<void> {
    const entry = commandEntry(this.kv.appliedIndex + 1, command);
    await this.kv.prepare(entry);
    this.kv.apply(entry);
  }

  /** Replaces the state by a snapshot of another one that has applied more. */
  async replaceBy(ahead: World): Promise<void> {
    const snapshot = await ahead.kv.takeSnapshot();
    const staged = await this.kv.stageSnapshot(snapshot.metadata, snapshot.chunks());
    await snapshot.close();
    this.snapshots += 1;
    this.kv.activate(staged);
  }

  watch(key: string, isPrefix: boolean, revision = 0, number = Number.POSITIVE_INFINITY): Follower {
    return new Follower(this.kv.watch({ key: bytes(key), isPrefix, after: { revision, number } }));
  }

  /** Everything that can happen without another command. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 20; quiet += 1) {
      const tasks = this.soon.splice(0);
      for (const task of tasks) task();
      this.turns += tasks.length;
      if (tasks.length > 0) quiet = 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** Reads a watch to the end of what there is, again and again. */
class Follower {
  readonly lines: string[] = [];
  readonly events: WatchEvent[] = [];
  error: unknown;
  /** While true nothing more is read: a slow reader. */
  isPaused = false;
  private isReading = false;

  constructor(readonly watcher: Watcher) {
    this.read();
  }

  resume(): void {
    this.isPaused = false;
    this.read();
  }

  private read(): void {
    if (this.isReading || this.isPaused) return;
    this.isReading = true;
    this.watcher.read().then(
      (events) => {
        this.isReading = false;
        this.events.push(...events);
        this.lines.push(...events.map(line));
        this.read();
      },
      (error: unknown) => {
        this.error = error;
      },
    );
  }
}

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** Whether nothing refers to these objects any more. */
async function areCollected(references: readonly WeakRef<object>[]): Promise<boolean> {
  // A reference that was looked at keeps its object until the turn ends.
  for (let rounds = 0; rounds < 10; rounds += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    if (references.every((reference) => reference.deref() === undefined)) return true;
  }
  return false;
}

const remove = (key: string): Command => ({ kind: 'delete', key: bytes(key) });
const removePrefix = (prefix: string): Command => ({ kind: 'deletePrefix', prefix: bytes(prefix) });
const both = (one: string, other: string, value: string): Command => ({
  kind: 'txn',
  compare: [],
  success: [one, other].map((key) => ({
    kind: 'put',
    key: bytes(key),
    value: bytes(value),
    contentType: '',
  })),
  failure: [],
});

describe('a watch', () => {
  it('of a key or a prefix gets what comes, in order, and nothing else', async () => {
    const world = await World.open();
    const one = world.watch('a1', false);
    const all = world.watch('a', true);
    const other = world.watch('b', true);
    await world.apply(put('a1', 'x'));
    await world.apply(both('a2', 'a1', 'y'));
    await world.apply(removePrefix('a'));
    await world.settle();
    expect(one.lines).toEqual(['1-0 put a1 x', '2-1 put a1 y', '3-0 delete a1']);
    expect(all.lines).toEqual([
      '1-0 put a1 x',
      '2-0 put a2 y',
      '2-1 put a1 y',
      '3-0 delete a1',
      '3-1 delete a2',
    ]);
    expect(other.lines).toEqual([]);
    expect(other.watcher.settledThrough).toBe(3);
  });

  it('that waits for what this node has not reached claims nothing', async () => {
    const world = await World.open();
    await world.apply(put('a', 'x'));
    const ahead = world.watch('', true, 5);
    await world.settle();
    expect(ahead.watcher.settledThrough).toBeUndefined();
  });

  it('resumes in the middle of a revision, from memory and from the disk', async () => {
    const world = await World.open();
    const first = world.watch('', true);
    for (const value of ['x', 'y']) await world.apply(both('a', 'b', value));
    await world.settle();
    const expected = ['1-1 put b x', '2-0 put a y', '2-1 put b y'];
    expect(first.lines).toEqual(['1-0 put a x', ...expected]);
    expect((await followed(world, 1, 0)).lines).toEqual(expected);
    await world.kv.flush();
    first.watcher.close();
    // The window of the latest events begins anew with the first watch.
    expect((await followed(world, 1, 0)).lines).toEqual(expected);
    expect((await followed(world, 1)).lines).toEqual(expected.slice(1));
  });

  it('tells what a key was before', async () => {
    const world = await World.open();
    const watch = world.watch('a', false);
    for (const command of [put('a', 'x'), put('a', 'y'), remove('a'), put('a', 'z')])
      await world.apply(command);
    await world.settle();
    const previous = watch.events.map((event) => watch.watcher.previousOf(event));
    expect(previous.map((item) => item && text(item.value))).toEqual([undefined, 'x', 'y', undefined]);
  });

  it('that begins in the future waits for it', async () => {
    const world = await World.open();
    const watch = world.watch('a', false, 2);
    for (const value of ['1', '2', '3']) await world.apply(put('a', value));
    await world.settle();
    expect(watch.lines).toEqual(['3-0 put a 3']);
  });

  it('is refused where it would have to begin with what is compacted', async () => {
    const world = await World.open(2);
    for (const value of ['1', '2', '3', '4', '5']) await world.apply(put('a', value));
    const compacted = world.kv.compactedRevision;
    expect(() => world.watch('a', false, compacted - 1)).toThrow(RaftkvError);
    expect(() => world.watch('a', false, compacted, 0)).toThrow(
      expect.objectContaining({ code: 'compacted' }),
    );
    expect((await followed(world, compacted)).lines).toEqual(['4-0 put a 4', '5-0 put a 5']);
  });

  it('of a slow reader takes no memory, goes on where it was, and ends when that is compacted', async () => {
    const world = await World.open(20_000);
    const slow = world.watch('a', false);
    const lost = world.watch('a', false);
    await world.settle();
    slow.isPaused = true;
    lost.isPaused = true;
    for (let number = 1; number <= 12_000; number += 1) {
      await world.apply(put('a', `${number}`));
      if (number % 3_000 === 0) await world.kv.flush();
    }
    await world.settle();
    expect(slow.lines.length).toBeLessThan(300);
    slow.resume();
    while (slow.lines.length < 12_000) await world.settle();
    expect(slow.lines).toEqual(Array.from({ length: 12_000 }, (_, at) => `${at + 1}-0 put a ${at + 1}`));
    for (let number = 0; number < 20_000; number += 1) await world.apply(put('b', 'x'));
    lost.resume();
    await world.settle();
    expect(lost.error).toMatchObject({ code: 'compacted' });
  });

  it('reads of the past only what it asks for, in many turns of the event loop', async () => {
    const world = await World.open(20_000);
    const others = 3_000;
    for (let number = 0; number < others; number += 1) await world.apply(put(`b${number}`, 'x'));
    await world.apply(put('a', 'found'));
    await world.kv.flush();
    world.reads = 0;
    world.turns = 0;
    const watch = world.watch('a', false);
    await world.settle();
    expect(watch.lines).toEqual([`${others + 1}-0 put a found`]);
    expect(world.reads).toBe(1);
    expect(world.turns).toBeGreaterThan(others / 150);
  });

  it('reads the past for a few readers at a time, each until it reports that it has taken the events', async () => {
    const world = await World.open();
    for (const value of ['1', '2']) await world.apply(put('a', value));
    const given: number[] = [];
    const read = (watcher: Watcher | undefined, number: number): void => {
      watcher?.read().then(
        () => given.push(number),
        () => {},
      );
    };
    const begin = (number: number): Watcher => {
      const after = { revision: 0, number: Number.POSITIVE_INFINITY };
      const watcher = world.kv.watch({ key: bytes('a'), isPrefix: false, after, reportsTaken: true });
      read(watcher, number);
      return watcher;
    };
    const watchers = Array.from({ length: 14 }, (_, number) => begin(number));
    const givenAfter = async (act: () => void) => {
      act();
      await world.settle();
      return given.at(-1);
    };
    expect(await givenAfter(() => {})).toBe(7);
    expect(given).toHaveLength(8);
    expect(watchers.map(({ holdsPast }) => holdsPast)).toEqual(watchers.map((_, number) => number < 8));
    expect(await givenAfter(() => watchers[3]?.taken())).toBe(8);
    expect(watchers[3]?.holdsPast).toBe(false);
    // A place is freed once.
    expect(await givenAfter(() => watchers[3]?.taken())).toBe(8);
    expect(await givenAfter(() => watchers[4]?.close())).toBe(9);
    expect(await givenAfter(() => read(watchers[5], 5))).toBe(10);
    // One that leaves while it waits takes no place.
    watchers[11]?.close();
    expect(await givenAfter(() => watchers[0]?.taken())).toBe(12);
    // Readers that do not report occupy a place for the read alone.
    const silent = Array.from({ length: 20 }, () => world.watch('a', false));
    expect(await givenAfter(() => watchers[1]?.taken())).toBe(13);
    watchers[2]?.taken();
    await world.settle();
    for (const { lines } of silent) expect(lines).toEqual(['1-0 put a 1', '2-0 put a 2']);
    // All places are occupied again, and the end of their watches frees them.
    expect(await givenAfter(() => begin(14))).toBe(14);
    const late = world.watch('a', false);
    await world.settle();
    expect(late.lines).toEqual([]);
    world.kv.endWatches(new RaftkvError('unavailable', 'removed'));
    const next = world.watch('a', false);
    await world.settle();
    expect(next.lines).toHaveLength(2);
  });

  it.each([1, 100, 127, 128, 129, 300])(
    'reads the past of a buffer that grows while it is read: from %i changes on (row 28)',
    async (count) => {
      const world = await World.open();
      const apply = async (from: number, through: number) => {
        for (let number = from; number <= through; number += 1) await world.apply(put(`a${number}`, ''));
      };
      await apply(1, count);
      const watch = world.watch('a', true);
      // Between what it read first and what it reads next.
      await apply(count + 1, count + 200);
      await world.settle();
      await apply(count + 201, count + 210);
      await world.settle();
      expect(watch.events.map(({ revision }) => revision)).toEqual(
        Array.from({ length: count + 210 }, (_, at) => at + 1),
      );
    },
  );

  it('holds none of the events that it gave, however long its reader takes', async () => {
    const world = await World.open();
    // A read gives one of them.
    for (const value of ['1', '2']) await world.apply(put('a', value.repeat(300_000)));
    const after = { revision: 0, number: Number.POSITIVE_INFINITY };
    const watcher = world.kv.watch({ key: bytes('a'), isPrefix: false, after });
    const references: WeakRef<object>[] = [];
    void watcher.read().then((events) => references.push(...events.map((event) => new WeakRef(event))));
    await world.settle();
    expect(references).toHaveLength(1);
    expect(await areCollected(references)).toBe(true);
    expect(watcher.settledThrough).toBeUndefined();
  });

  it('holds no more of the latest events in memory than the bytes of the window', async () => {
    const world = await World.open();
    const references: WeakRef<object>[] = [];
    const watch = world.watch('a', false);
    await world.settle();
    for (let number = 0; number < 12; number += 1) {
      await world.apply(put('a', 'x'.repeat(1_000_000)));
      await world.settle();
      references.push(...watch.events.splice(0).map((event) => new WeakRef(event)));
    }
    expect(references).toHaveLength(12);
    // Eight of them are in the window.
    expect(await areCollected(references.slice(0, 4))).toBe(true);
  });

  it('holds nothing of the messages in which changes came', async () => {
    const world = await World.open();
    const watch = world.watch('a', false);
    // So large that its bytes are in no pool.
    const entry = commandEntry(1, put('a', 'x'.repeat(10_000)));
    world.kv.prepare(entry);
    world.kv.apply(entry);
    await world.settle();
    const [event] = watch.events;
    expect(event?.item?.value).toHaveLength(10_000);
    for (const kept of [event?.key, event?.item?.key, event?.item?.value]) {
      expect(kept?.buffer).not.toBe(entry.payload.buffer);
    }
  });

  it('goes on when a snapshot takes the place of the state', async () => {
    const world = await World.open();
    const ahead = await World.open();
    const waiting = world.watch('', true);
    for (const value of ['1', '2', '3', '4']) {
      await ahead.apply(put('a', value));
      if (value < '3') await world.apply(put('a', value));
    }
    await world.settle();
    await world.replaceBy(ahead);
    await world.apply(put('a', '5'));
    await world.settle();
    expect(waiting.lines).toEqual(['1', '2', '3', '4', '5'].map((value) => `${value}-0 put a ${value}`));
  });

  it('that is closed is told nothing, and keeps nobody else from it', async () => {
    const world = await World.open();
    const closed = world.watch('a', false);
    const open = world.watch('a', false);
    await world.settle();
    closed.watcher.close();
    await world.apply(put('a', '1'));
    await world.settle();
    expect([closed.lines, open.lines]).toEqual([[], ['1-0 put a 1']]);
  });

  it('of a node that was removed ends with the reason, whether anybody reads or not', async () => {
    const world = await World.open();
    const waiting = world.watch('a', false);
    const slow = world.watch('a', false);
    slow.isPaused = true;
    await world.settle();
    await world.apply(put('a', '1'));
    await world.settle();
    const reason = new RaftkvError('unavailable', 'removed');
    world.kv.endWatches(reason);
    slow.resume();
    await world.settle();
    expect([waiting.lines, slow.lines]).toEqual([['1-0 put a 1'], ['1-0 put a 1']]);
    expect([waiting.error, slow.error]).toEqual([reason, reason]);
    // Should the node be taken back, it serves watches again.
    const later = world.watch('a', false, 1);
    await world.apply(put('a', '2'));
    await world.settle();
    expect(later.lines).toEqual(['2-0 put a 2']);
  });

  it('gets every event once and in order, whatever happens around it (row 28)', async () => {
    const key = fc.constantFrom('a', 'ab', 'abc', 'b', '');
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ do: fc.constant('put' as const), key: fc.constantFrom('a', 'ab', 'b') }),
      },
      fc.record({ do: fc.constant('delete' as const), key: fc.constantFrom('a', 'ab') }),
      // The past is read in steps of more than a hundred changes.
      fc.record({ do: fc.constant('many' as const), count: fc.integer({ min: 1, max: 150 }) }),
      fc.record({ do: fc.constant('both' as const) }),
      fc.record({ do: fc.constant('removePrefix' as const), key: fc.constantFrom('a', 'ab') }),
      fc.record({ do: fc.constant('flush' as const) }),
      fc.record({ do: fc.constant('settle' as const) }),
      fc.record({ do: fc.constant('replace' as const) }),
      fc.record({ do: fc.constant('pause' as const), which: fc.nat(9) }),
      fc.record({ do: fc.constant('resume' as const), which: fc.nat(9) }),
      {
        weight: 3,
        arbitrary: fc.record({
          do: fc.constant('watch' as const),
          key,
          isPrefix: fc.boolean(),
          back: fc.oneof(fc.nat(6), fc.nat(200)),
          number: fc.nat(3),
        }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60, size: 'max' }), async (steps) => {
        const world = await World.open();
        // A twin that has applied the same, for snapshots, and follows everything from the beginning.
        const twin = await World.open();
        const everything = twin.watch('', true);
        const follow: {
          follower: Follower;
          key: string;
          isPrefix: boolean;
          after: readonly [number, number];
        }[] = [];
        let value = 0;
        const apply = async (command: Command) => {
          await world.apply(command);
          await twin.apply(command);
        };
        for (const one of steps) {
          switch (one.do) {
            case 'put':
              await apply(put(one.key, `${++value}`));
              break;
            case 'delete':
              await apply(remove(one.key));
              break;
            case 'many':
              for (let count = 0; count < one.count; count += 1) await apply(put('ab', `${++value}`));
              break;
            case 'both':
              await apply(both('a', 'b', `${++value}`));
              break;
            case 'removePrefix':
              await apply(removePrefix(one.key));
              break;
            case 'flush':
              // Under way while what follows happens.
              void world.kv.flush();
              break;
            case 'settle':
              await world.settle();
              break;
            case 'replace':
              await world.replaceBy(twin);
              break;
            case 'pause': {
              const chosen = follow[one.which];
              if (chosen) chosen.follower.isPaused = true;
              break;
            }
            case 'resume':
              follow[one.which]?.follower.resume();
              break;
            case 'watch': {
              if (!one.isPrefix && one.key === '') break;
              const revision = Math.max(0, world.kv.revision - one.back);
              const number = one.number === 3 ? Number.POSITIVE_INFINITY : one.number;
              const follower = world.watch(
                one.key,
                one.isPrefix,
                revision,
                revision === 0 ? Number.POSITIVE_INFINITY : number,
              );
              follow.push({ follower, key: one.key, isPrefix: one.isPrefix, after: [revision, number] });
            }
          }
        }
        for (const { follower } of follow) follower.resume();
        await twin.settle();
        await world.settle();
        for (const { follower, key: watched, isPrefix, after } of follow) {
          const [revision, number] = after;
          const expected = everything.events.filter((event) => {
            const isLater =
              event.revision > revision ||
              (event.revision === revision && revision > 0 && event.number > number);
            const name = text(event.key);
            return isLater && (isPrefix ? name.startsWith(watched) : name === watched);
          });
          expect(follower.error).toBeUndefined();
          expect(follower.lines).toEqual(expected.map(line));
        }
      }),
      { numRuns: 150 },
    );
  }, 60_000);
});

async function followed(
  world: World,
  revision: number,
  number = Number.POSITIVE_INFINITY,
): Promise<Follower> {
  const follower = world.watch('', true, revision, number);
  await world.settle();
  follower.watcher.close();
  return follower;
}
