import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyConfiguration } from '../../src/raft/configuration.js';
import { hasMajority, majorityValue } from '../../src/raft/quorum.js';

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

  it('without voters nothing is decided', () => {
    expect(hasMajority(emptyConfiguration, () => true)).toBe(false);
  });
});
