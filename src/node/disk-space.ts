import type { Clock, Timer } from '../clock.js';
import type { DiskSpace } from '../raft/types.js';
import type { NodeLogger } from './contracts.js';
import * as limits from './limits.js';

/** The file system of the data directory, in bytes. */
export interface DiskUsage {
  readonly free: number;
  readonly total: number;
}

/**
 * Watches the room that is left on the disk. A write that fails for want of room ends the node (correctness rule 30), so
 * the cluster stops growing before: at `low` the leader refuses what needs room, once a majority is there; at `full` a follower
 * takes no more entries, and nothing is flushed. What is left by then is for votes, deletions and the like.
 */
export class DiskWatch {
  space: DiskSpace = 'ok';
  /** When it came to be so, by the clock. */
  since = Number.NEGATIVE_INFINITY;
  private timer: Timer | null = null;
  private isStopped = false;
  private hasFailed = false;

  constructor(
    private readonly parts: {
      readonly clock: Clock;
      readonly logger: NodeLogger;
      readonly usage: () => Promise<DiskUsage>;
      /** The bound of the log in bytes: what followers may have to take after the leader has begun to refuse. */
      readonly logBytesMax: number;
      readonly changed: (space: DiskSpace) => void;
    },
  ) {}

  start(): void {
    void this.look();
  }

  stop(): void {
    this.isStopped = true;
    this.timer?.cancel();
  }

  private async look(): Promise<void> {
    const { clock, logger, usage } = this.parts;
    let isNear = true;
    try {
      const now = await usage();
      isNear = this.judge(now);
      this.hasFailed = false;
    } catch (error) {
      if (!this.hasFailed) logger.warn({ err: error }, 'The room that is left on the disk cannot be told.');
      this.hasFailed = true;
    }
    if (this.isStopped) return;
    const delayMs = isNear ? limits.DISK_WATCH_NEAR_MS : limits.DISK_WATCH_MS;
    this.timer = clock.after(delayMs, () => void this.look());
  }

  /** Returns whether a bound is near. A bound that was reached is left again only with some room to spare. */
  private judge({ free, total }: DiskUsage): boolean {
    const full = Math.min(limits.DISK_FULL_BYTES, total / 4);
    const low = full + Math.min(limits.DISK_FULL_BYTES + this.parts.logBytesMax, total / 4);
    const isFull = free < full * (this.space === 'full' ? limits.DISK_RECOVERY : 1);
    const isLow = free < low * (this.space === 'ok' ? 1 : limits.DISK_RECOVERY);
    const space = isFull ? 'full' : isLow ? 'low' : 'ok';
    if (space !== this.space) {
      this.space = space;
      this.since = this.parts.clock.now();
      this.tell(space, free);
      this.parts.changed(space);
    }
    return free < 4 * low;
  }

  private tell(space: DiskSpace, free: number): void {
    const fields = { space, freeBytes: free };
    const left = `${Math.round(free / 1024 / 1024)} MiB are left on the disk of the data directory`;
    const { logger } = this.parts;
    if (space === 'ok') logger.info(fields, `${left}, which is enough again.`);
    else if (space === 'low')
      logger.warn(
        fields,
        `${left}. Once that holds for a majority, changes that need room are refused. Make room.`,
      );
    else
      logger.warn(fields, `${left}. This node takes no more entries until there is room again. Make room.`);
  }
}
