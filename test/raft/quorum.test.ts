import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  applyChange,
  type ConfigurationChange,
  configurationOfVoters,
  emptyConfiguration,
  leaveJoint,
} from '../../src/raft/configuration.js';
import { hasMajority, isVotedDown, majorityValue } from '../../src/raft/quorum.js';
import type { Configuration } from '../../src/raft/types.js';
import { memberCalled } from './core-kit.js';

const ids = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7'];
const voters = fc.uniqueArray(fc.constantFrom(...ids), { minLength: 1 });
const outgoing = fc.uniqueArray(fc.constantFrom(...ids));
const values = fc.array(fc.nat(9), { minLength: ids.length, maxLength: ids.length });

/** The definition: more than half of each set of voters that there is. */
const holdsOnMajority = (set: readonly string[], holds: (id: string) => boolean): boolean =>
  set.length === 0 || set.filter(holds).length * 2 > set.length;

describe('majorities (§5.2, §6)', () => {
  it('the value of a majority is the greatest that more than half of the voters, and of the outgoing ones, reached', () => {
    fc.assert(
      fc.property(voters, outgoing, values, (incoming, leaving, reached) => {
        const configuration = { ...emptyConfiguration, voters: incoming, outgoingVoters: leaving };
        const reachedBy = (id: string) => reached[ids.indexOf(id)] ?? 0;
        const agreed = majorityValue(configuration, reachedBy);
        for (let value = 0; value <= 10; value += 1) {
          const isReached =
            holdsOnMajority(incoming, (id) => reachedBy(id) >= value) &&
            holdsOnMajority(leaving, (id) => reachedBy(id) >= value);
          expect(agreed >= value).toBe(isReached);
        }
      }),
    );
  });

  it('two majorities of one configuration share a voter', () => {
    fc.assert(
      fc.property(voters, outgoing, fc.subarray(ids), fc.subarray(ids), (incoming, leaving, some, others) => {
        const configuration = { ...emptyConfiguration, voters: incoming, outgoingVoters: leaving };
        const isMajority = (set: readonly string[]) => hasMajority(configuration, (id) => set.includes(id));
        if (!isMajority(some) || !isMajority(others)) return;
        expect(some.some((id) => others.includes(id) && incoming.includes(id))).toBe(true);
      }),
    );
  });

  it('is out of reach when either half has a majority against it, and only then', () => {
    fc.assert(
      fc.property(voters, outgoing, fc.subarray(ids), (incoming, leaving, against) => {
        const configuration = { ...emptyConfiguration, voters: incoming, outgoingVoters: leaving };
        const isAgainst = (id: string) => against.includes(id);
        const byHalf = [incoming, leaving].some(
          (half) => half.length > 0 && holdsOnMajority(half, isAgainst),
        );
        expect(isVotedDown(configuration, isAgainst)).toBe(byHalf);
        if (byHalf) expect(hasMajority(configuration, (id) => !isAgainst(id))).toBe(false);
      }),
    );
  });

  it('without voters nothing is decided', () => {
    expect(hasMajority(emptyConfiguration, () => true)).toBe(false);
  });
});

/** What one step does to a configuration; a step that makes no sense, or must wait, leaves it as it is. */
type Step = ConfigurationChange | { readonly kind: 'leaveJoint' };
const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('addLearner' as const),
    member: fc.constantFrom(...ids.map((id) => memberCalled(id))),
  }),
  fc.record({ kind: fc.constant('promote' as const), id: fc.constantFrom(...ids) }),
  fc.record({ kind: fc.constant('remove' as const), id: fc.constantFrom(...ids) }),
  fc.record({ kind: fc.constant('replaceVoters' as const), voters }),
  fc.record({ kind: fc.constant('leaveJoint' as const) }),
);

function take(configuration: Configuration, step: Step): Configuration {
  if (step.kind === 'leaveJoint') return leaveJoint(configuration);
  const next = applyChange(configuration, step);
  return typeof next === 'string' ? configuration : next;
}

/** All subsets, which are few. */
const subsets = Array.from({ length: 2 ** ids.length }, (_, bits) =>
  ids.filter((_id, position) => (bits & (1 << position)) !== 0),
);

describe('changes (§6, thesis §4.1)', () => {
  it('never let two majorities of consecutive configurations miss each other, whatever changes', () => {
    fc.assert(
      fc.property(fc.array(steps, { minLength: 1, maxLength: 8, size: 'max' }), (changes) => {
        let before = configurationOfVoters(ids.slice(0, 3).map((id) => memberCalled(id)));
        for (const step of changes) {
          const after = take(before, step);
          if (after === before) continue;
          const deciding = (configuration: Configuration) =>
            subsets.filter((set) => hasMajority(configuration, (id) => set.includes(id)));
          const later = deciding(after);
          for (const some of deciding(before)) {
            const missed = later.find((others) => !others.some((id) => some.includes(id)));
            expect([some, missed]).toEqual([some, undefined]);
          }
          before = after;
        }
      }),
    );
  });

  it('keep every voter a member, and nobody a voter and a learner at once', () => {
    fc.assert(
      fc.property(fc.array(steps, { minLength: 1, maxLength: 12, size: 'max' }), (changes) => {
        let configuration = configurationOfVoters(ids.slice(0, 3).map((id) => memberCalled(id)));
        for (const step of changes) {
          configuration = take(configuration, step);
          const { members, outgoingVoters, learners } = configuration;
          const voting = [...configuration.voters, ...outgoingVoters];
          expect(members.map(({ id }) => id)).toEqual([...new Set([...voting, ...learners])].sort());
          expect(learners.filter((id) => voting.includes(id))).toEqual([]);
          expect(configuration.voters).not.toEqual([]);
        }
      }),
    );
  });
});
