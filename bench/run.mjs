import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { load, median } from './load.mjs';
import { comparePipelining } from './pipelining.mjs';
import { etcdVersion, startBareFastify, startEtcd, startRaftkv } from './systems.mjs';

/**
 * Throughput and latency of puts and linearizable gets of 256-byte values, beside reference systems that are measured in
 * the same run, in turn, several rounds; every figure is the median of its rounds. Absolute figures belong to the machine
 * that they were measured on; the ratios are what carries over.
 */
const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
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
const connectionCounts = flags.connections.split(',').map((count) => positive('connections', count));
const directory = flags.directory ?? (await mkdtemp(join(tmpdir(), 'raftkv-bench-')));

const systems = [];
try {
  const etcd = etcdVersion();
  systems.push(await startBareFastify(join(directory, 'bare')));
  systems.push(await startRaftkv(join(directory, 'raftkv')));
  if (etcd !== null) systems.push(await startEtcd(join(directory, 'etcd')));
  const rows = [];
  for (const operation of ['put', 'get', 'rangeV3']) {
    for (const connections of connectionCounts) rows.push(...(await measure(operation, connections)));
  }
  if (flags.json) console.log(JSON.stringify(rows, null, 2));
  else print(rows, etcd);
} finally {
  await Promise.all(systems.map((system) => system.stop()));
  if (flags.directory === undefined) rmSync(directory, { recursive: true, force: true });
}

async function measure(operation, connections) {
  const measured = systems.filter((system) => system[operation] !== undefined);
  const results = new Map(measured.map((system) => [system, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const system of measured) {
      results
        .get(system)
        .push(await load({ url: system.url, requests: system[operation], connections, seconds }));
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

function print(rows, etcd) {
  const [cpu] = cpus();
  console.log(
    `${availableParallelism()} cores (${cpu?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, ` +
      `${etcd === null ? 'etcd is not installed (its rows are left out)' : `etcd ${etcd}`}; three nodes each; medians of ${rounds} rounds of ${seconds} s.\n`,
  );
  const names = { put: 'put', get: 'linearizable get', rangeV3: 'etcd v3 range (JSON)' };
  const table = rows.map((row) => {
    const reference = rows.find(
      (other) =>
        other.operation === row.operation &&
        other.connections === row.connections &&
        other.system === 'etcd v2',
    );
    const isCompared = row.system === 'raftkv' && reference !== undefined;
    return [
      names[row.operation],
      String(row.connections),
      row.system,
      row.perSecond.toFixed(0),
      row.p50Ms.toFixed(2),
      row.p99Ms.toFixed(2),
      isCompared ? `${(row.perSecond / reference.perSecond).toFixed(2)} × etcd v2` : '',
      row.failures > 0 ? `${row.failures} failed` : '',
    ];
  });
  const head = ['operation', 'connections', 'system', 'per second', 'p50 ms', 'p99 ms', 'ratio', ''];
  const widths = head.map((title, column) =>
    Math.max(title.length, ...table.map((row) => row[column].length)),
  );
  for (const row of [head, ...table]) {
    console.log(
      row
        .map((cell, column) =>
          column >= 3 && column <= 5 ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
        )
        .join('  ')
        .trimEnd(),
    );
  }
}

function positive(name, text) {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  console.error(`--${name} takes a number above 0, not "${text}".`);
  process.exit(2);
}
