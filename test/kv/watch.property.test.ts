import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type KvStateMachine, openKv } from '../../src/kv/state-machine.js';
import type { Command, Item, Watcher, WatchPosition } from '../../src/kv/types.js';
import type { Entry } from '../../src/raft/types.js';
import { ReferenceStore } from '../../src/sim/reference-store.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { waitingDisk } from './kit.js';
import { bytes, commandEntry, plain, text } from './model.js';

const HISTORY = 25;
/** A few superseded values, each of some 70 bytes. */
const HISTORY_BYTES = 600;
const WHOLE = Number.POSITIVE_INFINITY;

/** Few of them fill a read. */
const large = 'large'.repeat(20_000);
const keyText = fc.constantFrom('a', 'a\x00', 'aa', 'ab', 'b', '\x00', '\xff', '\xff\xff');
const putOf = ([key, value]: [string, string]) => ({
  kind: 'put' as const,
  key: bytes(key),
  value: bytes(value),
  contentType: '',
});
const put = fc.tuple(keyText, fc.constantFrom('', 'v', 'w', 'x', 'y', large)).map(putOf);
const removal = keyText.map((key) => ({ kind: 'delete' as const, key: bytes(key) }));
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: put },
  { weight: 2, arbitrary: removal },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom('a', 'b', '\xff')
      .map((prefix) => ({ kind: 'deletePrefix' as const, prefix: bytes(prefix) })),
  },
  {
    weight: 2,
    arbitrary: fc.array(fc.oneof(put, removal), { minLength: 1, maxLength: 5 }).map((success) => ({
      kind: 'txn' as const,
      compare: [],
      success,
      failure: [],
    })),
  },
);
const target = fc.oneof(
  fc.record({ isPrefix: fc.constant(false), key: keyText }),
  fc.record({ isPrefix: fc.constant(true), key: fc.constantFrom('', '', 'a', 'aa', '\xff') }),
);

const only = <Kind extends string>(kind: Kind) => fc.record({ kind: fc.constant(kind) });
const which = fc.nat(19);
/** How many reads are made before the client stops taking anything. */
const reads = fc.oneof(fc.constant(WHOLE), fc.integer({ min: 1, max: 3 }));
const step = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('commands' as const),
      commands: fc.array(command, { minLength: 1, maxLength: 6 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('follow' as const), entries: fc.integer({ min: 1, max: 8 }) }),
  },
  { weight: 8, arbitrary: only('turn' as const) },
  { weight: 2, arbitrary: only('settle' as const) },
  { weight: 2, arbitrary: only('flush' as const) },
  { weight: 2, arbitrary: only('startFlush' as const) },
  { weight: 2, arbitrary: only('finishWrites' as const) },
  { weight: 1, arbitrary: only('install' as const) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('watch' as const),
      target,
      /** Below or above the newest revision by so much. */
      offset: fc.integer({ min: -HISTORY - 2, max: 4 }),
      number: fc.constantFrom(WHOLE, WHOLE, 0, 1),
      reads,
      times: fc.constantFrom(1, 1, 1, 12),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('resume' as const), which, reads }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('reconnect' as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), which }) },
);

/** An event as it compares and prints well. */
interface PlainEvent extends WatchPosition {
  readonly kind: 'put' | 'delete';
  readonly key: string;
  readonly item: ReturnType<typeof plain>;
  readonly previousRevision: number;
}

/** All changes between the states of the model. Which of them came first within one revision the node says. */
function changesOf(states: readonly ReadonlyMap<string, Item>[]) {
  return states.slice(1).flatMap((now, at) => {
    const before = states[at] ?? new Map<string, Item>();
    return [...new Set([...before.keys(), ...now.keys()])]
      .filter((key) => before.get(key) !== now.get(key))
      .map((key): Omit<PlainEvent, 'number'> => {
        const item = now.get(key);
        const previousRevision = before.get(key)?.modRevision ?? 0;
        return { revision: at + 1, kind: item ? 'put' : 'delete', key, item: plain(item), previousRevision };
      });
  });
}

const isLater = (event: WatchPosition, { revision, number }: WatchPosition) =>
  event.revision > revision || (event.revision === revision && event.number > number);

/** A client of one watch, over all its connections. */
class Client {
  readonly received: PlainEvent[] = [];
  watcher: Watcher | undefined;
  error: unknown;
  readsLeft = 0;
  isReading = false;

  constructor(
    readonly target: { readonly isPrefix: boolean; readonly key: string },
    readonly start: WatchPosition,
    private readonly kv: KvStateMachine,
  ) {}

  get isOpen(): boolean {
    return this.watcher !== undefined && this.error === undefined;
  }

  /** Begins at a place, or learns that this is gone. */
  connect(after: WatchPosition, readsLeft: number): void {
    const { isPrefix, key } = this.target;
    const { compactedRevision } = this.kv;
    const needed = after.number === WHOLE ? after.revision + 1 : after.revision;
    try {
      this.watcher = this.kv.watch({ isPrefix, key: bytes(key), after });
      expect(needed).toBeGreaterThan(compactedRevision);
    } catch (error) {
      if (needed > compactedRevision) throw error;
      expect(error).toMatchObject({ code: 'compacted' });
      this.error = error;
    }
    this.isReading = false;
    this.read(readsLeft);
  }

  read(readsLeft: number): void {
    this.readsLeft = readsLeft;
    void this.readOn();
  }

  close(): void {
    this.watcher?.close();
    this.watcher = undefined;
  }

  private async readOn(): Promise<void> {
    const { watcher } = this;
    if (this.isReading || !this.isOpen || watcher === undefined) return;
    this.isReading = true;
    try {
      while (this.readsLeft > 0 && this.watcher === watcher) {
        const events = await watcher.read();
        // It was closed after this was given and before it came here.
        if (this.watcher !== watcher) return;
        this.readsLeft -= 1;
        for (const { revision, number, kind, key, item, previousRevision } of events) {
          expect(revision).toBeLessThanOrEqual(this.kv.revision);
          this.received.push({ revision, number, kind, key: text(key), item: plain(item), previousRevision });
        }
      }
    } catch (error) {
      this.error = error;
    }
    if (this.watcher === watcher) this.isReading = false;
  }
}

describe('watches', () => {
  it('row 28: lose, repeat, swap and foresee nothing, over flushes, compaction, snapshots, slow readers and reconnects', async () => {
    const seen = { events: 0, compactions: 0, reconnects: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 120, size: 'max' }),
        fc.integer({ min: 1, max: 12 }),
        async (steps, eventsMax) => {
          const { disk, finishWrites, finish } = waitingDisk();
          const tasks: (() => void)[] = [];
          const turn = async () => {
            for (const task of tasks.splice(0)) task();
            for (let count = 0; count < 40; count += 1) await Promise.resolve();
          };
          const clients: Client[] = [];
          // A read that is full is followed by the next one without another turn of the event loop.
          const settle = async () => {
            const received = () => clients.reduce((sum, client) => sum + client.received.length, 0);
            for (let before = -1; tasks.length > 0 || received() > before; ) {
              before = received();
              await turn();
            }
          };
          const model = new ReferenceStore(HISTORY, HISTORY_BYTES);
          const log: Entry[] = [];
          // The leader has everything at once, and its disk never waits.
          const leader = await openKv(new MemoryDisk().directory(), 'state-1', {
            historyRevisions: HISTORY,
            historyBytes: HISTORY_BYTES,
          });
          const kv = await openKv(disk.directory(), 'state-1', {
            historyRevisions: HISTORY,
            historyBytes: HISTORY_BYTES,
            window: { eventsMax, bytesMax: 1_000_000 },
            soon: (task) => tasks.push(task),
            applyTurn: () => Promise.resolve(),
          });
          // Says in which order the changes of each revision were made.
          const orders: PlainEvent[] = [];
          const all = leader.watch({ key: bytes(''), isPrefix: true, after: { revision: 0, number: WHOLE } });
          const apply = async (to: KvStateMachine, entry: Entry) => {
            await to.prepare(entry);
            to.apply(entry);
          };
          const open = () => clients.filter((client) => client.isOpen);
          const expectedOf = ({ target: { isPrefix, key }, start }: Client, through: number) =>
            orders.filter((event) => {
              const concerns = isPrefix ? event.key.startsWith(key) : event.key === key;
              return concerns && event.revision <= through && isLater(event, start);
            });

          for (const next of steps) {
            if (next.kind === 'commands') {
              for (const one of next.commands) {
                const { revision } = leader;
                model.apply(one);
                const entry = commandEntry(log.length + 1, one);
                log.push(entry);
                await apply(leader, entry);
                if (leader.revision === revision) continue;
                const count = orders.length + changesOf(model.states.slice(-2)).length;
                // Large values take several reads.
                while (orders.length < count) {
                  for (const { kind, number, key, item, previousRevision } of await all.read()) {
                    const event = { revision: leader.revision, number, kind, key: text(key) };
                    orders.push({ ...event, item: plain(item), previousRevision });
                  }
                }
              }
            } else if (next.kind === 'follow') {
              for (const entry of log.slice(kv.appliedIndex, kv.appliedIndex + next.entries)) {
                await finish(apply(kv, entry));
              }
            } else if (next.kind === 'install') {
              const snapshot = await leader.takeSnapshot();
              const staged = await finish(kv.stageSnapshot(snapshot.metadata, snapshot.chunks()));
              await snapshot.close();
              kv.activate(staged);
            } else if (next.kind === 'flush') {
              await finish(kv.flush());
            } else if (next.kind === 'startFlush') {
              // A state that is replaced takes its flush with it.
              kv.flush().catch(() => {});
              await Promise.resolve();
            } else if (next.kind === 'finishWrites') {
              finishWrites();
            } else if (next.kind === 'turn') {
              await turn();
            } else if (next.kind === 'settle') {
              await settle();
            } else if (next.kind === 'watch') {
              const revision = Math.max(0, kv.revision + next.offset);
              const start = { revision, number: revision === 0 ? WHOLE : next.number };
              for (let count = 0; count < next.times; count += 1) {
                const client = new Client(next.target, start, kv);
                client.connect(start, next.reads);
                clients.push(client);
              }
            } else {
              const client = open()[next.which % Math.max(1, open().length)];
              if (next.kind === 'resume') client?.read(next.reads);
              else if (next.kind === 'close') client?.close();
              else if (client !== undefined) {
                // By the last event, or by where the node said that it was.
                const settled = { revision: client.watcher?.settledThrough ?? -1, number: WHOLE };
                const last = client.received.at(-1) ?? client.start;
                client.close();
                client.connect(isLater(settled, last) ? settled : last, 3);
                seen.reconnects += 1;
              }
            }
            for (const client of open()) {
              const settled = client.watcher?.settledThrough;
              if (settled === undefined) continue;
              expect(client.received.length).toBe(expectedOf(client, Math.min(settled, kv.revision)).length);
              expect(expectedOf(client, settled).length).toBe(client.received.length);
            }
          }

          for (const client of open()) client.read(WHOLE);
          await settle();
          // The leader itself is right about everything but the order of its changes.
          const plainOrder = ({ revision, key }: { revision: number; key: string }) =>
            `${1e6 + revision} ${key}`;
          const sorted = <Event extends { revision: number; key: string }>(events: readonly Event[]) =>
            events.toSorted((one, other) => (plainOrder(one) < plainOrder(other) ? -1 : 1));
          expect(sorted(orders).map(({ number: _, ...event }) => event)).toEqual(
            sorted(changesOf(model.states)),
          );
          for (const client of clients) {
            const expected = expectedOf(client, kv.revision);
            const { length } = client.received;
            expect(client.received).toEqual(client.isOpen ? expected : expected.slice(0, length));
            seen.events += length;
            if (client.error === undefined) continue;
            expect(client.error).toMatchObject({ code: 'compacted' });
            seen.compactions += 1;
          }
          for (const client of clients) client.close();
          await finish(kv.close());
        },
      ),
      { numRuns: 150 },
    );
    // Otherwise the test would have looked at nothing.

    expect([seen.events > 5_000, seen.compactions > 100, seen.reconnects > 100]).toEqual([true, true, true]);
  }, 60_000);
});
