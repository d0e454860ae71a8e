import { existsSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from './figures.mjs';
import { reportGaps } from './gaps.mjs';
import { reportLeases } from './leases.mjs';
import { reportListingMemory } from './listing-memory.mjs';
import { operations } from './operations.mjs';
import { comparePipelining } from './pipelining.mjs';
import { compareProcessorTime } from './processor-time.mjs';
import { etcdVersion, startBareFastify, startEtcd, startRaftkv, warmUp } from './systems.mjs';
import { printHead, printRow } from './table.mjs';
import { reportWatchers } from './watchers.mjs';

/**
 * Throughput and latency of what clients do, with values of 256 bytes, beside reference systems that are measured in the
 * same run, in turn, several rounds; every figure is the median of its rounds. Absolute figures belong to the machine
 * that they were measured on; the ratios are what carries over.
 */
const { values: flags } = parseArgs({
  options: {
    operations: { type: 'string', default: Object.keys(operations).join(',') },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    'warm-up': { type: 'string', default: '10' },
    connections: { type: 'string', default: '1,16,64,256' },
    directory: { type: 'string' },
    listing: { type: 'boolean', default: false },
    pipelining: { type: 'boolean', default: false },
    watchers: { type: 'string' },
    leases: { type: 'string' },
    against: { type: 'string' },
    pairs: { type: 'string', default: '20' },
    gaps: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

if (flags.pipelining) {
  comparePipelining();
  process.exit(0);
}
const chosen = flags.operations.split(',').map((name) => {
  if (!Object.hasOwn(operations, name)) {
    refuse(`--operations takes some of ${Object.keys(operations).join(',')}, not "${name}".`);
  }
  return { name, ...operations[name] };
});
/** What is measured of raftkv alone, and says whether it is within its bounds. */
const report = reportOf(flags);
if (
  (report !== undefined || flags.against !== undefined) &&
  !flags.gaps &&
  !existsSync('/proc/self/status')
) {
  refuse(
    '--listing, --watchers, --leases and --against read figures of a node from /proc, which only Linux has.',
  );
}

const rounds = positive('rounds', flags.rounds);
const seconds = positive('seconds', flags.seconds);
const warmUpSeconds = positive('warm-up', flags['warm-up']);
const connectionCounts = flags.connections.split(',').map((count) => positive('connections', count));
const directory = flags.directory ?? (await mkdtemp(join(tmpdir(), 'raftkv-bench-')));

const starters = { bare: startBareFastify, raftkv: startRaftkv, etcd: startEtcd };
const systems = {};
let isEnding = false;
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => end().then(() => process.exit(1)));
try {
  if (flags.against !== undefined) {
    if (!(await compareWith(resolve(flags.against)))) process.exitCode = 1;
  } else if (report !== undefined) {
    await startSystem('raftkv');
    if (!(await report(systems.raftkv))) process.exitCode = 1;
  } else {
    await measureAll();
  }
} catch (error) {
  if (!isEnding) throw error;
} finally {
  await end();
}

async function startSystem(name) {
  systems[name] = await starters[name](join(directory, name));
}

/** Ends what was started, and removes what it wrote. */
async function end() {
  isEnding = true;
  await Promise.all(Object.values(systems).map((system) => system.stop()));
  if (flags.directory === undefined) rmSync(directory, { recursive: true, force: true });
}

async function measureAll() {
  const etcd = etcdVersion();
  const isUsed = (name) =>
    chosen.some((operation) => operation.contenders.some((c) => c.systemName === name));
  for (const name of Object.keys(starters)) {
    if (isUsed(name) && (name !== 'etcd' || etcd !== null)) await startSystem(name);
  }
  for (const system of Object.values(systems)) await warmUp(system, warmUpSeconds);
  if (!flags.json) {
    printMachine(etcd);
    printHead();
  }
  const rows = [];
  for (const operation of chosen) {
    const contenders = operation.contenders.filter(({ systemName }) => systems[systemName] !== undefined);
    for (const { systemName, prepare } of contenders) {
      await prepare(systems[systemName], await systems[systemName].leaderUrl());
    }
    for (const connections of operation.connections === undefined
      ? connectionCounts
      : [operation.connections]) {
      const measured = await measure(operation.name, contenders, connections);
      rows.push(...measured);
      if (!flags.json) for (const row of measured) printRow(row, operation, measured);
    }
  }
  if (flags.json) console.log(JSON.stringify(rows, null, 2));
}

async function measure(operation, contenders, connections) {
  const results = new Map(contenders.map((contender) => [contender, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const contender of contenders) {
      const system = systems[contender.systemName];
      const url = await system.leaderUrl();
      results.get(contender).push(await contender.run(system, { url, connections, seconds }));
    }
  }
  return contenders.map((contender) => {
    const runs = results.get(contender);
    const of = (figure) => median(runs.map((run) => run[figure]));
    return {
      operation,
      connections,
      system: contender.name,
      perSecond: of('perSecond'),
      p50Ms: of('p50Ms'),
      p99Ms: of('p99Ms'),
      failures: runs.reduce((sum, run) => sum + run.failures, 0),
    };
  });
}

function printMachine(etcd) {
  const [cpu] = cpus();
  console.log(
    `${availableParallelism()} cores (${cpu?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, ` +
      `${etcd === null ? 'etcd is not installed (its rows are left out)' : `etcd ${etcd}`}; three nodes each; medians of ${rounds} rounds of ${seconds} s.\n`,
  );
}

/** @param {string} root the other build */
function compareWith(root) {
  const directoryOf = (side) => join(directory, side);
  const start = async (side, pair) => {
    systems[side] = await startRaftkv(
      join(directoryOf(side), String(pair)),
      side === 'before' ? root : undefined,
    );
    return systems[side];
  };
  const stop = async () => {
    await Promise.all([systems.before.stop(), systems.now.stop()]);
    if (flags.directory !== undefined) return;
    for (const side of ['before', 'now']) rmSync(directoryOf(side), { recursive: true, force: true });
  };
  const requests = ['put', 'get'].filter((name) => chosen.some((operation) => operation.name === name));
  const pairs = positive('pairs', flags.pairs);
  return compareProcessorTime(start, stop, { requests, pairs, seconds, warmUpSeconds, connectionCounts });
}

function reportOf({ listing, watchers, leases, gaps }) {
  if (gaps) return reportGaps;
  if (listing) return reportListingMemory;
  if (watchers !== undefined) {
    const count = positive('watchers', watchers);
    return (raftkv) => reportWatchers(raftkv, count);
  }
  if (leases !== undefined) {
    const count = positive('leases', leases);
    return (raftkv) => reportLeases(raftkv, count);
  }
  return undefined;
}

function positive(name, text) {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  return refuse(`--${name} takes a number above 0, not "${text}".`);
}

function refuse(sentence) {
  console.error(sentence);
  process.exit(2);
}
