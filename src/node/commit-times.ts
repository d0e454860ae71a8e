import { Histogram } from '../histogram.js';
import type { Index } from '../raft/types.js';

/** How long batches of proposals take from the log to their commit: one observation for each batch, not for each entry. */
export class CommitTimes {
  readonly histogram = new Histogram();
  /** In the order of their indexes. */
  private underWay: { readonly lastIndex: Index; readonly atMs: number }[] = [];

  proposed(lastIndex: Index, nowMs: number): void {
    this.underWay.push({ lastIndex, atMs: nowMs });
  }

  committed(index: Index, nowMs: number): void {
    let done = 0;
    for (const { lastIndex, atMs } of this.underWay) {
      if (lastIndex > index) break;
      this.histogram.observe((nowMs - atMs) / 1_000);
      done += 1;
    }
    if (done > 0) this.underWay.splice(0, done);
  }

  /** Leadership is lost: what becomes of them is for the next leader. */
  forget(): void {
    this.underWay = [];
  }
}
