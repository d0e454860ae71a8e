import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { INDEX_BOUNDS } from '../../src/kv/answer-index.js';
import { LiveTotals } from '../../src/kv/live-sums.js';
import { type KvStateMachine, openKv } from '../../src/kv/state-machine.js';
import {
  type Command,
  type Compare,
  IDEMPOTENCY_MS,
  type Idempotency,
  type Item,
  type TxnOperation,
} from '../../src/kv/types.js';
import type { Entry } from '../../src/raft/types.js';
import { ReferenceStore } from '../../src/sim/reference-store.js';
import { findingsIn, waitingDisk } from './kit.js';
import { bytes, commandEntry, plain, plainBytes, text } from './model.js';

const HISTORY = 12;
/** A few superseded values, each of some 70 bytes. */
const HISTORY_BYTES = 600;

/** Few keys, near each other in every way that could confuse an encoding. */
const keyText = fc.constantFrom(
  'a',
  'a\x00',
  'a\x00\x01',
  'a\x00\xff',
  'aa',
  'ab',
  'b',
  '\x00',
  '\xff',
  '\xff\xff',
  'b\x01',
);
const prefixText = fc.constantFrom('a', 'a\x00', 'b', '\xff', 'zz');
const condition = fc.oneof(
  { weight: 4, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.constant({ ifAbsent: true }) },
  { weight: 1, arbitrary: fc.constant({ ifPresent: true }) },
  { weight: 1, arbitrary: fc.record({ ifRevision: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ ifRevisionIn: fc.array(fc.nat(20)) }) },
  { weight: 1, arbitrary: fc.record({ ifRevisionNotIn: fc.array(fc.nat(20)) }) },
);

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Of the records of all keys that exist, added up anew. */
function sumsOf(items: Iterable<Item>): Uint32Array {
  const totals = new LiveTotals();
  for (const item of items) totals.addKey(item.key, { lease: 0, ...item, deleted: false });
  return totals.sums;
}

type Step =
  | { readonly kind: 'command'; readonly command: Command; readonly passedMs: number | undefined }
  | { readonly kind: 'other' }
  | { readonly kind: 'flush' }
  | { readonly kind: 'startFlush' }
  | { readonly kind: 'finishWrites' }
  | { readonly kind: 'restart' }
  | { readonly kind: 'snapshot'; readonly cut: number };

const key = keyText.map(bytes);
const prefix = prefixText.map(bytes);
const number = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(0, ...[1, -1].map((sign) => sign * Number.MAX_SAFE_INTEGER)),
);
const value = fc
  .oneof(
    fc.string({ maxLength: 3 }),
    fc.constantFrom('5', '-7', '-0', '05', '9007199254740991', '9007199254740992'),
  )
  .map(bytes);
const contentType = fc.constantFrom('', 'text/plain');
const lease = fc.integer({ min: 1, max: 6 });
const ttlMs = fc.integer({ min: 1, max: 30 });
const op = fc.constantFrom('=', '!=', '<', '>');

const compare: fc.Arbitrary<Compare> = fc.oneof(
  fc.record({ key, target: fc.constant('value'), op, value }),
  fc.record({
    key,
    target: fc.constantFrom('version', 'createRevision', 'modRevision'),
    op,
    value: fc.nat(6),
  }),
  fc.record({
    key,
    target: fc.constant('exists'),
    op: fc.constantFrom('=', '!='),
    value: fc.boolean(),
  }),
);

const operation: fc.Arbitrary<TxnOperation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record(
      { kind: fc.constant('put'), key, value, contentType, lease },
      { requiredKeys: ['kind', 'key', 'value', 'contentType'] },
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('put'), key, value, contentType, ttlMs }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('add'), key, delta: number, initial: number }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('get', 'delete'), key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('getPrefix', 'deletePrefix'), prefix }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('getPrefix'), prefix: fc.constant(bytes('')) }) },
);

const readOperation: fc.Arbitrary<TxnOperation> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('get'), key }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('getPrefix'),
      prefix: fc.oneof(prefix, fc.constant(bytes(''))),
    }),
  },
);

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('txn'),
      compare: fc.array(compare, { maxLength: 2 }),
      success: fc.array(readOperation, { maxLength: 4 }),
      failure: fc.array(readOperation, { maxLength: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('txn'),
      compare: fc.array(compare, { maxLength: 2 }),
      success: fc.array(operation, { maxLength: 6 }),
      failure: fc.array(operation, { maxLength: 3 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        key,
        value,
        contentType,
        condition,
        fc.oneof(fc.constant({}), fc.record({ lease }), fc.record({ ttlMs })),
      )
      .map(([key, value, contentType, when, attach]) => ({
        kind: 'put' as const,
        key,
        value,
        contentType,
        ...when,
        ...attach,
      })),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('leaseGrant'), ttlMs }) },
  {
    weight: 2,
    arbitrary: fc.record(
      { kind: fc.constant('leaseKeepAlive'), lease, ttlMs },
      { requiredKeys: ['kind', 'lease'] },
    ),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leaseRevoke'), lease }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('leaseExpire'),
      lease,
      generation: fc.integer({ min: 1, max: 2 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('add'), key, delta: number, initial: number }),
  },
  {
    weight: 1,
    arbitrary: fc.record(
      { kind: fc.constant('compact'), revision: fc.integer({ min: 1, max: 60 }) },
      { requiredKeys: ['kind'] },
    ),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'tick' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('raiseVersion' as const),
      version: fc.integer({ min: 1, max: 2 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(keyText, condition)
      .map(([key, when]) => ({ kind: 'delete' as const, key: bytes(key), ...when })),
  },
  {
    weight: 1,
    arbitrary: prefixText.map((prefix) => ({ kind: 'deletePrefix' as const, prefix: bytes(prefix) })),
  },
);

/** Few keys, and mostly the same request under each. */
const idempotency: fc.Arbitrary<Idempotency> = fc.record({
  key: fc.constantFrom('k', 'k1', 'é'),
  fingerprint: fc.constantFrom(0, 0, 0, 1).map((byte) => new Uint8Array(16).fill(byte)),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      kind: fc.constant('command'),
      command: fc
        .tuple(command, fc.option(idempotency, { nil: undefined, freq: 3 }))
        .map(([plainCommand, one]) => (one ? { ...plainCommand, idempotency: one } : plainCommand)),
      // Below 0 when a leader does not know how far time had come.
      passedMs: fc.option(
        fc.oneof(
          { weight: 15, arbitrary: fc.integer({ min: -3, max: 10 }) },
          {
            weight: 1,
            arbitrary: fc.constantFrom(
              ...[1 / 48, 1 / 24, 1 / 2, 1].map((days) => days * IDEMPOTENCY_MS),
              IDEMPOTENCY_MS + 1,
            ),
          },
        ),
        { nil: undefined },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'other' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'flush' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'startFlush' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'finishWrites' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'restart' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('snapshot' as const), cut: fc.integer({ min: 1, max: 50 }) }),
  },
);

/** As in production, with few answers in it, or with none that are on disk. */
const answerIndex = fc.constantFrom(
  INDEX_BOUNDS,
  { tablesMax: 1, slotsMax: 4 },
  { tablesMax: 0, slotsMax: 4 },
);

async function apply(kv: KvStateMachine, entry: Entry) {
  await kv.prepare(entry);
  return kv.apply(entry);
}

/** The answer to a transaction that only reads, without the log: it is the one that the log gives. */
async function readBefore(kv: KvStateMachine, command: Command) {
  if (command.kind !== 'txn' || command.idempotency !== undefined) return undefined;
  const operations = [...command.success, ...command.failure];
  return operations.every(({ kind }) => kind.startsWith('get')) ? kv.readTxn(command) : undefined;
}

const KEYS = ['a', 'a\x00', 'aa', 'b', '\xff', 'nothing'];

/** Compares all leases and what is attached to them. */
async function expectSameLeases(kv: KvStateMachine, model: ReferenceStore): Promise<void> {
  const { logTimeMs } = model;
  const leases = [...model.leases.values()];
  const infos = leases.map(({ expiresAtMs, ...lease }) => ({
    ...lease,
    remainingMs: Math.max(0, expiresAtMs - logTimeMs),
  }));
  expect([kv.logTimeMs, kv.leaseCount]).toEqual([logTimeMs, leases.length]);
  expect([...kv.leases(0, 2), ...kv.leases(infos[1]?.lease ?? 0, 100)].slice(0, infos.length)).toEqual(infos);
  const times = leases.map(({ expiresAtMs }) => expiresAtMs).sort((a, b) => a - b);
  expect(kv.nextLeaseDueMs).toBe(times[0]);
  const due = kv.dueLeases(logTimeMs, 100).map(({ lease, generation }) => [lease, generation]);
  const expected = leases.filter(({ expiresAtMs }) => expiresAtMs <= logTimeMs);
  expect(due.sort()).toEqual(expected.map(({ lease, generation }) => [lease, generation]).sort());
  for (let lease = 1; lease <= 8; lease += 1) {
    expect(kv.lease(lease)).toEqual(infos.find((info) => info.lease === lease));
    expect((await kv.leaseKeys(lease, 100)).map(text)).toEqual(model.keysOf(lease));
  }
}

/** Compares every revision that can be read, key by key and page by page. */
async function expectSame(kv: KvStateMachine, model: ReferenceStore): Promise<void> {
  await expectSameLeases(kv, model);
  expect(kv.revision).toBe(model.revision);
  expect(kv.compactedRevision).toBe(model.compactedRevision);
  for (const key of KEYS) expect(plain(kv.get(bytes(key)))).toEqual(plain(model.at(model.revision).get(key)));
  for (let revision = model.compactedRevision; revision <= model.revision; revision += 1) {
    for (const key of KEYS) {
      expect(plain(kv.get(bytes(key), revision))).toEqual(plain(model.at(revision).get(key)));
    }
    for (const prefix of ['', 'a', '\xff']) {
      const listed: Item[] = [];
      for (let after: Uint8Array | undefined; ; ) {
        const page = await kv.list({ prefix: bytes(prefix), after, limit: 2, keysOnly: false, revision });
        expect(page.items.length).toBeLessThanOrEqual(2);
        listed.push(...page.items);
        if (!page.more) break;
        after = page.items[page.items.length - 1]?.key;
      }
      expect(listed.map(plain)).toEqual(model.list(prefix, revision).map(plain));
    }
  }
}

async function* cutInto(chunks: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += size) yield chunk.subarray(at, at + size);
  }
}

describe('the key-value state machine', () => {
  // In parts, so that each has its own time on a busy machine.
  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])(
    'rows 22, 24, 25: is what a plain model is, at every revision, over flushes, crashes and snapshots, part %i',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { maxLength: 100, size: 'max' }),
          answerIndex,
          async (steps, answerIndex) => {
            const { disk, finishWrites, finish } = waitingDisk();
            const model = new ReferenceStore(HISTORY, HISTORY_BYTES);
            const log: Entry[] = [];
            const results: unknown[] = [];
            const digests = [''];
            const open = (name: string) =>
              openKv(disk.directory(), name, {
                historyRevisions: HISTORY,
                historyBytes: HISTORY_BYTES,
                answerIndex,
              });
            /** Checks of the records that go on while everything else does; a crash ends them. */
            let checks: Promise<unknown>[] = [];
            let live = 'state-1';
            let kv = await open(live);
            digests[0] = kv.digest;
            for (const next of steps) {
              if (next.kind === 'command') {
                const { passedMs } = next;
                const logTimeMs =
                  passedMs === undefined ? undefined : Math.max(0, model.logTimeMs + passedMs);
                const entry = commandEntry(log.length + 1, next.command, logTimeMs);
                const answer = await finish(readBefore(kv, next.command));
                const expected = model.apply(next.command, logTimeMs);
                if (answer !== undefined) expect(plainBytes(answer)).toEqual(plainBytes(expected));
                const result = await finish(apply(kv, entry));
                expect(plainBytes(result)).toEqual(plainBytes(expected));
                log.push(entry);
                results.push(plainBytes(result));
                digests.push(kv.digest);
              } else if (next.kind === 'other') {
                const entry: Entry = { index: log.length + 1, term: 2, kind: 0, payload: new Uint8Array(0) };
                expect(kv.apply(entry)).toBeUndefined();
                log.push(entry);
                results.push(undefined);
                digests.push(kv.digest);
              } else if (next.kind === 'flush') {
                await finish(kv.flush());
                expect(kv.flushedIndex).toBe(kv.appliedIndex);
              } else if (next.kind === 'startFlush') {
                void kv.flush();
                checks.push(
                  kv.checkLive(turn, 2).then(
                    () => undefined,
                    (error: unknown) => error,
                  ),
                );
                await Promise.resolve();
              } else if (next.kind === 'finishWrites') {
                finishWrites();
              } else if (next.kind === 'restart') {
                const flushed = kv.flushedIndex;
                checks = [];
                disk.crash((write) => (write.operations.length % 2 === 0 ? 'durable' : 'lost'));
                kv = await open(live);
                expect(kv.appliedIndex).toBeGreaterThanOrEqual(flushed);
                expect(kv.digest).toBe(digests[kv.appliedIndex]);
                for (const entry of log.slice(kv.appliedIndex)) {
                  expect(plainBytes(await finish(apply(kv, entry)))).toEqual(results[entry.index - 1]);
                  expect(kv.digest).toBe(digests[entry.index]);
                }
              } else {
                const snapshot = await finish(kv.takeSnapshot());
                expect(snapshot.metadata.index).toBe(kv.appliedIndex);
                const staged = await finish(
                  kv.stageSnapshot(snapshot.metadata, cutInto(snapshot.chunks(), next.cut)),
                );
                await snapshot.close();
                kv.activate(staged);
                live = staged.directory;
                expect(kv.digest).toBe(digests[kv.appliedIndex]);
                expect(kv.flushedIndex).toBe(kv.appliedIndex);
              }
              expect(kv.revision).toBe(model.revision);
              // Undefined while they are counted, after a restart below cluster version 2.
              const keys = kv.countKeys();
              const existing = model.at(model.revision);
              if (keys !== undefined) expect(keys).toBe(existing.size);
              const sums = kv.liveSums()[0]?.sums;
              if (sums !== undefined) expect(Uint32Array.from(sums)).toEqual(sumsOf(existing.values()));
            }
            await finish(expectSame(kv, model));
            await finish(kv.flush());
            expect(await finish(Promise.all(checks))).toEqual(checks.map(() => undefined));
            await finish(kv.checkLive(async () => {}, 2));
            // The records on disk contradict each other nowhere, whatever was pruned.
            disk.crash(() => 'durable');
            expect(await findingsIn(await disk.directory().open(live))).toEqual([]);
          },
        ),
        { numRuns: 30 },
      );
    },
  );
});
