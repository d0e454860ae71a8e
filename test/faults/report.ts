import { writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import type { Operation } from '../../src/sim/operation.js';
import type { Clients } from './clients/clients.js';
import { describeDelivery } from './clients/watcher.js';
import type { FaultCluster } from './cluster.js';
import { EVIDENCE } from './directories.js';

/** Milliseconds of several times, in one line. */
export function spread(times: readonly number[]): string {
  const sorted = times.toSorted((one, two) => one - two).map(Math.round);
  const median = sorted[Math.floor(sorted.length / 2)];
  return median === undefined ? 'none' : `median ${median} ms, longest ${sorted.at(-1)} ms`;
}

export function machine(): string {
  const load = loadavg()
    .map((value) => value.toFixed(1))
    .join(' ');
  return `${availableParallelism()} processors, load average ${load}`;
}

/** Everything that helps to find out what went wrong. */
export async function keepEvidence(
  directory: string,
  cluster: FaultCluster,
  lines: readonly string[],
  operations: readonly Operation[],
  clients: Clients,
): Promise<void> {
  await writeFile(join(directory, EVIDENCE), `${lines.join('\n')}\n`);
  for (const node of cluster.nodes) await writeFile(join(directory, `${node.id}.log`), node.log);
  const history = operations.map((operation) =>
    JSON.stringify(operation, (_, value: unknown) =>
      isBytes(value) ? Buffer.from(value.data).toString() : value,
    ),
  );
  await writeFile(join(directory, 'history.jsonl'), `${history.join('\n')}\n`);
  await writeFile(join(directory, 'clients.json'), JSON.stringify(clients.told, undefined, 1));
  for (const { name, deliveries } of clients.watchers) {
    const file = join(directory, `watch-${name.replaceAll(' ', '-')}.txt`);
    await writeFile(file, `${deliveries.map(describeDelivery).join('\n')}\n`);
  }
}

/** What a Buffer has become when JSON.stringify asks how to write it. */
function isBytes(value: unknown): value is { readonly type: 'Buffer'; readonly data: number[] } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    value.type === 'Buffer' &&
    'data' in value
  );
}
