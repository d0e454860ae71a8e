import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { load, median } from './load.mjs';
import { comparePipelining } from './pipelining.mjs';
import { etcdVersion, startBareFastify, startEtcd, startRaftkv, warmUp } from './systems.mjs';

/**
 * Throughput and latency of puts and linearizable gets of 256-byte values, beside reference systems that are measured in
 * the same run, in turn, several rounds; every figure is the median of its rounds. Absolute figures belong to the machine
 * that they were measured on; the ratios are what carries over.
 */
const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    'warm-up': { type: 'string', default: '10' },
    connections: { type: 'string', default: '1,16,64,256' },
    directory: { type: 'string' },
    pipelining: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

if (flags.pipelining) {
  comparePipelining();
  process.exit(0);
}

const rounds = positive('rounds', flags.rounds);
const seconds = positive('seconds', flags.seconds);
const warmUpSeconds = positive('warm-up', flags['warm-up']);
const connectionCounts = flags.connections.split(',').map((count) => positive('connections', count));
const directory = flags.directory ?? (await mkdtemp(join(tmpdir(), 'raftkv-bench-')));

const NAMES = { put: 'put', get: 'linearizable get', rangeV3: 'etcd v3 range (JSON)' };
const COLUMNS = [
  ['operation', 20],
  ['connections', 11],
  ['system', 12],
  ['per second', 10, 'right'],
  ['p50 ms', 8, 'right'],
  ['p99 ms', 8, 'right'],
  ['ratio', 14],
  ['', 0],
];

const systems = [];
let isEnding = false;
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => end().then(() => process.exit(1)));
try {
  const etcd = etcdVersion();
  systems.push(await startBareFastify(join(directory, 'bare')));
  systems.push(await startRaftkv(join(directory, 'raftkv')));
  if (etcd !== null) systems.push(await startEtcd(join(directory, 'etcd')));
  for (const system of systems) await warmUp(system, warmUpSeconds);
  if (!flags.json) printHead(etcd);
  const rows = [];
  for (const operation of Object.keys(NAMES)) {
    for (const connections of connectionCounts) {
      const measured = await measure(operation, connections);
      rows.push(...measured);
      if (!flags.json) for (const row of measured) printRow(row, measured);
    }
  }
  if (flags.json) console.log(JSON.stringify(rows, null, 2));
} catch (error) {
  if (!isEnding) throw error;
} finally {
  await end();
}

/** Ends what was started, and removes what it wrote. */
async function end() {
  isEnding = true;
  await Promise.all(systems.map((system) => system.stop()));
  if (flags.directory === undefined) rmSync(directory, { recursive: true, force: true });
}

async function measure(operation, connections) {
  const measured = systems.filter((system) => system[operation] !== undefined);
  const results = new Map(measured.map((system) => [system, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const system of measured) {
      const url = await system.leaderUrl();
      results.get(system).push(await load({ url, requests: system[operation], connections, seconds }));
    }
  }
  return measured.map((system) => {
    const runs = results.get(system);
    const of = (figure) => median(runs.map((run) => run[figure]));
    return {
      operation,
      connections,
      system: system.name,
      perSecond: of('perSecond'),
      p50Ms: of('p50Ms'),
      p99Ms: of('p99Ms'),
      failures: runs.reduce((sum, run) => sum + run.failures, 0),
    };
  });
}

function printHead(etcd) {
  const [cpu] = cpus();
  console.log(
    `${availableParallelism()} cores (${cpu?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, ` +
      `${etcd === null ? 'etcd is not installed (its rows are left out)' : `etcd ${etcd}`}; three nodes each; medians of ${rounds} rounds of ${seconds} s.\n`,
  );
  printLine(COLUMNS.map(([title]) => title));
}

/** Each row as soon as it is known: a whole run takes minutes. */
function printRow(row, others) {
  const reference = others.find(({ system }) => system === 'etcd v2');
  const isCompared = row.system === 'raftkv' && reference !== undefined;
  printLine([
    NAMES[row.operation],
    String(row.connections),
    row.system,
    row.perSecond.toFixed(0),
    row.p50Ms.toFixed(2),
    row.p99Ms.toFixed(2),
    isCompared ? `${(row.perSecond / reference.perSecond).toFixed(2)} × etcd v2` : '',
    row.failures > 0 ? `${row.failures} failed` : '',
  ]);
}

function printLine(cells) {
  const padded = COLUMNS.map(([, width, side], column) =>
    side === 'right' ? cells[column].padStart(width) : cells[column].padEnd(width),
  );
  console.log(padded.join('  ').trimEnd());
}

function positive(name, text) {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  console.error(`--${name} takes a number above 0, not "${text}".`);
  process.exit(2);
}
