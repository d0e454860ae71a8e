import { describe, expect, it } from 'vitest';
import { DigestComparison } from '../../src/node/digest-comparison.js';
import { DigestWindow } from '../../src/node/digest-window.js';
import { DIGEST_COMPARISON_MS, DIGEST_CONFIRMATION_MS, DIGEST_SETTLE_MS } from '../../src/node/limits.js';
import { configurationOfVoters } from '../../src/raft/configuration.js';
import type { Configuration, Member } from '../../src/raft/types.js';
import { memberCalled } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger } from './fakes.js';

/** The digest after each entry of a healthy member; from entry `since` on another one. */
function digests(entries: number, since = Number.POSITIVE_INFINITY): DigestWindow {
  const window = new DigestWindow();
  for (let index = 1; index <= entries; index += 1) window.note(index, index >= since ? index + 1000 : index);
  return window;
}

/** n1 among other voters, of whom each has such a window, does not answer (null), or is of a version that cannot. */
function member(
  own: DigestWindow,
  others: readonly (DigestWindow | null)[],
  configurationOf: (members: readonly Member[]) => Configuration = configurationOfVoters,
) {
  const clock = new FakeClock();
  const logger = new FakeLogger();
  const reasons: string[] = [];
  let questions = 0;
  const members = ['n1', ...others.map((_, at) => `n${at + 2}`)].map((id) => memberCalled(id));
  const comparison = new DigestComparison({
    clock,
    logger,
    id: 'n1',
    digests: own,
    configuration: () => configurationOf(members),
    ask: async (to, indexes) => {
      questions += 1;
      const window = others[Number(to.slice(1)) - 2];
      if (!window) throw new Error('It cannot be reached.');
      return indexes.map((index) => window.at(index));
    },
    compareRecords: async (to) => {
      if (!others[Number(to.slice(1)) - 2]) throw new Error('It cannot be reached.');
      return 'After entry 40 the live records differ in bucket 7 of 256.';
    },
    quarantine: (reason) => reasons.push(reason),
    random: () => 0,
  });
  comparison.start();
  /** So many comparisons. */
  const pass = async (count: number) => {
    for (let round = 0; round < count; round += 1)
      await clock.pass(DIGEST_COMPARISON_MS + DIGEST_CONFIRMATION_MS);
  };
  return { clock, comparison, reasons, logger, pass, questions: () => questions };
}

describe('a member that compares its digest', () => {
  it('goes on where all agree, and where nobody answers', async () => {
    for (const others of [[digests(50), digests(50)], [null, null], []]) {
      const { comparison, reasons, logger, pass } = member(digests(50), others);
      await pass(3);
      expect([reasons, logger.lines, comparison.differing]).toEqual([[], [], []]);
    }
  });

  it.each([
    [1, 'They have differed since entry 1, or since an earlier one.'],
    [2, 'The first entry after which they differ is 2.'],
    [37, 'The first entry after which they differ is 37.'],
    [50, 'The first entry after which they differ is 50.'],
  ])(
    'that differs from a majority since entry %i goes into quarantine and says since when',
    async (since, words) => {
      const { reasons, pass } = member(digests(50, since), [digests(50), null, digests(50), digests(50)]);
      await pass(3);
      expect(reasons[0]).toContain(words);
      expect(reasons[0]).toContain(
        'After entry 50 the digest of this state is 0000041a, and that of n2, n4, n5',
      );
      expect(reasons[0]).toContain(
        `${words} Compared with n2: After entry 40 the live records differ in bucket 7 of 256. Remove this member`,
      );
    },
  );

  it('does so when two comparisons one after the other say so, not when one does', async () => {
    const own = digests(50, 50);
    const { reasons, comparison, pass, clock } = member(own, [digests(51), digests(51)]);
    await clock.pass(DIGEST_CONFIRMATION_MS + DIGEST_SETTLE_MS);
    expect(comparison.differing).toEqual(['n2', 'n3']);
    // The next entry makes it the same again, as no real one can.
    own.note(51, 51);
    await pass(3);
    expect([reasons, comparison.differing]).toEqual([[], []]);
  });

  it('only says so where no digest has a majority', async () => {
    const { reasons, logger, comparison, pass } = member(digests(50, 50), [digests(50), null]);
    await pass(4);
    expect([reasons, comparison.differing]).toEqual([[], ['n2']]);
    expect(logger.lines).toEqual([
      expect.stringMatching(
        /No digest has a majority of the voters.* Compared with n2: .* in bucket 7 of 256\.$/,
      ),
    ]);
  });

  it('asks nobody any more once it is in quarantine', async () => {
    const { reasons, pass, questions } = member(digests(50, 37), [digests(50), digests(50)]);
    await pass(3);
    const asked = questions();
    await pass(3);
    expect([reasons.length, questions()]).toEqual([1, asked]);
  });

  it('is the majority where it is the only voter', async () => {
    const onlyVoter = (members: readonly Member[]) => ({
      ...configurationOfVoters(members),
      voters: ['n1'],
      learners: ['n2'],
    });
    const { reasons, logger, pass } = member(digests(50), [digests(50, 20)], onlyVoter);
    await pass(3);
    expect(reasons).toEqual([]);
    expect(logger.lines).toEqual([expect.stringContaining('A majority of the voters agrees')]);
  });

  it('only says so where it agrees with the majority', async () => {
    const { reasons, logger, comparison, pass } = member(digests(50), [digests(50), digests(50, 20)]);
    await pass(4);
    expect([reasons, comparison.differing]).toEqual([[], ['n3']]);
    expect(logger.lines).toEqual([
      expect.stringContaining('A majority of the voters agrees with this member'),
    ]);
  });

  it('does not compare what has no comparable digest', async () => {
    const own = digests(50);
    own.note(51, null);
    const { reasons, pass, questions } = member(own, [digests(51, 51), digests(51, 51)]);
    await pass(3);
    expect([reasons, questions()]).toEqual([[], 0]);
  });
});

describe('the window of digests', () => {
  it('remembers the last entries', () => {
    const window = digests(20_000);
    expect([window.at(20_000), window.at(20_001), window.at(window.firstIndex - 1)]).toEqual([
      20_000,
      null,
      null,
    ]);
    expect([window.at(window.firstIndex), window.lastIndex]).toEqual([window.firstIndex, 20_000]);
    expect(window.firstIndex).toBe(20_000 - 16_384 + 1);
  });

  it('begins anew with a snapshot, and with a state that can be compared', () => {
    const window = digests(5);
    window.note(100, 7);
    expect([window.at(5), window.at(100), window.firstIndex]).toEqual([null, 7, 100]);
    window.note(101, null);
    expect([window.at(100), window.lastIndex]).toEqual([null, undefined]);
    window.note(102, 8);
    expect([window.at(101), window.at(102)]).toEqual([null, 8]);
  });
});
