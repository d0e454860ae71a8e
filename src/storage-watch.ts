import { basename, join } from 'node:path';
import { systemClock } from './clock.js';
import type { Logger } from './logger.js';
import { damagedFile } from './storage/level-store.js';
import { TableWatch } from './storage/table-watch.js';

/** The background check of a running node's files, and what became of it. */
export class StorageWatch {
  /** What is damaged and what to do, in a sentence; null while nothing was found. */
  damage: string | null = null;
  private readonly watch: TableWatch;
  private hasFailed = false;

  /**
   * @param stores The names of the stores that are open.
   * @param withdraw Takes the node out of service.
   */
  constructor(
    dataDirectory: string,
    stores: () => readonly string[],
    logger: Logger,
    withdraw: (reason: string, store: string) => void,
  ) {
    this.watch = new TableWatch({
      clock: systemClock,
      locations: () => stores().map((store) => join(dataDirectory, store)),
      onDamage: (location, finding) => {
        const { message, code } = damagedFile(basename(location), join(location, finding.file), finding);
        this.damage = message;
        logger.error({ code, path: join(location, finding.file), offset: finding.offset }, message);
        withdraw(message, basename(location));
      },
      onError: (err) => {
        if (!this.hasFailed)
          logger.warn({ err }, 'The files of the data directory cannot be checked in the background.');
        this.hasFailed = true;
      },
    });
  }

  get checkedBytes(): number {
    return this.watch.readBytes;
  }

  start(): void {
    this.watch.start();
  }

  stop(): Promise<void> {
    return this.watch.stop();
  }
}
