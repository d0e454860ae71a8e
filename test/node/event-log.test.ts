import { expect, it } from 'vitest';
import { NodeKit } from './node-kit.js';

const eventsOf = (kit: NodeKit, level?: 'info') =>
  kit.logger.entries.filter((entry) => level === undefined || entry.level === level);

it('tells of campaigns that lead to nothing once, and then at growing intervals with their count', async () => {
  const kit = new NodeKit();
  await kit.clock.pass(10 * 60_000);
  const campaigns = eventsOf(kit).filter(({ fields }) => fields.event === 'becamePreCandidate');
  const told = campaigns.filter(({ level }) => level === 'info').map(({ message }) => message);
  // Two a second at least, all of them on the level debug; a line after 1, 2, 4, … 32 s, and then one a minute.
  expect(campaigns.length).toBeGreaterThan(1_200);
  expect(told.length).toBeGreaterThan(10);
  expect(told.length).toBeLessThan(20);
  expect(told[0]).not.toContain('times');
  expect(told.at(-1)).toMatch(/This happened \d{4} times since a leader was known\./);
});

it('tells of a campaign at once again after a leader was known', async () => {
  const kit = new NodeKit();
  await kit.clock.pass(5_000);
  await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 1 });
  expect(kit.logger.entries.at(-1)).toMatchObject({ level: 'info', fields: { event: 'becameFollower' } });
  const before = eventsOf(kit, 'info').length;
  await kit.clock.pass(700);
  expect(eventsOf(kit, 'info')[before]?.fields.event).toBe('becamePreCandidate');
});

it('does not tell of configurations from before the start, and says with what it starts', () => {
  const kit = new NodeKit();
  expect(kit.logger.lines).toEqual([
    'Starts in term 1 with the log up to index 1 and the state at index 1, in a cluster with the voters n1, n2, n3.',
  ]);
});

it('traces each message in one line, and none unless the level is trace', async () => {
  for (const traces of [true, false]) {
    const kit = new NodeKit({ traces });
    await kit.hear('heartbeat', { term: 2, round: 7, commitIndex: 1 });
    await kit.clock.pass(10);
    const lines = kit.logger.entries.filter(({ level }) => level === 'trace').map(({ message }) => message);
    expect(lines).toEqual(
      traces ? ['from n2: heartbeat term 2 round 7 commit 1', 'to n2: heartbeat answer term 2 round 7'] : [],
    );
  }
});
