/** Upper bounds of the buckets of a duration, in seconds. */
export const bucketSeconds: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** How often something took how long. An observation is a short search and two additions. */
export class Histogram {
  /** How many fell into each bucket, not cumulated; the last one is for what is longer than all bounds. */
  readonly counts: number[] = [...bucketSeconds, 0].map(() => 0);
  sumSeconds = 0;

  observe(seconds: number): void {
    let bucket = 0;
    while (bucket < bucketSeconds.length && seconds > (bucketSeconds[bucket] ?? 0)) bucket++;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sumSeconds += seconds;
  }
}
