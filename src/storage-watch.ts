import { join } from 'node:path';
import { systemClock } from './clock.js';
import { StorageDamaged } from './errors.js';
import { LiveWatch } from './kv/live-watch.js';
import type { KvStateMachine } from './kv/state-machine.js';
import type { Logger } from './logger.js';
import { damagedFile } from './storage/level-store.js';
import { TableWatch } from './storage/table-watch.js';

/** The background checks of a running node's files and of its state's records. */
export class StorageWatch {
  private readonly watch: TableWatch;
  private readonly liveWatch: LiveWatch;
  private hasFailed = false;

  /**
   * @param state Its store and that of the log are open.
   * @param damaged Each of the two checks ends with the first damage that it finds.
   */
  constructor(
    dataDirectory: string,
    state: KvStateMachine,
    logger: Logger,
    damaged: (error: StorageDamaged) => void,
  ) {
    const onError = (err: unknown) => {
      if (!this.hasFailed)
        logger.warn({ err }, 'The files of the data directory cannot be checked in the background.');
      this.hasFailed = true;
    };
    this.liveWatch = new LiveWatch({
      clock: systemClock,
      state,
      onDamage: ({ what }) => {
        const path = join(dataDirectory, state.storeName);
        damaged(
          new StorageDamaged('state', `The node's state is damaged. In ${path}: ${what}`, { data: { path } }),
        );
      },
      onError,
    });
    this.watch = new TableWatch({
      clock: systemClock,
      locations: () => ['log', state.storeName].map((store) => join(dataDirectory, store)),
      onDamage: (location, finding) => damaged(damagedFile(location, finding)),
      onError,
    });
  }

  get checkedBytes(): number {
    return this.watch.readBytes;
  }

  start(): void {
    this.watch.start();
    this.liveWatch.start();
  }

  async stop(): Promise<void> {
    await Promise.all([this.watch.stop(), this.liveWatch.stop()]);
  }
}
