/** `npm run test:damage`: the disk of a stopped node is damaged in every way, and a start must find it. */
import { Command } from 'commander';
import { parseCount } from '../hostile/count.js';
import { runCampaign } from './campaign.js';

const { trials, seed } = new Command('test:damage')
  .description('damages the files of a stopped node, and looks whether its next start finds it')
  .option('--trials <N>', 'how often; four of five are one flipped bit', parseCount, 2500)
  .option('--seed <S>', 'decides what is damaged', Number, Date.now() % 1_000_000)
  .parse()
  .opts<{ readonly trials: number; readonly seed: number }>();

console.info(`seed ${seed}`);
const { counts, failures } = await runCampaign(trials, seed, (done) => {
  if (done % 250 === 0) console.info(`${done} of ${trials}`);
});
for (const [what, count] of [...counts].toSorted()) console.info(`  ${count} ${what}`);
for (const failure of failures) console.error(failure);
console.info(
  failures.length === 0 ? 'Nothing was served that should not have been.' : `${failures.length} failed.`,
);
process.exit(failures.length === 0 ? 0 : 1);
