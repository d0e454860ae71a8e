/** `npm run test:hostile-peers`: forged messages to the peer port of real nodes, without the cluster secret and with it. */
import { Command } from 'commander';
import type { Attacked } from '../attacked.js';
import { parseCount } from '../count.js';
import { attackAsInsiders, attackAsStrangers, type Report } from './campaign.js';

interface Flags {
  readonly messages: number;
  readonly seed: number;
}

const flags = new Command('test:hostile-peers')
  .description('forged messages to the peer port of real nodes')
  .option('--messages <N>', 'how many, half of them without the cluster secret', parseCount, 100_000)
  .option('--seed <S>', 'decides what is forged', Number, Date.now() % 1_000_000)
  .parse()
  .opts<Flags>();

console.info(`seed ${flags.seed}`);
const half = Math.ceil(flags.messages / 2);
show('without the cluster secret', await attackAsStrangers(half, flags.seed));
show('with the cluster secret', await attackAsInsiders(half, flags.seed));

function show(what: string, { messages, seconds, residentMib, remarks }: Attacked<Report>): void {
  const perSecond = Math.round(messages / seconds);
  console.info(
    `${what}: ${messages} messages in ${seconds.toFixed(0)} s (${perSecond} a second), a node took at most ${residentMib.toFixed(0)} MiB`,
  );
  for (const remark of remarks) console.info(`  ${remark}`);
}
