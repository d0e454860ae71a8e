import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RaftkvError, StorageDamaged } from './errors.js';
import { ownsKey } from './file-checks.js';
import { checkStateRecords } from './kv/check-records.js';
import { openKv } from './kv/state-machine.js';
import { FIRST_STATE_DIRECTORY, STATE_PREFIX } from './node/bootstrap.js';
import { disagreementOf } from './node/check-state.js';
import { LevelDirectory } from './storage/level-store.js';
import { LogEnd } from './storage/log-end.js';
import { LogStore } from './storage/log-store.js';
import { checkStore } from './storage/store-check.js';
import { copyStores } from './storage/store-copy.js';
import { type StoreLock, takeStoreLock } from './storage/store-lock.js';

/** After this many damaged records of a store the rest is not looked at: it would be more of the same. */
const RECORD_FINDINGS_MAX = 100;

/** Something in a data directory that is not as it was written. */
export interface DirectoryFinding {
  /** `torn`: a write that was not finished, as a crash or a power loss leaves it; a node starts with it. */
  readonly kind: 'damage' | 'torn';
  readonly store: string;
  /** null for what is wrong with records rather than files. */
  readonly file: string | null;
  /** In the file, in bytes. */
  readonly offset: number | null;
  /** For a file, it completes the sentence "FILE, at byte OFFSET: …"; a sentence otherwise. */
  readonly what: string;
}

/** What was looked at. */
export interface DirectoryCheck {
  /** No damage was found. */
  readonly whole: boolean;
  readonly stores: readonly string[];
  /** Bytes that were read of their files. */
  readonly bytes: number;
  /** Records of the state that were read. */
  readonly records: number;
}

/**
 * Checks the data directory of a node that does not run: the files of log and state, and all their records, alone and against each
 * other. Nothing in it is changed or made, and no node can start in it meanwhile. LevelDB opens a copy among the system's temporary files, which
 * consists of links to the tables; it takes room for what LevelDB writes there, about as much as the write-ahead logs and what it
 * compacts meanwhile. Throws `storage_unusable` where the directory cannot be read, and where a node runs in it.
 */
export async function checkDirectory(
  path: string,
  onFinding: (finding: DirectoryFinding) => void,
  onProgress: (bytes: number) => void = () => {},
): Promise<DirectoryCheck> {
  const stores = await (await LevelDirectory.at(path, null)).list();
  if (!stores.includes('log'))
    throw new RaftkvError(
      'storage_unusable',
      `${path} holds no log of a node. Name the data directory of one.`,
    );
  const locks: (StoreLock | undefined)[] = [];
  try {
    for (const store of stores) locks.push(await takeStoreLock(join(path, store)));
    return await new Check(path, stores, onFinding, onProgress).run();
  } finally {
    for (const lock of locks) await lock?.release();
  }
}

class Check {
  private bytes = 0;
  private records = 0;
  private isWhole = true;

  constructor(
    private readonly path: string,
    private readonly stores: readonly string[],
    private readonly onFinding: (finding: DirectoryFinding) => void,
    private readonly onProgress: (bytes: number) => void,
  ) {}

  async run(): Promise<DirectoryCheck> {
    const log = (await this.checkFiles('log'))
      ? await this.withCopy(['log'], (copy) => this.openLog(copy))
      : undefined;
    // The others are left from snapshots, and the next start deletes them.
    const live = log?.stateDirectory ?? (log === undefined ? undefined : FIRST_STATE_DIRECTORY);
    const states = this.stores.filter(
      (store) => store.startsWith(STATE_PREFIX) && (live === undefined || store === live),
    );
    for (const state of states) {
      if (!(await this.checkFiles(state))) continue;
      await this.withCopy([state], (copy) => this.checkState(copy, state, log));
    }
    if (log !== undefined && log.identity?.cluster && states.length === 0)
      this.note({
        kind: 'damage',
        store: live ?? 'state',
        file: null,
        offset: null,
        what: `The state, ${live}, is missing.`,
      });
    return { whole: this.isWhole, stores: ['log', ...states], bytes: this.bytes, records: this.records };
  }

  /** Returns whether the store may be opened. */
  private async checkFiles(store: string): Promise<boolean> {
    let isWhole = true;
    const options = {
      ownsKey: (beginning: Uint8Array) => ownsKey(store, beginning),
      afterPiece: (bytes: number) => {
        this.bytes += bytes;
        this.onProgress(this.bytes);
        return undefined;
      },
    };
    for await (const finding of checkStore(join(this.path, store), options)) {
      if (finding.kind === 'damage') isWhole = false;
      this.note({ ...finding, store });
    }
    return isWhole;
  }

  private async openLog(copy: LevelDirectory): Promise<LogStore | undefined> {
    const store = await copy.open('log');
    try {
      return await LogStore.open(store, await LogEnd.in(this.path));
    } catch (error) {
      this.noteError('log', error);
      return undefined;
    } finally {
      await store.close();
    }
  }

  private async checkState(copy: LevelDirectory, state: string, log: LogStore | undefined): Promise<void> {
    let found = 0;
    const store = await copy.open(state);
    try {
      for await (const what of checkStateRecords(store, (count) => {
        this.records += count;
      })) {
        this.note({ kind: 'damage', store: state, file: null, offset: null, what });
        found += 1;
        if (found === RECORD_FINDINGS_MAX) break;
      }
    } catch (error) {
      this.noteError(state, error);
      found += 1;
    } finally {
      await store.close();
    }
    // What is read at a start would find some of the same again.
    if (found > 0) return;
    try {
      const machine = await openKv(copy, state);
      const what = log === undefined ? null : disagreementOf(machine, log);
      if (what !== null) this.note({ kind: 'damage', store: state, file: null, offset: null, what });
      await machine.abandon();
    } catch (error) {
      this.noteError(state, error);
    }
  }

  private async withCopy<Value>(
    stores: readonly string[],
    work: (copy: LevelDirectory) => Promise<Value>,
  ): Promise<Value> {
    const copy = await mkdtemp(join(tmpdir(), 'raftkv-check-'));
    try {
      await copyStores(this.path, copy, stores);
      return await work(await LevelDirectory.at(copy, null));
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  }

  private note(finding: DirectoryFinding): void {
    if (finding.kind === 'damage') this.isWhole = false;
    this.onFinding(finding);
  }

  /** What a node would refuse to start with is damage; anything else is none of the directory's. */
  private noteError(store: string, error: unknown): void {
    if (!(error instanceof StorageDamaged)) throw error;
    this.note({ kind: 'damage', store, file: null, offset: null, what: error.what });
  }
}
