import { createHash } from 'node:crypto';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { StorageDamaged } from '../../src/errors.js';
import { ownsKey } from '../../src/file-checks.js';
import { openKv } from '../../src/kv/state-machine.js';
import { checkStateAgainstLog } from '../../src/node/check-state.js';
import type { Prng } from '../../src/sim/prng.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { LogEnd } from '../../src/storage/log-end.js';
import { logDamaged } from '../../src/storage/log-records.js';
import { LogStore } from '../../src/storage/log-store.js';
import type { OrderedStore } from '../../src/storage/ordered-store.js';
import { put } from '../e2e/client.js';
import { Cluster } from '../e2e/cluster.js';

const STARTS = 4;
const PUTS = 60;
const CLIENTS = 6;

/** The data directory of a node that ran a few times, and the same as it was before its last run. */
export interface UsedDirectory {
  readonly path: string;
  readonly earlier: string;
  remove(): Promise<void>;
}

/** Real files: those of a node that served clients and was stopped. Each start turns write-ahead logs into tables. */
export async function useDirectory(random: Prng): Promise<UsedDirectory> {
  const cluster = await Cluster.of(1);
  const node = cluster.node('n1');
  const earlier = join(cluster.directory, 'earlier');
  for (let start = 0; start < STARTS; start += 1) {
    if (start === STARTS - 1) await cp(node.dataDirectory, earlier, { recursive: true });
    node.start(start === 0 ? cluster.founding : []);
    await cluster.ready();
    const clients = Array.from({ length: CLIENTS }, async () => {
      for (let done = 0; done < PUTS; done += 1) {
        const value = 'x'.repeat(random.chance(0.02) ? 200_000 : random.integer(0, 3000));
        await put(node.url, `key-${random.integer(0, 500)}`, value);
      }
    });
    await Promise.all(clients);
    await node.stop();
  }
  return { path: node.dataDirectory, earlier, remove: () => cluster.remove() };
}

/** How a start of a node in a directory goes. */
export type Start =
  | { readonly kind: 'refused'; readonly error: StorageDamaged }
  /** `content` is a checksum of everything in both stores. `isTorn` says whether the node told of an unfinished write. */
  | { readonly kind: 'started'; readonly content: string; readonly isTorn: boolean };

/** Opens a directory as a node does when it starts, and reads everything in it. Any other error than a refusal is thrown. */
export async function startIn(path: string): Promise<Start> {
  const opened: OrderedStore[] = [];
  let isTorn = false;
  const onTorn = () => {
    isTorn = true;
  };
  const content = createHash('sha256');
  try {
    const directory = await LevelDirectory.at(path, { ownsKey, onTorn });
    const logDatabase = await directory.open('log');
    opened.push(logDatabase);
    const log = await LogStore.open(logDatabase, await LogEnd.in(path));
    if (log.stateDirectory === undefined) throw logDamaged('The log names no state.');
    await addContent(content, logDatabase);
    const state = await directory.open(log.stateDirectory);
    await addContent(content, state);
    await state.close();
    const machine = await openKv(directory, log.stateDirectory);
    try {
      checkStateAgainstLog(machine, log);
    } finally {
      await machine.abandon();
    }
    return { kind: 'started', content: content.digest('hex'), isTorn };
  } catch (error) {
    if (error instanceof StorageDamaged) return { kind: 'refused', error };
    throw error;
  } finally {
    for (const store of opened) await store.close();
  }
}

async function addContent(hash: { update(data: Uint8Array): unknown }, store: OrderedStore): Promise<void> {
  const scan = store.scan({});
  for (let pairs = await scan.next(1024); pairs.length > 0; pairs = await scan.next(1024)) {
    for (const { key, value } of pairs) {
      const lengths = Buffer.alloc(8);
      lengths.writeUInt32LE(key.length);
      lengths.writeUInt32LE(value.length, 4);
      for (const part of [lengths, key, value]) hash.update(part);
    }
  }
  await scan.close();
}
