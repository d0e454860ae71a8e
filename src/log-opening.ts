import type { Logger } from './logger.js';
import { LogEnd } from './storage/log-end.js';
import { LogStore } from './storage/log-store.js';
import type { OrderedStore, StoreDirectory } from './storage/ordered-store.js';

const NOT_IN_ORDER =
  'The last run of this node did not end in order: it was killed, the machine lost power, or the system aborted it, as it does (SIGBUS) ' +
  'where a file became shorter or could not be read. Every file is checked before it is opened, and damage is named.';
const LOG_END_DAMAGED =
  'The file LOG-END in the data directory is damaged, so nothing tells whether the end of the log is whole. It is made anew.';

/** The log of a run, with the second place that knows how far it is on disk. */
export class OpenedLog {
  private constructor(
    readonly store: LogStore,
    private readonly database: OrderedStore,
    private readonly end: LogEnd,
  ) {}

  /** Opens the log that is in `directory`, which is at the path `dataDirectory`, or begins one. Throws `storage_damaged`. */
  static async in(directory: StoreDirectory, dataDirectory: string, logger: Logger): Promise<OpenedLog> {
    const end = await LogEnd.in(dataDirectory);
    // Before the files are checked, which may end this start.
    if (end.known?.endedInOrder === false) logger.warn({}, NOT_IN_ORDER);
    if (end.isDamaged) logger.warn({}, LOG_END_DAMAGED);
    const database = await directory.open('log');
    try {
      const store = await LogStore.open(database, end);
      await end.begin();
      await store.noteEnd();
      return new OpenedLog(store, database, end);
    } catch (error) {
      end.abandon();
      await database.close();
      throw error;
    }
  }

  /** @param isInOrder Whether the run ended as it should; the next start says where it did not. */
  async close(isInOrder: boolean): Promise<void> {
    try {
      await this.database.close();
    } catch (error) {
      this.end.abandon();
      throw error;
    }
    if (isInOrder) await this.end.end();
    else this.end.abandon();
  }
}
