import type { Clock, Timer } from '../clock.js';
import type { DiskSpace } from '../raft/types.js';
import type { NodeLogger } from './contracts.js';
import * as limits from './limits.js';

/** The file system of the data directory, in bytes. */
export interface DiskUsage {
  readonly free: number;
  readonly total: number;
}

/** Room that is held back for this node where another program fills the disk. */
export interface Reserve {
  /** What is held, in bytes. */
  readonly bytes: number;
  take(bytes: number): Promise<void>;
  giveUp(): Promise<void>;
}

/**
 * Watches the room that is left on the disk, and holds a reserve of it, so that the cluster stops growing before its disks are
 * full. The reserve counts as room that is left:
 *
 * - `low`, the soft floor: once a majority is there, the leader refuses what makes the state grow. No-ops, configurations,
 *   expiries, deletions and compactions pass, and use what is left.
 * - Where other programs took all but the hard floor, the reserve is given up; that room is for the same.
 * - `full`, the hard floor: a follower takes no more entries. It flushes what it has, because that shortens the log and lets
 *   history be pruned, which gives room back.
 *
 * A write for which nothing is left all the same ends the node's run (correctness rule 30); `server.ts` begins another.
 */
export class DiskWatch {
  space: DiskSpace = 'ok';
  /** When it came to be so, by the clock. */
  since = Number.NEGATIVE_INFINITY;
  /** Bytes that could be written when the disk was last looked at. */
  free = Number.POSITIVE_INFINITY;
  private timer: Timer | null = null;
  private isStopped = false;
  private hasFailed = false;
  private hasFailedToReserve = false;
  private mayReserveAt = 0;

  constructor(
    private readonly parts: {
      readonly clock: Clock;
      readonly logger: NodeLogger;
      readonly usage: () => Promise<DiskUsage>;
      readonly reserve?: Reserve;
      /** The bound of the log in bytes: what followers may have to take after the leader has begun to refuse. */
      readonly logBytesMax: number;
      readonly changed: (space: DiskSpace) => void;
    },
  ) {}

  start(): void {
    this.mayReserveAt = this.parts.clock.now() + limits.DISK_RESERVE_DELAY_MS;
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
      if (!this.isStopped) await this.reserve(now);
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
    this.free = free;
    const left = free + (this.parts.reserve?.bytes ?? 0);
    const full = hardFloor(total);
    const low = reserveBytes(total) + Math.min(limits.DISK_LOW_BYTES + this.parts.logBytesMax, total / 4);
    const isFull = left < full * (this.space === 'full' ? limits.DISK_RECOVERY : 1);
    const isLow = left < low * (this.space === 'ok' ? 1 : limits.DISK_RECOVERY);
    const space = isFull ? 'full' : isLow ? 'low' : 'ok';
    if (space !== this.space) {
      this.space = space;
      this.since = this.parts.clock.now();
      this.tell(space, left);
      this.parts.changed(space);
    }
    return left < 4 * low;
  }

  /** Gives the reserve up where the disk is full otherwise, and takes it again once there is room for it. */
  private async reserve({ free, total }: DiskUsage): Promise<void> {
    const { reserve, clock, logger } = this.parts;
    if (reserve === undefined) return;
    if (reserve.bytes > 0 && free < hardFloor(total)) {
      await reserve.giveUp();
      logger.warn(
        { freeBytes: free },
        'The disk is full otherwise, so this node uses its reserve. Make room.',
      );
      return;
    }
    const wanted = reserveBytes(total);
    const isDue = reserve.bytes !== wanted && this.space === 'ok' && clock.now() >= this.mayReserveAt;
    if (!isDue) return;
    try {
      await reserve.take(wanted);
      this.hasFailedToReserve = false;
    } catch (error) {
      if (!this.hasFailedToReserve) logger.warn({ err: error }, 'No room on the disk could be reserved.');
      this.hasFailedToReserve = true;
      this.mayReserveAt = clock.now() + limits.DISK_RESERVE_RETRY_MS;
    }
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

function hardFloor(total: number): number {
  return Math.min(limits.DISK_FULL_BYTES, total / 16);
}

function reserveBytes(total: number): number {
  return Math.floor(Math.min(limits.DISK_RESERVE_BYTES, total / 8));
}
