import { describe, expect, it } from 'vitest';
import type { MembershipChange } from '../../src/http/port.js';
import { planMembership, type Situation } from '../../src/node/membership-plan.js';
import { configurationOfVoters } from '../../src/raft/configuration.js';
import type { Configuration } from '../../src/raft/types.js';
import { memberCalled } from '../raft/core-kit.js';

const at = (...ids: readonly string[]) => ids.map((id) => ({ id, peer: `${id}:7000` }));
const set = (...ids: readonly string[]): MembershipChange => ({ kind: 'set', members: at(...ids) });

function votersOf(...ids: readonly string[]): Configuration {
  return configurationOfVoters(ids.map((id) => memberCalled(id)));
}

const three = votersOf('n1', 'n2', 'n3');
const withLearner: Configuration = {
  ...three,
  members: [...three.members, memberCalled('n4')],
  learners: ['n4'],
};

/** n1 leads; everybody answers unless said otherwise, and whoever is new can be reached. */
function situation(configuration: Configuration, silent: readonly string[] = []): Situation {
  const members = configuration.members.map((member) => member.id);
  return {
    configuration,
    leader: 'n1',
    live: new Set(members.filter((id) => !silent.includes(id))),
    unreachable: new Map(),
  };
}

/** The plan in short: `before -> after`, who answers, the kinds of steps. */
function inShort(change: MembershipChange, given: Situation) {
  const { before, after, liveVotersAfter, steps, warnings } = planMembership(change, given);
  const side = ({ voters, quorum, faultTolerance }: typeof before) =>
    `${voters.join(' ')} (${quorum}, ${faultTolerance})`;
  return {
    change: `${side(before)} -> ${side(after)}`,
    live: liveVotersAfter,
    steps: steps.map(({ step, members }) => `${step} ${members.join(' ')}`),
    warnings,
  };
}

describe('the plan of a change', () => {
  it('of two voters at once goes by way of learners and a joint configuration', () => {
    expect(inShort(set('n1', 'n4', 'n5'), situation(withLearner))).toEqual({
      change: 'n1 n2 n3 (2, 1) -> n1 n4 n5 (2, 1)',
      live: ['n1', 'n4', 'n5'],
      steps: ['addLearner n5', 'catchUp n4 n5', 'joint n1 n4 n5', 'final n1 n4 n5'],
      warnings: [],
    });
    const { steps } = planMembership(set('n1', 'n4', 'n5'), situation(three));
    expect(steps.map((step) => step.description)).toEqual([
      'Gets the log and counts for nothing: n4 at n4:7000, n5 at n5:7000. Start it with --join, if it does not run yet.',
      'Waits until the leader hears from n4, n5 and they keep up with the log.',
      'All at once: a majority of n1, n4, n5 together with one of n1, n2, n3 decides, until that is committed.',
      'Then n1, n4, n5 alone decide, and n2, n3 are members no more.',
    ]);
  });

  it('says when there is nothing to do', () => {
    const nothing = { steps: [], warnings: [], change: 'n1 n2 n3 (2, 1) -> n1 n2 n3 (2, 1)' };
    expect(inShort(set('n1', 'n2', 'n3'), situation(three))).toMatchObject(nothing);
    const [member = { id: '', peer: '' }] = at('n2');
    expect(inShort({ kind: 'add', member }, situation(three))).toMatchObject(nothing);
    expect(inShort({ kind: 'promote', id: 'n2' }, situation(three))).toMatchObject(nothing);
  });

  it('of an addition ends with the voter that it becomes by itself, and warns of the even number', () => {
    const [member = { id: '', peer: '' }] = at('n4');
    const expected = { change: 'n1 n2 n3 (2, 1) -> n1 n2 n3 n4 (3, 1)', live: ['n1', 'n2', 'n3', 'n4'] };
    const warnings = [expect.stringContaining('4 voters is an even number')];
    const given = situation(three);
    expect(inShort({ kind: 'add', member }, given)).toEqual({
      ...expected,
      steps: ['addLearner n4', 'catchUp n4', 'promote n4'],
      warnings,
    });
    expect(inShort({ kind: 'add', member }, situation(withLearner))).toEqual({
      ...expected,
      steps: ['catchUp n4', 'promote n4'],
      warnings,
    });
    const unreachable = new Map([['n4', 'n4:7000 did not answer.']]);
    expect(inShort({ kind: 'add', member }, { ...given, unreachable })).toMatchObject({
      live: ['n1', 'n2', 'n3'],
      warnings: [
        'n4 cannot be reached yet: n4:7000 did not answer. It counts for nothing until it is.',
        ...warnings,
      ],
    });
  });

  it('of a promotion warns when the learner is silent', () => {
    const change = { kind: 'promote', id: 'n4' } as const;
    expect(inShort(change, situation(withLearner))).toMatchObject({
      steps: ['promote n4'],
      warnings: [expect.stringContaining('even')],
    });
    expect(inShort(change, situation(withLearner, ['n4'])).warnings[0]).toContain('n4 did not answer lately');
  });

  it('of a removal warns of the tolerance that is lost, and of the leader that leaves', () => {
    expect(inShort({ kind: 'remove', id: 'n1' }, situation(three))).toEqual({
      change: 'n1 n2 n3 (2, 1) -> n2 n3 (2, 0)',
      live: ['n2', 'n3'],
      steps: ['remove n1'],
      warnings: [
        expect.stringContaining('2 voters is an even number'),
        expect.stringContaining('No voter may fail afterwards'),
        expect.stringContaining('n1 leads and leaves'),
      ],
    });
    expect(inShort({ kind: 'remove', id: 'n4' }, situation(withLearner, ['n2', 'n3']))).toMatchObject({
      steps: ['remove n4'],
      warnings: [],
    });
  });

  it('warns where the quorum is at risk, and does not count on who is only awaited', () => {
    const risk = expect.stringContaining('this is refused without force=true');
    expect(inShort({ kind: 'remove', id: 'n2' }, situation(three, ['n3'])).warnings.at(-1)).toEqual(risk);
    const five = votersOf('n1', 'n2', 'n3', 'n4', 'n5');
    const given = situation(five, ['n2', 'n3']);
    expect(inShort(set('n1', 'n2', 'n3'), given).warnings).toEqual([risk]);
    expect(inShort(set('n1', 'n2', 'n6'), given).warnings).toEqual([]);
    // A new member that cannot be reached is waited for, so it puts nothing at risk.
    const unreachable = new Map([['n6', 'Nobody answers.']]);
    const planned = inShort(set('n1', 'n2', 'n6'), { ...given, unreachable });
    expect([planned.live, planned.warnings]).toEqual([
      ['n1'],
      [expect.stringContaining('n6 cannot be reached yet')],
    ]);
  });

  it.each<[string, MembershipChange, Configuration]>([
    ['member_not_found', { kind: 'remove', id: 'n9' }, three],
    ['member_not_found', { kind: 'promote', id: 'n9' }, three],
    ['quorum_at_risk', { kind: 'remove', id: 'n1' }, votersOf('n1')],
    ['member_exists', { kind: 'add', member: { id: 'n2', peer: 'elsewhere:1' } }, three],
    ['member_exists', { kind: 'set', members: [{ id: 'n2', peer: 'elsewhere:1' }] }, three],
    ['change_in_progress', { kind: 'remove', id: 'n2' }, { ...three, outgoingVoters: ['n1'] }],
  ])('throws %s as the change itself would', (code, change, configuration) => {
    expect(() => planMembership(change, situation(configuration))).toThrow(expect.objectContaining({ code }));
  });
});
