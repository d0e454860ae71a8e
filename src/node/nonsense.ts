import type { Clock } from '../clock.js';
import type { Message } from '../raft/types.js';
import type { NodeLogger } from './contracts.js';
import { NONSENSE_REPORT_MS } from './limits.js';

/** Messages that no member sends: they are counted, and told of once in a while, because whoever sends one may send many. */
export class Nonsense {
  /** How many there were since the start. */
  count = 0;
  private toldCount = 0;
  private toldAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly clock: Clock,
    private readonly logger: NodeLogger,
  ) {}

  note(message: Pick<Message, 'from' | 'type'>, reason: string): void {
    this.count += 1;
    const now = this.clock.now();
    if (now - this.toldAt < NONSENSE_REPORT_MS) return;
    const before = this.count - 1 - this.toldCount;
    this.logger.warn(
      { peer: message.from, message: message.type },
      `A message of ${message.from} was dropped, because no member sends it. ${reason}` +
        (before > 0 ? ` So were ${before} others since the last such line.` : ''),
    );
    this.toldCount = this.count;
    this.toldAt = now;
  }
}
