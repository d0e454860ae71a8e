import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { runCalm } from './calm.js';
import { Campaign } from './campaign.js';
import { clearDirectory, clearLeftDirectories, makeDirectory } from './directories.js';
import { hubOf, makeNamespaces, Namespaces, removeLeftovers, removeNamespaces } from './namespaces.js';
import { endProcess } from './processes.js';
import { Proxies } from './proxies.js';
import { moveToSecret } from './secret-move.js';
import { lookAtSurvivalOnly } from './time-limits.js';

interface Flags {
  readonly minutes: number;
  readonly nodes: string;
  readonly seed: number;
  readonly calm: boolean;
  readonly proxies: boolean;
  readonly survivalOnly: boolean;
  readonly moveToSecret: boolean;
  /** What a worker is told, as JSON; the process that a user starts is none. */
  readonly worker?: string;
}

/** What one process makes and clears up, and another works with. */
interface Site {
  readonly directory: string;
  /** The process that made the namespaces; undefined where there are none. */
  readonly owner?: number;
}

const command = new Command('test:faults')
  .description('faults on real processes, and whether clients were ever told something wrong')
  .option('--minutes <M>', 'how long faults are inflicted', parseMinutes, 5)
  .addOption(new Option('--nodes <N>', 'how many nodes').choices(['3', '5']).default('3'))
  .option('--seed <S>', 'decides the order of the faults', Number, Date.now() % 1_000_000)
  .option('--calm', 'no faults but full load: nobody may campaign', false)
  .option('--proxies', 'TCP proxies even where network namespaces can be had', false)
  .option(
    '--move-to-secret',
    'no faults: a cluster without a secret gets one, and the next one, under load',
    false,
  )
  .option('--survival-only', 'looks at what clients are told, and not at how long recoveries take', false)
  .addOption(new Option('--worker <JSON>').hideHelp());
const flags = command.parse().opts<Flags>();
if (flags.survivalOnly) lookAtSurvivalOnly();
const ids = Array.from({ length: Number(flags.nodes) }, (_, place) => `n${place + 1}`);
process.exit((await (flags.worker === undefined ? supervise() : work(JSON.parse(flags.worker)))) ? 0 : 1);

/** Makes the network, lets another process work in it, and clears up whatever became of that. */
async function supervise(): Promise<boolean> {
  await clearLeftDirectories();
  const owner = (await hasNamespaces()) ? process.pid : undefined;
  const site: Site = { directory: await makeDirectory(), ...(owner === undefined ? {} : { owner }) };
  const running = new Set<number>();
  const launcher = owner === undefined ? [] : ['ip', 'netns', 'exec', hubOf(owner)];
  const [program = '', ...parameters] = [
    ...launcher,
    process.execPath,
    fileURLToPath(import.meta.url),
    ...process.argv.slice(2),
    ...['--seed', String(flags.seed), '--worker', JSON.stringify(site)],
  ];
  const worker = spawn(program, parameters, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  worker.on('message', ({ pid, isRunning }: { pid: number; isRunning: boolean }) => {
    if (isRunning) running.add(pid);
    else running.delete(pid);
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => worker.kill('SIGTERM'));
  process.on('disconnect', () => worker.kill('SIGTERM'));
  const code = await ended(worker);
  for (const pid of running) endProcess(pid);
  if (owner !== undefined) await removeNamespaces(owner);
  await clearDirectory(site.directory);
  return code === 0;
}

/** Makes namespaces for the nodes where that is possible, and says what it will be. */
async function hasNamespaces(): Promise<boolean> {
  if (flags.proxies) return false;
  if (process.getuid?.() !== 0) {
    console.info('Only root can make network namespaces; the nodes talk through TCP proxies instead.');
    return false;
  }
  try {
    await removeLeftovers();
    await makeNamespaces(process.pid, ids);
    return true;
  } catch (error) {
    await removeNamespaces(process.pid).catch(() => {});
    console.info(
      `No network namespaces can be had here (${String(error).trim()}), so TCP proxies take their place.`,
    );
    return false;
  }
}

async function work({ directory, owner }: Site): Promise<boolean> {
  const network = owner === undefined ? await Proxies.open(ids) : new Namespaces(owner, ids);
  console.info(`The nodes are in ${network.description}.`);
  if (flags.moveToSecret && owner === undefined) {
    console.info('Skipped: here all nodes are on loopback, where a cluster needs no secret.');
    await network.close();
    return true;
  }
  const pids = new Set<number>();
  const watch = (pid: number, isRunning: boolean) => {
    if (isRunning) pids.add(pid);
    else pids.delete(pid);
    if (process.connected) process.send?.({ pid, isRunning });
  };
  const stop = () => {
    for (const pid of pids) endProcess(pid);
    process.exit(1);
  };
  // When the process that cleans up is gone, nobody else would end the nodes.
  for (const event of ['SIGINT', 'SIGTERM', 'disconnect']) process.on(event, stop);
  const options = { ...flags, ids, directory, network, watch };
  try {
    if (flags.moveToSecret) return await moveToSecret(options);
    return await (flags.calm ? runCalm(options) : Campaign.run(options));
  } finally {
    await network.close();
  }
}

function ended(worker: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    worker.on('close', resolve);
    worker.on('error', (error) => {
      console.error(error);
      resolve(null);
    });
  });
}

function parseMinutes(text: string): number {
  const minutes = Number(text);
  if (!(minutes > 0)) throw new InvalidArgumentError('Give a number of minutes above 0.');
  return minutes;
}
