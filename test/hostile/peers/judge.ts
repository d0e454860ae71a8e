/** Reads the logs of stopped nodes: every committed entry can be decoded, and whether the nodes hold the same. */
import { decodeCommand } from '../../../src/kv/command-codec.js';
import { decodeConfiguration } from '../../../src/raft/configuration.js';
import { type Entry, EntryKind } from '../../../src/raft/types.js';
import { LevelDirectory } from '../../../src/storage/level-store.js';
import { LogStore } from '../../../src/storage/log-store.js';

export interface ReadLog {
  readonly id: string;
  /** Entries that this node's hard state says are committed and that are still in the log. */
  readonly committed: readonly Entry[];
}

/** Throws, naming the node and the index, at an entry that cannot be decoded, committed or not. */
export async function readLog(id: string, dataDirectory: string): Promise<ReadLog> {
  const store = await (await LevelDirectory.at(dataDirectory)).open('log');
  try {
    const log = await LogStore.open(store);
    for (const entry of log.entries) decode(id, entry);
    return { id, committed: log.entries.filter(({ index }) => index <= log.hardState.commit) };
  } finally {
    await store.close();
  }
}

function decode(id: string, entry: Entry): void {
  try {
    if (entry.kind === EntryKind.command) decodeCommand(entry.payload);
    if (entry.kind === EntryKind.configuration) decodeConfiguration(entry.payload);
  } catch (error) {
    throw new Error(`${id} has entry ${entry.index} in its log, which cannot be decoded: ${String(error)}`);
  }
}

/** The first index at which two nodes have committed different entries; undefined when they agree. */
export function firstDifference(logs: readonly ReadLog[]): string | undefined {
  const known = new Map<number, { readonly id: string; readonly entry: Entry }>();
  for (const { id, committed } of logs) {
    for (const entry of committed) {
      const other = known.get(entry.index);
      known.set(entry.index, other ?? { id, entry });
      if (other === undefined || isSame(other.entry, entry)) continue;
      return `${other.id} and ${id} committed different entries at index ${entry.index}`;
    }
  }
  return undefined;
}

function isSame(one: Entry, two: Entry): boolean {
  return one.term === two.term && one.kind === two.kind && Buffer.compare(one.payload, two.payload) === 0;
}
