import { basename, join } from 'node:path';
import { systemClock } from './clock.js';
import { withoutAdvice } from './kv/damage.js';
import { LiveWatch } from './kv/live-watch.js';
import type { KvStateMachine } from './kv/state-machine.js';
import type { Logger } from './logger.js';
import { damagedFile } from './storage/level-store.js';
import { TableWatch } from './storage/table-watch.js';

/** The background checks of a running node's files and of its state's records, and what became of them. */
export class StorageWatch {
  /** What is damaged and what to do, in a sentence; null while nothing was found. */
  damage: string | null = null;
  private readonly watch: TableWatch;
  private readonly liveWatch: LiveWatch;
  private hasFailed = false;

  /**
   * @param state Its store and that of the log are open.
   * @param withdraw Takes the node out of service.
   */
  constructor(
    dataDirectory: string,
    state: KvStateMachine,
    logger: Logger,
    withdraw: (reason: string, store: string) => void,
  ) {
    const onError = (err: unknown) => {
      if (!this.hasFailed)
        logger.warn({ err }, 'The files of the data directory cannot be checked in the background.');
      this.hasFailed = true;
    };
    this.liveWatch = new LiveWatch({
      clock: systemClock,
      state,
      onDamage: ({ code, message }) => {
        const store = state.storeName;
        this.damage = `The node's state is damaged. In ${join(dataDirectory, store)}: ${withoutAdvice(message)}`;
        logger.error({ code, path: join(dataDirectory, store) }, this.damage);
        withdraw(this.damage, store);
      },
      onError,
    });
    this.watch = new TableWatch({
      clock: systemClock,
      locations: () => ['log', state.storeName].map((store) => join(dataDirectory, store)),
      onDamage: (location, finding) => {
        const { message, code } = damagedFile(basename(location), join(location, finding.file), finding);
        this.damage = message;
        logger.error({ code, path: join(location, finding.file), offset: finding.offset }, message);
        withdraw(message, basename(location));
      },
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
