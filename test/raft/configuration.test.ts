import { describe, expect, it } from 'vitest';
import {
  applyChange,
  type ConfigurationChange,
  configurationOfVoters,
  decodeConfiguration,
  encodeConfiguration,
  isVoter,
  knowsIncarnation,
  leaveJoint,
} from '../../src/raft/configuration.js';
import type { Configuration } from '../../src/raft/types.js';
import { memberCalled, threeVoters } from './core-kit.js';

const withLearner: Configuration = {
  ...threeVoters,
  members: [...threeVoters.members, memberCalled('n4')],
  learners: ['n4'],
};
const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

describe('configuration format', () => {
  it('gives back what it was given, joint voters and learners included', () => {
    const joint: Configuration = { ...withLearner, outgoingVoters: ['n1', 'n2'] };
    expect(decodeConfiguration(encodeConfiguration(joint))).toEqual(joint);
  });

  it('has the same bytes for the same members in any order, because their hash names the cluster', () => {
    const members = ['n1', 'n2', 'n3'].map((id) => memberCalled(id));
    const turned = configurationOfVoters([...members].reverse());
    expect(encodeConfiguration(turned)).toEqual(encodeConfiguration(configurationOfVoters(members)));
  });

  it('of a later version is refused with both versions named', () => {
    expect(() => decodeConfiguration(bytesOf({ ...threeVoters, version: 2 }))).toThrow(
      'The configuration has format 2; this version of raftkv reads format 1.',
    );
  });

  it('that is damaged is refused', () => {
    expect(() => decodeConfiguration(bytesOf({ version: 1, voters: ['n1'] }))).toThrow(
      'The configuration is malformed: it has no list of members.',
    );
    expect(() => decodeConfiguration(bytesOf({}))).toThrow('format undefined');
    expect(() => decodeConfiguration(Uint8Array.of(1, 2, 3))).toThrow();
  });
});

describe('changes of one server (thesis §4.1)', () => {
  const change = (configuration: Configuration, step: ConfigurationChange): Configuration => {
    const result = applyChange(configuration, step);
    if (typeof result === 'string') throw new Error(result);
    return result;
  };

  it('adds a learner, promotes it, and removes a voter', () => {
    const added = change(threeVoters, { kind: 'addLearner', member: memberCalled('n0') });
    expect([added.learners, added.voters, added.members.map((one) => one.id)]).toEqual([
      ['n0'],
      ['n1', 'n2', 'n3'],
      ['n0', 'n1', 'n2', 'n3'],
    ]);
    const promoted = change(added, { kind: 'promote', id: 'n0' });
    expect([promoted.learners, promoted.voters]).toEqual([[], ['n0', 'n1', 'n2', 'n3']]);
    const removed = change(promoted, { kind: 'remove', id: 'n2' });
    expect([removed.voters, isVoter(removed, 'n2')]).toEqual([['n0', 'n1', 'n3'], false]);
    expect(change(added, { kind: 'remove', id: 'n0' })).toEqual(threeVoters);
  });

  it('binds a member that was added by hand to the first incarnation that is heard of', () => {
    const byHand = change(threeVoters, { kind: 'addLearner', member: memberCalled('n4', '') });
    expect(knowsIncarnation(byHand, 'n4', 'n4-1')).toBe(false);
    const bound = change(byHand, { kind: 'updateMember', member: memberCalled('n4') });
    expect(knowsIncarnation(bound, 'n4', 'n4-1')).toBe(true);
  });

  it('brings an address up to date', () => {
    const member = { ...memberCalled('n2'), peerAddress: 'elsewhere:7000' };
    const updated = change(threeVoters, { kind: 'updateMember', member });
    expect(updated.members[1]).toEqual(member);
    expect(updated.voters).toEqual(threeVoters.voters);
  });

  it('replaces any number of voters by way of a joint configuration, in which nobody has left yet', () => {
    const withLearners = change(withLearner, { kind: 'addLearner', member: memberCalled('n5') });
    const more = change(withLearners, { kind: 'addLearner', member: memberCalled('n6') });
    const joint = change(more, { kind: 'replaceVoters', voters: ['n5', 'n1', 'n4'] });
    expect(joint).toEqual({
      members: ['n1', 'n2', 'n3', 'n4', 'n5'].map((id) => memberCalled(id)),
      voters: ['n1', 'n4', 'n5'],
      outgoingVoters: ['n1', 'n2', 'n3'],
      learners: [],
    });
    expect([isVoter(joint, 'n2'), isVoter(joint, 'n4')]).toEqual([true, true]);
    expect(leaveJoint(joint)).toEqual(
      configurationOfVoters(['n1', 'n4', 'n5'].map((id) => memberCalled(id))),
    );
    expect(applyChange(joint, { kind: 'remove', id: 'n2' })).toBe('The voters are being replaced already.');
  });

  it('keeps the learners of a joint configuration when that ends', () => {
    const joint: Configuration = { ...withLearner, voters: ['n1', 'n2'], outgoingVoters: threeVoters.voters };
    expect(leaveJoint(joint)).toEqual({
      members: ['n1', 'n2', 'n4'].map((id) => memberCalled(id)),
      voters: ['n1', 'n2'],
      outgoingVoters: [],
      learners: ['n4'],
    });
  });

  const refusals: readonly [string, Configuration, ConfigurationChange][] = [
    ['n1 is a member already.', threeVoters, { kind: 'addLearner', member: memberCalled('n1') }],
    ['n2 is not a learner.', threeVoters, { kind: 'promote', id: 'n2' }],
    ['n9 is not a learner.', threeVoters, { kind: 'promote', id: 'n9' }],
    ['n9 is not a member.', threeVoters, { kind: 'remove', id: 'n9' }],
    ['n1 is the last voter.', configurationOfVoters([memberCalled('n1')]), { kind: 'remove', id: 'n1' }],
    ['n9 is not a member.', threeVoters, { kind: 'updateMember', member: memberCalled('n9') }],
    ['n9 is not a member.', threeVoters, { kind: 'replaceVoters', voters: ['n1', 'n9'] }],
    ['A cluster needs at least one voter.', threeVoters, { kind: 'replaceVoters', voters: [] }],
    [
      'n1, n2, n3 are the voters already.',
      threeVoters,
      { kind: 'replaceVoters', voters: ['n3', 'n2', 'n1'] },
    ],
    [
      'n2 is bound to another incarnation.',
      threeVoters,
      { kind: 'updateMember', member: memberCalled('n2', 'n2-2') },
    ],
  ];
  for (const [sentence, configuration, step] of refusals) {
    it(`refuses: ${sentence}`, () => expect(applyChange(configuration, step)).toBe(sentence));
  }
});
