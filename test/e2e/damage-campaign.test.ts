import { expect, it } from 'vitest';
import { runCampaign } from '../damage/campaign.js';

/** The short form of `npm run test:damage`. */
it("damage to a stopped node's files is found at its start, or was in bytes that mean nothing (rule 29)", async () => {
  const { counts, failures } = await runCampaign(60, 1);
  expect(failures).toEqual([]);
  expect(counts.get('flip found')).toBeGreaterThan(20);
});
