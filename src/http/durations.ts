/** Upper bounds of the buckets, in seconds. */
const bucketSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const name = 'raftkv_http_request_duration_seconds';

interface Series {
  readonly labels: string;
  /** How many fell into each bucket, not cumulated; the last one is for what is longer than all bounds. */
  readonly counts: number[];
  sumSeconds: number;
}

/**
 * How long requests took, by route, method and status. Every request passes here, so an observation is two lookups and
 * three additions; the labels are put together once for each series.
 */
export class Durations {
  private readonly byRoute = new Map<string, Map<number, Series>>();

  /** @param route A fixed name, and `method` one of a fixed set: each combination is a time series that stays. */
  observe(route: string, method: string, status: number, seconds: number): void {
    const key = method + route;
    let byStatus = this.byRoute.get(key);
    if (byStatus === undefined) {
      byStatus = new Map();
      this.byRoute.set(key, byStatus);
    }
    let series = byStatus.get(status);
    if (series === undefined) {
      const labels = `route="${route}",method="${method}",status="${status}"`;
      series = { labels, counts: [...bucketSeconds, 0].map(() => 0), sumSeconds: 0 };
      byStatus.set(status, series);
    }
    let bucket = 0;
    while (bucket < bucketSeconds.length && seconds > (bucketSeconds[bucket] ?? 0)) bucket++;
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sumSeconds += seconds;
  }

  /** The histogram in Prometheus's text format. */
  text(): string {
    const lines = [
      `# HELP ${name} From the arrival of a request to the moment its answer is handed to the socket.`,
      `# TYPE ${name} histogram`,
    ];
    for (const byStatus of this.byRoute.values()) {
      for (const { labels, counts, sumSeconds } of byStatus.values()) {
        let cumulated = 0;
        counts.forEach((count, bucket) => {
          cumulated += count;
          lines.push(`${name}_bucket{le="${bucketSeconds[bucket] ?? '+Inf'}",${labels}} ${cumulated}`);
        });
        lines.push(`${name}_sum{${labels}} ${sumSeconds}`, `${name}_count{${labels}} ${cumulated}`);
      }
    }
    return `${lines.join('\n')}\n`;
  }
}
