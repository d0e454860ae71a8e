import { crc32 } from 'node:zlib';
import { checkStateRecords } from '../../src/kv/check-records.js';
import { encodeMeta, type Meta } from '../../src/kv/meta-codec.js';
import { type KvStateMachine, openKv } from '../../src/kv/state-machine.js';
import type { Command, CommandResult } from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import type { OrderedStore } from '../../src/storage/ordered-store.js';
import { bytes, commandEntry } from './model.js';

export const deletion = (key: string): Command => ({ kind: 'delete', key: bytes(key) });
export const deletePrefix = (prefix: string): Command => ({ kind: 'deletePrefix', prefix: bytes(prefix) });

export const open = (disk: MemoryDisk, name = 'state-1', historyRevisions = 1000) =>
  openKv(disk.directory(), name, { historyRevisions });

/** With an index of answers that is full at once: what is on disk is filed by the next flush. */
export const openFiling = (disk: MemoryDisk, name = 'state-1') =>
  openKv(disk.directory(), name, { answerIndex: { tablesMax: 0, slotsMax: 4 } });

/** Applies a command stamped with this log time. */
export async function performAt(kv: KvStateMachine, logTimeMs: number | undefined, command: Command) {
  const entry = commandEntry(kv.appliedIndex + 1, command, logTimeMs);
  await kv.prepare(entry);
  return kv.apply(entry);
}

/** Applies commands without log time and returns what the last one gave. */
export async function perform(kv: KvStateMachine, ...commands: Command[]) {
  let result: CommandResult | undefined;
  for (const command of commands) result = await performAt(kv, undefined, command);
  return result;
}

/** The state after a restart without what was not flushed. */
export function reopen(disk: MemoryDisk, kv: KvStateMachine): Promise<KvStateMachine> {
  disk.crash();
  return open(disk, kv.storeName);
}

/** What is wrong with the records of a state. */
export async function findingsIn(store: OrderedStore): Promise<readonly string[]> {
  const findings: string[] = [];
  for await (const finding of checkStateRecords(store, () => {})) findings.push(finding);
  return findings;
}

/** Another member that got the state in a snapshot. */
export async function follower(disk: MemoryDisk, kv: KvStateMachine): Promise<KvStateMachine> {
  const other = await open(disk, 'state-1');
  const snapshot = await kv.takeSnapshot();
  other.activate(await other.stageSnapshot(snapshot.metadata, snapshot.chunks()));
  await snapshot.close();
  return other;
}

/**
 * The state's first record without what came after an earlier format, which stands between the last mark and the
 * configuration: an integer of 6 bytes with format 3, and another with format 4.
 */
export function inFormat(version: 2 | 3, meta: Meta): Buffer {
  const whole = Buffer.from(encodeMeta(meta));
  const addedAt = 5 + 11 * 6 + 4 + 1 + 12 * meta.marks.length;
  const kept = addedAt + (version - 2) * 6;
  const record = Buffer.concat([whole.subarray(0, kept), whole.subarray(addedAt + 2 * 6)]);
  record[0] = version;
  record.writeUInt32BE(crc32(record.subarray(5), version), 1);
  return record;
}

/** A disk on which nothing is written before a test says so. */
export function waitingDisk() {
  const disk = new MemoryDisk(() => {});
  const finishWrites = () => {
    for (const write of disk.pendingWrites) write.complete();
  };
  /** Lets everything that does not wait for the disk go on, then the disk, until `work` is done. */
  const finish = async <T>(work: Promise<T>): Promise<T> => {
    let done = false;
    const mark = () => {
      done = true;
    };
    work.then(mark, mark);
    while (!done) {
      // A turn of the event loop: walks take several.
      await new Promise((resolve) => setImmediate(resolve));
      finishWrites();
    }
    return work;
  };
  return { disk, finishWrites, finish };
}
