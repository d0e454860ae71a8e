import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyConfiguration } from '../../src/raft/configuration.js';
import { encodedBytes } from '../../src/raft/entry-codec.js';
import { RaftLog } from '../../src/raft/log.js';
import type { Entry } from '../../src/raft/types.js';
import { entryAt } from './core-kit.js';

/** The log as a plain list, beside what is on disk and what each write under way will leave there. */
class Model {
  compacted = { index: 0, term: 0 };
  entries: readonly Entry[] = [];
  commit = 0;
  onDisk: readonly Entry[] = [];
  readonly writes: { readonly sequence: number; readonly onDisk: readonly Entry[] }[] = [];
  sequence = 0;
  /** A snapshot took the place of the log, and no write carries it yet. */
  isReset = false;

  get lastIndex(): number {
    return this.compacted.index + this.entries.length;
  }

  get lastTerm(): number {
    return this.entries.at(-1)?.term ?? this.compacted.term;
  }
}

type Command = (log: RaftLog, model: Model) => void;

function handOut(log: RaftLog, model: Model): void {
  if (!log.hasUnpersisted && !model.isReset) return;
  model.sequence += 1;
  const { truncateFrom, entries } = log.takeUnpersisted(model.sequence);
  const before = model.isReset ? [] : (model.writes.at(-1)?.onDisk ?? model.onDisk);
  const end = truncateFrom ?? Number.POSITIVE_INFINITY;
  const onDisk = [...before.filter((entry) => entry.index < end), ...entries];
  model.writes.push({ sequence: model.sequence, onDisk });
  model.isReset = false;
}

function persist(log: RaftLog, model: Model, count: number): void {
  const done = model.writes.splice(0, count).at(-1);
  if (done === undefined) return;
  log.persisted(done.sequence);
  model.onDisk = done.onDisk;
}

const commands: readonly fc.Arbitrary<Command>[] = [
  fc
    .record({ count: fc.integer({ min: 1, max: 4 }), termStep: fc.nat(1) })
    .map(({ count, termStep }) => (log, model) => {
      const term = Math.max(1, model.lastTerm + termStep);
      const { lastIndex } = model;
      const entries = Array.from({ length: count }, (_, offset) => entryAt(lastIndex + offset + 1, term));
      log.append(entries);
      model.entries = [...model.entries, ...entries];
    }),
  fc.nat(5).map((offset) => (log, model) => {
    const index = model.commit + 1 + offset;
    if (index > model.lastIndex) return;
    log.truncateFrom(index);
    model.entries = model.entries.filter((entry) => entry.index < index);
  }),
  fc.nat(4).map((step) => (log, model) => {
    model.commit = Math.min(model.commit + step, model.lastIndex);
    log.commitTo(model.commit);
  }),
  fc.constant(handOut),
  fc.integer({ min: 1, max: 3 }).map((count) => (log, model) => persist(log, model, count)),
  fc.nat(6).map((step) => (log, model) => {
    const index = Math.min(model.compacted.index + step, model.commit, log.durableIndex);
    if (index <= model.compacted.index) return;
    model.compacted = { index, term: log.termAt(index) ?? 0 };
    log.compactTo(index);
    model.entries = model.entries.filter((entry) => entry.index > index);
  }),
  fc.integer({ min: 1, max: 5 }).map((step) => (log, model) => {
    const index = model.commit + step;
    const term = model.lastTerm + 1;
    log.resetTo({ index, term, configuration: emptyConfiguration });
    model.compacted = { index, term };
    model.entries = [];
    model.commit = index;
    model.isReset = true;
  }),
];

function compare(log: RaftLog, model: Model): void {
  expect([log.firstIndex, log.lastIndex, log.lastTerm]).toEqual([
    model.compacted.index + 1,
    model.lastIndex,
    model.lastTerm,
  ]);
  expect(log.commitIndex).toBe(model.commit);
  expect(log.slice(log.firstIndex, log.lastIndex)).toEqual(model.entries);
  expect(log.bytes).toBe(model.entries.reduce((sum, entry) => sum + encodedBytes(entry), 0));
  expect(log.termAt(model.lastIndex + 1)).toBeUndefined();
  expect(log.termAt(model.compacted.index - 1)).toBeUndefined();
  // What is called durable is on disk as it stands here: the very same entry, not one with the same index (row 3).
  expect(log.durableIndex).toBeLessThanOrEqual(log.lastIndex);
  for (const entry of model.entries) {
    if (entry.index <= log.durableIndex) expect(model.onDisk).toContain(entry);
  }
}

describe('log', () => {
  it('agrees with a plain list, and calls durable only what is on disk (rows 3, 10, 23)', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(...commands), { maxLength: 60, size: 'max' }), (script) => {
        const log = new RaftLog({ index: 0, term: 0 }, [], 0);
        const model = new Model();
        for (const command of script) {
          command(log, model);
          compare(log, model);
        }
        handOut(log, model);
        persist(log, model, model.writes.length);
        compare(log, model);
        expect(log.durableIndex).toBe(log.lastIndex);
      }),
      { numRuns: 500 },
    );
  });

  it('gives slices of at most so many bytes, and never fewer than one entry', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(50), { minLength: 1, maxLength: 20, size: 'max' }),
        fc.integer({ min: 1, max: 200 }),
        fc.nat(19),
        (sizes, bytesMax, start) => {
          const entries = sizes.map((size, position) => entryAt(position + 1, 1, new Uint8Array(size)));
          const log = new RaftLog({ index: 0, term: 0 }, entries, 0);
          const first = Math.min(start + 1, entries.length);
          const slice = log.slice(first, entries.length, bytesMax);
          expect(slice).toEqual(entries.slice(first - 1, first - 1 + slice.length));
          const bytes = slice.reduce((sum, entry) => sum + encodedBytes(entry), 0);
          expect(slice.length === 1 || bytes <= bytesMax).toBe(true);
          const next = entries[first - 1 + slice.length];
          if (next) expect(bytes + encodedBytes(next)).toBeGreaterThan(bytesMax);
        },
      ),
    );
  });

  it('finds the last place where it could agree with a leader (§5.3)', () => {
    const entries = [1, 1, 2, 2, 5].map((term, position) => entryAt(position + 1, term));
    const log = new RaftLog({ index: 0, term: 0 }, entries, 0);
    expect(log.lastAgreement(9, 5)).toEqual({ index: 5, term: 5 });
    expect(log.lastAgreement(5, 4)).toEqual({ index: 4, term: 2 });
    expect(log.lastAgreement(4, 1)).toEqual({ index: 2, term: 1 });
    expect(log.lastAgreement(4, 0)).toEqual({ index: 0, term: 0 });
  });

  it('refuses what would break its invariants, in full sentences', () => {
    const entries = [1, 1, 2].map((term, position) => entryAt(position + 1, term));
    const log = new RaftLog({ index: 0, term: 0 }, entries, 2);
    expect(() => log.append([entryAt(5, 2)])).toThrow('Entry 5 does not follow 3.');
    expect(() => log.append([entryAt(4, 1)])).toThrow('Entry 4 goes back from term 2.');
    expect(() => log.truncateFrom(2)).toThrow('Index 2 is committed and must not be truncated.');
    expect(() => log.commitTo(4)).toThrow(
      /entries that were acknowledged are gone.*old copy: remove the member from the cluster, wipe its data directory and start it with --join/,
    );
    expect(() => log.compactTo(3)).toThrow('Index 3 is not committed and must not be compacted.');
    expect(() => log.resetTo({ index: 2, term: 2, configuration: emptyConfiguration })).toThrow(
      'A snapshot at 2 would take back commits.',
    );
  });
});
