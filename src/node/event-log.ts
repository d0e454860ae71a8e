import type { Clock } from '../clock.js';
import type { RaftEvent } from '../raft/types.js';
import type { NodeLogger } from './contracts.js';
import { CAMPAIGN_REPORT_MS_MAX, CAMPAIGN_REPORT_MS_MIN } from './limits.js';

/** What a node without a majority does over and over. */
const CAMPAIGNING: ReadonlySet<RaftEvent['name']> = new Set([
  'becamePreCandidate',
  'becameCandidate',
  'becameFollower',
]);

/** How often something happened, and when the log is to tell of it again. */
interface Repetition {
  count: number;
  intervalMs: number;
  nextAtMs: number;
}

/**
 * The core's events as lines of the log. A node that finds no majority campaigns a few times a second for as long as that lasts:
 * until a leader is known, each kind of such an event is told once, and then at growing intervals with its count. All of them
 * are lines of the level `debug`.
 */
export class EventLog {
  private readonly repetitions = new Map<RaftEvent['name'], Repetition>();

  constructor(
    private readonly clock: Clock,
    private readonly logger: NodeLogger,
  ) {}

  note({ name, term, message }: RaftEvent): void {
    const fields = { event: name, term };
    if (!CAMPAIGNING.has(name)) {
      this.logger.info(fields, message);
      return;
    }
    const now = this.clock.now();
    const repetition = this.repetitions.get(name);
    if (repetition === undefined) {
      const intervalMs = CAMPAIGN_REPORT_MS_MIN;
      this.repetitions.set(name, { count: 1, intervalMs, nextAtMs: now + intervalMs });
      this.logger.info(fields, message);
      return;
    }
    repetition.count += 1;
    if (now < repetition.nextAtMs) {
      this.logger.debug(fields, message);
      return;
    }
    repetition.intervalMs = Math.min(2 * repetition.intervalMs, CAMPAIGN_REPORT_MS_MAX);
    repetition.nextAtMs = now + repetition.intervalMs;
    this.logger.info(fields, `${message} This happened ${repetition.count} times since a leader was known.`);
  }

  /** What comes after this is news again. */
  leaderKnown(): void {
    this.repetitions.clear();
  }
}
