import type { MembershipPlan, PlannedMembership } from '../client/index.js';
import { table } from './terminal.js';

/** A plan for people: what it is now and what it would be, how it comes to that, and what speaks against it. */
export function showPlan(plan: MembershipPlan): string {
  const { before, after, liveVotersAfter, steps, warnings } = plan;
  const row = (name: string, show: (membership: PlannedMembership) => string) => [
    name,
    show(before),
    show(after),
  ];
  const sides = table(
    ['', 'NOW', 'THEN'],
    [
      row('voters', ({ voters }) => names(voters)),
      row('learners', ({ learners }) => names(learners)),
      row('quorum', ({ quorum }) => String(quorum)),
      row('may fail', ({ faultTolerance }) => String(faultTolerance)),
      ['answering', '', names(liveVotersAfter)],
    ],
  );
  const listed = steps.map(({ step, description }, position) => `${position + 1}. ${step}: ${description}`);
  return [
    sides,
    '',
    ...(listed.length === 0 ? ['There is nothing to change.'] : listed),
    ...warnings.map((warning) => `Warning: ${warning}`),
    'Nothing was changed.',
  ].join('\n');
}

function names(ids: readonly string[]): string {
  return ids.length === 0 ? '-' : ids.join(', ');
}
