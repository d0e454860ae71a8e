import { expect, it } from 'vitest';
import { runCampaign } from '../damage/campaign.js';
import { damageMembers } from '../damage/members.js';

/** The short form of `npm run test:damage`. */
it("damage to a stopped node's files is found at its start, or was in bytes that mean nothing (rule 29)", async () => {
  const { counts, failures } = await runCampaign(40, 1);
  expect(failures).toEqual([]);
  expect(counts.get('flip found')).toBeGreaterThan(12);
});

it('members that are damaged one after the other serve nothing wrong and become whole (rule 29)', async () => {
  const { counts, failures } = await damageMembers(3, Date.now());
  expect(failures).toEqual([]);
  expect([...counts.values()].reduce((sum, count) => sum + count, 0)).toBe(3);
});
