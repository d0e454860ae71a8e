import { RaftkvError } from '../../src/errors.js';
import { configurationOfVoters, encodeConfiguration } from '../../src/raft/configuration.js';
import { type Entry, EntryKind, type Persist } from '../../src/raft/types.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { LogEnd } from '../../src/storage/log-end.js';
import { countKey, openValue, type StateRecord, sealValue, stateKey } from '../../src/storage/log-records.js';
import { LogStore } from '../../src/storage/log-store.js';
import type { Operation, OrderedStore } from '../../src/storage/ordered-store.js';
import { persist } from './persist.js';

export const identity = { cluster: 'c', id: 'n1', incarnation: 'one' };
export const entry = (index: number, term = 1): Entry => ({
  index,
  term,
  kind: 0,
  payload: new Uint8Array(20).fill(index),
});
export const LOST = /The end of the node's log is lost/;

export interface Opened {
  readonly log: LogStore;
  readonly end: LogEnd;
  close(): Promise<void>;
}

/** Opens a log as a node does. */
export async function openLog(path: string): Promise<Opened> {
  const end = await LogEnd.in(path);
  const store = await (await LevelDirectory.at(path)).open('log');
  try {
    const log = await LogStore.open(store, end);
    await end.begin();
    await log.noteEnd();
    const close = async () => {
      end.abandon();
      await store.close();
    };
    return { log, end, close };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** What becomes of an open: the number of the last write, or the refusal. */
export async function tryOpen(path: string): Promise<number | RaftkvError> {
  try {
    const opened = await openLog(path);
    const writes = opened.log.position?.writes ?? 0;
    await opened.close();
    return writes;
  } catch (error) {
    if (error instanceof RaftkvError) return error;
    throw error;
  }
}

/** The first entry of a log, which says who the members are. */
export function membersAre(...ids: string[]): Entry {
  const members = ids.map((id) => ({
    id,
    incarnation: id === 'n1' ? 'one' : `of-${id}`,
    peerAddress: `${id}:2380`,
    clientUrl: `http://${id}:2379`,
  }));
  const payload = encodeConfiguration(configurationOfVoters(members));
  return { index: 1, term: 1, kind: EntryKind.configuration, payload };
}

/** A log of three entries, and what the last write was. */
export async function makeLog(
  path: string,
  last: Partial<Persist>,
  members = ['n1', 'n2', 'n3'],
): Promise<void> {
  const { log, close } = await openLog(path);
  await log.writeIdentity({ ...identity, cluster: '' });
  const first = membersAre(...members);
  await log.writeBootstrap(identity, { term: 1, vote: null, commit: 0 }, [first, entry(2)], 'state-1');
  await log.write(persist({ entries: [entry(3)] }));
  await log.write(persist(last));
  await close();
}

/** Has a program before cluster version 2 write to a log: it does not count, and keeps what it does not know. */
export async function writeAsBefore(path: string, ...writes: readonly Partial<Persist>[]): Promise<void> {
  const store = await (await LevelDirectory.at(path)).open('log');
  const asBefore = (operation: Operation): readonly Operation[] => {
    if (operation.kind === 'delete') return [operation];
    const { kind, key, value } = operation;
    if (countKey.equals(key)) return [];
    if (!stateKey.equals(key)) return [operation];
    const { writes: _, ...state } = openValue<StateRecord>(value, 'The hard state');
    return [{ kind, key, value: sealValue(state) }];
  };
  const before: OrderedStore = {
    get: (key) => store.get(key),
    scan: (range) => store.scan(range),
    snapshot: () => store.snapshot(),
    write: (operations) => store.write([...operations].flatMap(asBefore)),
    compact: (range, bytes) => store.compact(range, bytes),
    close: () => store.close(),
  };
  const log = await LogStore.open(before);
  for (const write of writes) await log.write(persist(write));
  await store.close();
}
