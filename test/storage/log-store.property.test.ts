import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyConfiguration } from '../../src/raft/configuration.js';
import type { Entry, HardState, Persist, SnapshotMetadata } from '../../src/raft/types.js';
import { LogStore } from '../../src/storage/log-store.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';

/** What the log should be, kept the plainest way. */
interface Model {
  hardState: HardState;
  compacted: SnapshotMetadata;
  entries: readonly Entry[];
  stateDirectory: string | undefined;
  sequence: number;
}

type Step =
  | { readonly kind: 'append'; readonly count: number; readonly termGrowth: number }
  | { readonly kind: 'truncate'; readonly back: number; readonly count: number }
  | { readonly kind: 'compact'; readonly share: number }
  | { readonly kind: 'snapshot'; readonly ahead: number; readonly count: number }
  | { readonly kind: 'commit'; readonly share: number }
  | { readonly kind: 'write' }
  | { readonly kind: 'reopen' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('append' as const), count: fc.nat(4), termGrowth: fc.nat(2) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('truncate' as const), back: fc.nat(6), count: fc.nat(4) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('compact' as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('snapshot' as const), ahead: fc.nat(5), count: fc.nat(3) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('commit' as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 5, arbitrary: fc.constant({ kind: 'write' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'reopen' as const }) },
);

const lastIndexOf = (model: Model) => model.compacted.index + model.entries.length;
const lastTermOf = (model: Model) => model.entries[model.entries.length - 1]?.term ?? model.compacted.term;

function entriesFrom(first: number, count: number, term: number): Entry[] {
  return Array.from({ length: count }, (_, offset) => ({
    index: first + offset,
    term,
    kind: 1,
    payload: new Uint8Array([first + offset, term]),
  }));
}

/** Performs the step on the model and returns the batch that does the same to the log. */
function perform(model: Model, step: Step): Persist {
  model.sequence += 1;
  let persist: Persist = {
    sequence: model.sequence,
    hardState: null,
    snapshot: null,
    compact: null,
    truncateFrom: null,
    entries: [],
  };
  const { hardState, compacted } = model;
  if (step.kind === 'append') {
    const term = hardState.term + step.termGrowth;
    const entries = entriesFrom(lastIndexOf(model) + 1, step.count, term);
    model.entries = [...model.entries, ...entries];
    if (step.termGrowth > 0) model.hardState = { ...hardState, term, vote: null };
    persist = { ...persist, entries };
  } else if (step.kind === 'truncate') {
    const from = Math.max(hardState.commit + 1, lastIndexOf(model) + 1 - step.back);
    const kept = model.entries.filter((entry) => entry.index < from);
    const term = hardState.term + 1;
    const entries = entriesFrom(compacted.index + kept.length + 1, step.count, term);
    model.entries = [...kept, ...entries];
    model.hardState = { ...hardState, term, vote: 'n2' };
    persist = { ...persist, truncateFrom: from, entries };
  } else if (step.kind === 'compact') {
    const index = compacted.index + Math.floor((hardState.commit - compacted.index) * step.share);
    const term = model.entries.find((entry) => entry.index === index)?.term ?? compacted.term;
    model.compacted = { index, term, configuration: emptyConfiguration };
    model.entries = model.entries.filter((entry) => entry.index > index);
    persist = { ...persist, compact: model.compacted };
  } else if (step.kind === 'snapshot') {
    const index = lastIndexOf(model) + step.ahead;
    model.compacted = { index, term: hardState.term, configuration: emptyConfiguration };
    model.entries = entriesFrom(index + 1, step.count, hardState.term);
    model.hardState = { ...hardState, commit: index };
    model.stateDirectory = `state-${model.sequence}`;
    persist = { ...persist, snapshot: model.compacted, entries: model.entries };
  } else if (step.kind === 'commit') {
    const commit = hardState.commit + Math.floor((lastIndexOf(model) - hardState.commit) * step.share);
    model.hardState = { ...hardState, commit };
  }
  return model.hardState === hardState ? persist : { ...persist, hardState: model.hardState };
}

function expectSame(log: LogStore, model: Model): void {
  expect(log.hardState).toEqual(model.hardState);
  expect(log.compacted).toEqual(model.compacted);
  expect(log.stateDirectory).toBe(model.stateDirectory);
  expect(log.entries.map(({ index, term, payload }) => [index, term, [...payload]])).toEqual(
    model.entries.map(({ index, term, payload }) => [index, term, [...payload]]),
  );
  expect(log.lastIndex).toBe(lastIndexOf(model));
}

describe('the log store', () => {
  it('row 2: holds after any sequence of batches, however they were merged, what the batches say', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40, size: 'max' }), async (steps) => {
        const disk = new MemoryDisk();
        const model: Model = {
          hardState: { term: 1, vote: null, commit: 0 },
          compacted: { index: 0, term: 0, configuration: emptyConfiguration },
          entries: [],
          stateDirectory: 'state-0',
          sequence: 0,
        };
        let store = await disk.directory().open('log');
        let log = await LogStore.open(store);
        await log.writeBootstrap(
          { cluster: 'c', id: 'n1', incarnation: 'i' },
          model.hardState,
          [],
          'state-0',
        );
        let waiting: Persist[] = [];
        for (const next of [...steps, { kind: 'reopen' } as Step]) {
          if (next.kind === 'write' || next.kind === 'reopen') {
            const installs = waiting.some((persist) => persist.snapshot !== null);
            if (waiting.length > 0) await log.write(waiting, installs ? model.stateDirectory : undefined);
            waiting = [];
            expect(log.lastIndex).toBe(lastIndexOf(model));
          } else {
            waiting.push(perform(model, next));
          }
          if (next.kind === 'reopen') {
            await store.close();
            store = await disk.directory().open('log');
            log = await LogStore.open(store);
            expectSame(log, model);
            expect(lastTermOf(model)).toBeLessThanOrEqual(log.hardState.term);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
