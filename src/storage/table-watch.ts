import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BackgroundTask } from '../background-task.js';
import type { Clock } from '../clock.js';
import { Damage } from './damage.js';
import { type Manifest, readManifest } from './manifest.js';
import type { ReadPace } from './piece-reader.js';
import { CURRENT_CONTENT, type Finding, findingOf } from './store-check.js';
import { TableChecker, type TableDescription } from './table-check.js';

const MEBIBYTE = 1024 ** 2;
/** How often new tables are looked for. */
const LOOK_MS = 10_000;
/** From the beginning of one pass over all tables to the next at least. */
const PASS_MS_MIN = 30_000;
/** A pass takes no longer than this, however large the stores are. */
const PASS_MS_MAX = 5 * 60 * 60 * 1000;
/** In bytes a second, and where a pass would take longer, more. A MiB takes a millisecond of processor time. */
const PASS_PACE_MIN = MEBIBYTE;
/** New tables are read faster: they were just written, so they are still in memory. */
const NEW_PACE = 2 * MEBIBYTE;

const TABLE = /^\d+\.(ldb|sst)$/;

/** The tables of one store, as they were when it was looked at last. */
interface Look {
  /** The names of its table files: when they change, the manifest is read again. */
  readonly names: string;
  readonly tables: ReadonlyMap<string, TableDescription>;
}

/**
 * Checks the tables of open stores in the background: new ones soon after they are complete, and all of them again and again. The
 * pace bounds what that costs. Whatever seems damaged is read a second time before it is told of, because LevelDB replaces tables and
 * writes to the manifest meanwhile. What the system still has in memory is read from there, and not from the disk.
 */
export class TableWatch {
  /** Bytes that were read since the start. */
  readBytes = 0;
  readonly #checker: TableChecker;
  readonly #pace: ReadPace;
  readonly #looks = new Map<string, Look>();
  /** The tables of the last look; undefined before the first. */
  #known: ReadonlySet<string> | undefined;
  /** New ones that were not checked yet, the newest last. */
  #fresh: string[] = [];
  /** What is left of the present pass. */
  #pending: string[] = [];
  #passPace = PASS_PACE_MIN;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #passBegunAt = Number.NEGATIVE_INFINITY;
  #bytesPerSecond = PASS_PACE_MIN;
  readonly #task: BackgroundTask;

  constructor(
    private readonly parts: {
      readonly clock: Clock;
      /** The directories of the stores that are open; the state's changes when a snapshot takes its place. */
      readonly locations: () => readonly string[];
      /** Called once; nothing is checked after it. */
      readonly onDamage: (location: string, finding: Finding) => void;
      /** The files cannot be looked at for another reason. */
      readonly onError: (error: unknown) => void;
    },
  ) {
    this.#task = new BackgroundTask(parts.clock);
    this.#pace = { afterPiece: (bytes) => this.#rest(bytes) };
    this.#checker = new TableChecker(this.#pace);
  }

  start(): void {
    this.#task.start(() => this.#run());
  }

  /** Resolves when no file is open any more. */
  stop(): Promise<void> {
    return this.#task.stop();
  }

  async #run(): Promise<void> {
    this.#passBegunAt = this.parts.clock.now();
    while (!this.#task.isStopped) {
      try {
        await this.#look(false);
        const next = this.#next();
        if (next === undefined) await this.#task.pause(LOOK_MS);
        else await this.#check(next);
      } catch (error) {
        if (this.#task.isStopped) return;
        this.parts.onError(error);
        await this.#task.pause(LOOK_MS);
      }
    }
  }

  /** The table that is to be checked now: the newest that never was, or the next one of the pass. */
  #next(): string | undefined {
    const fresh = this.#fresh.pop();
    this.#bytesPerSecond = fresh === undefined ? this.#passPace : NEW_PACE;
    if (fresh !== undefined) return fresh;
    const now = this.parts.clock.now();
    if (this.#pending.length === 0 && now - this.#passBegunAt >= PASS_MS_MIN) {
      this.#passBegunAt = now;
      this.#pending = [...(this.#known ?? [])];
    }
    return this.#pending.pop();
  }

  /** Brings what is known of the tables up to date. */
  #takeLooks(): void {
    const isFirst = this.#known === undefined;
    const live = new Set<string>();
    let bytes = 0;
    for (const [location, { tables }] of this.#looks) {
      for (const [name, { size }] of tables) {
        live.add(join(location, name));
        bytes += size;
      }
    }
    this.#passPace = Math.max(PASS_PACE_MIN, bytes / (PASS_MS_MAX / 1000));
    // What was there before the first look was checked before the stores were opened.
    const fresh = isFirst ? [] : [...live].filter((path) => !this.#known?.has(path));
    // The ones that are gone are passed over when they are come to.
    this.#fresh.push(...fresh);
    this.#known = live;
  }

  async #check(path: string): Promise<void> {
    if ((await this.#findingIn(path)) === undefined) return;
    await this.#look(true);
    const finding = await this.#findingIn(path);
    if (finding !== undefined) this.#tell(dirname(path), finding);
  }

  /** Undefined where the table is whole, or not there any more. */
  async #findingIn(path: string): Promise<Finding | undefined> {
    const name = basename(path);
    const table = this.#looks.get(dirname(path))?.tables.get(name);
    if (table === undefined) return undefined;
    try {
      await this.#checker.check(path, table);
      return undefined;
    } catch (error) {
      return isMissing(error) ? undefined : findingOf(error, name);
    }
  }

  /** Learns which tables there are. */
  async #look(isUrgent: boolean): Promise<void> {
    const now = this.parts.clock.now();
    if (!isUrgent && now - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = now;
    const locations = this.parts.locations();
    for (const location of this.#looks.keys())
      if (!locations.includes(location)) this.#looks.delete(location);
    for (const location of locations) {
      try {
        await this.#lookAt(location);
      } catch (error) {
        // A snapshot has taken the place of this state.
        if (!isMissing(error)) throw error;
      }
    }
    this.#takeLooks();
  }

  async #lookAt(location: string): Promise<void> {
    const names = (await readdir(location)).filter((name) => TABLE.test(name)).toSorted();
    const listing = names.join();
    if (this.#looks.get(location)?.names === listing) return;
    const tables = new Map<string, TableDescription>();
    const manifest = await this.#readManifest(location);
    for (const name of names) {
      const table = manifest?.tables.get(Number.parseInt(name, 10));
      if (table !== undefined) tables.set(name, table);
    }
    this.#looks.set(location, { names: listing, tables });
  }

  /** LevelDB may be about to write to it, so only what is wrong twice is damage. */
  async #readManifest(location: string): Promise<Manifest | undefined> {
    for (let isFirst = true; ; isFirst = false) {
      const name = CURRENT_CONTENT.exec(await readFile(join(location, 'CURRENT'), 'latin1'))?.[1];
      if (name === undefined) return undefined;
      try {
        return await readManifest(join(location, name), this.#pace);
      } catch (error) {
        if (!(error instanceof Damage)) throw error;
        if (!isFirst) {
          this.#tell(location, findingOf(error, name));
          return undefined;
        }
        await this.#task.pause(LOOK_MS);
      }
    }
  }

  #tell(location: string, finding: Finding): void {
    if (this.#task.isStopped) return;
    this.#task.isStopped = true;
    this.parts.onDamage(location, finding);
  }

  /** After a piece of a file: as long as it should have taken at the pace. */
  async #rest(bytes: number): Promise<void> {
    this.readBytes += bytes;
    await this.#task.pause((1000 * bytes) / this.#bytesPerSecond);
    if (this.#task.isStopped) throw new Error('The check has ended.');
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
