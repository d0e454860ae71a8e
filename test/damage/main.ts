/** `npm run test:damage`: disks of nodes are damaged in every way, and what is wrong must be found before it is served. */
import { Command } from 'commander';
import { parseCount } from '../hostile/count.js';
import { type CampaignReport, runCampaign } from './campaign.js';
import { damageMembers } from './members.js';

const { trials, members, seed } = new Command('test:damage')
  .description('damages the files of nodes, and looks whether their next start finds it')
  .option(
    '--trials <N>',
    'how often those of a node alone; four of five are one flipped bit',
    parseCount,
    2500,
  )
  .option(
    '--members <N>',
    'how often those of the members of a running cluster, one after the other',
    parseCount,
    300,
  )
  .option('--seed <S>', 'decides what is damaged', Number, Date.now() % 1_000_000)
  .parse()
  .opts<{ readonly trials: number; readonly members: number; readonly seed: number }>();

console.info(`seed ${seed}`);
const alone = await runCampaign(trials, seed, (done) => {
  if (done % 250 === 0) console.info(`${done} of ${trials}`);
});
const inCluster = await damageMembers(members, seed, (done) => {
  if (done % 25 === 0) console.info(`${done} of ${members} in a cluster`);
});
show('A stopped node', alone);
show('The members of a cluster in turn', inCluster);
const failed = alone.failures.length + inCluster.failures.length;
console.info(failed === 0 ? 'Nothing was served that should not have been.' : `${failed} failed.`);
process.exit(failed === 0 ? 0 : 1);

function show(title: string, { counts, failures }: CampaignReport): void {
  console.info(title);
  for (const [what, count] of [...counts].toSorted()) console.info(`  ${count} ${what}`);
  for (const failure of failures) console.error(failure);
}
