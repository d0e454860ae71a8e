import { open, readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { present } from '../../src/assert.js';
import type { Prng } from '../../src/sim/prng.js';
import { isReady } from '../e2e/client.js';
import { runToEnd } from '../e2e/program.js';
import { until } from '../e2e/wait.js';
import type { FaultCluster, FaultNode } from './cluster.js';
import { limit } from './time-limits.js';

const START_MS_MAX = 20_000;
const JOIN_MS_MAX = 20_000;
/** What an operator is told to do with a damaged directory, and what {@link replaceMember} does. */
const ADVICE = /remove (the|this) member from the cluster.*--join/i;

/** Cuts the end off the newest file of the log. Returns what was done. */
export async function cutLog(node: FaultNode, random: Prng): Promise<string> {
  const files = await logFiles(node, (name) => name.endsWith('.log'));
  const { path, name, size } = present(files.at(-1), 'LevelDB has written a log file.');
  // Half of the time little, as a crash in the middle of a write leaves it.
  const cut = random.integer(1, random.chance(0.5) ? Math.min(size, 512) : size);
  await truncate(path, size - cut);
  return `the last ${cut} of ${size} bytes of ${name} cut off`;
}

/** Turns one bit of one file of the log. */
export async function flipLog(node: FaultNode, random: Prng): Promise<string> {
  const files = await logFiles(node, (name) => /\.(log|ldb)$/.test(name));
  const { path, name, size } = present(random.pick(files), 'LevelDB has written something.');
  const place = random.integer(0, size - 1);
  const bit = random.integer(0, 7);
  const file = await open(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, place);
    byte.writeUInt8(byte.readUInt8(0) ^ (1 << bit));
    await file.write(byte, 0, 1, place);
  } finally {
    await file.close();
  }
  return `bit ${bit} of byte ${place} of ${size} of ${name} turned`;
}

/**
 * Whether the node starts with what is on its disk. Otherwise it refuses to start, or goes into quarantine when a peer shows it
 * what it lost; either must say what to do, and be no crash. It does not run any more then.
 */
export async function startsAgain(node: FaultNode): Promise<boolean> {
  const run = node.start();
  const outcome = await until(
    `${node.id} ready, or refusing to start`,
    async () => {
      if (run.exit !== undefined) return 'ended';
      if (await isReady(node.url)) return 'ready';
      const reason = (await node.status())?.reason;
      return reason?.includes('is in quarantine') && ADVICE.test(reason) ? 'quarantined' : undefined;
    },
    limit(START_MS_MAX),
  );
  if (outcome === 'ready') return true;
  if (outcome === 'quarantined') {
    await node.kill();
    return false;
  }
  // Damage at the beginning of a log that is one file leaves nothing at all, not even the name of the cluster.
  const isEmpty = run.exit?.code === 2 && run.errors.includes('holds no cluster yet');
  if (!(run.exit?.code === 1 || isEmpty) || !ADVICE.test(run.errors)) {
    throw new Error(
      `${node.id} ended with ${JSON.stringify(run.exit)} and without the advice for damage: ${run.errors}`,
    );
  }
  return false;
}

/** What the refusal of a damaged directory advises. */
export async function replaceMember(cluster: FaultCluster, node: FaultNode): Promise<void> {
  const endpoints = cluster.others(node).map((other) => other.url);
  await until(
    `${node.id} removed`,
    async () => {
      const removal = await runToEnd(['member', 'remove', node.id, '--endpoints', endpoints.join(',')]);
      if (removal.exit?.code === 0) return true;
      // The sentence says to wait for the others, who were not heard lately.
      if (removal.errors.includes('(quorum_at_risk)')) return undefined;
      throw new Error(`${node.id} could not be removed: ${removal.output}${removal.errors}`);
    },
    limit(JOIN_MS_MAX),
  );
  await node.wipe();
  node.start(['--join', endpoints.join(',')]);
  await cluster.becomesVoter(node, limit(JOIN_MS_MAX));
}

/** Files of a node's log that are not empty, in the order in which they were begun. */
async function logFiles(node: FaultNode, matches: (name: string) => boolean) {
  const directory = join(node.dataDirectory, 'log');
  const names = (await readdir(directory)).filter(matches).toSorted();
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(directory, name);
      return { path, name, size: (await stat(path)).size };
    }),
  );
  return files.filter((file) => file.size > 0);
}
