import { bucketSeconds, Histogram } from '../histogram.js';

const name = 'raftkv_http_request_duration_seconds';

interface Series {
  readonly labels: string;
  readonly histogram: Histogram;
}

/**
 * How long requests took, by route, method and status. Every request passes here, so an observation is three lookups of texts
 * that are there already and a few additions; the labels are put together once for each series.
 */
export class Durations {
  private readonly byRoute = new Map<string, Map<string, Map<number, Series>>>();

  /** @param route A fixed name, and `method` one of a fixed set: each combination is a time series that stays. */
  observe(route: string, method: string, status: number, seconds: number): void {
    const series = this.byRoute.get(route)?.get(method)?.get(status) ?? this.newSeries(route, method, status);
    series.histogram.observe(seconds);
  }

  private newSeries(route: string, method: string, status: number): Series {
    const byMethod = this.byRoute.get(route) ?? new Map<string, Map<number, Series>>();
    const byStatus = byMethod.get(method) ?? new Map<number, Series>();
    const labels = `route="${route}",method="${method}",status="${status}"`;
    const series = { labels, histogram: new Histogram() };
    this.byRoute.set(route, byMethod.set(method, byStatus.set(status, series)));
    return series;
  }

  /** In Prometheus's text format. */
  text(): string {
    const series = [...this.byRoute.values()].flatMap((byMethod) =>
      [...byMethod.values()].flatMap((byStatus) => [...byStatus.values()]),
    );
    return histogramText(
      name,
      'From the arrival of a request to the moment its answer is handed to the socket.',
      series,
    );
  }
}

/** A histogram in Prometheus's text format, one series for each set of labels. */
export function histogramText(
  name: string,
  help: string,
  series: readonly { readonly labels: string; readonly histogram: Histogram }[],
): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
  for (const { labels, histogram } of series) {
    const further = labels === '' ? '' : `,${labels}`;
    const braced = labels === '' ? '' : `{${labels}}`;
    let cumulated = 0;
    histogram.counts.forEach((count, bucket) => {
      cumulated += count;
      lines.push(`${name}_bucket{le="${bucketSeconds[bucket] ?? '+Inf'}"${further}} ${cumulated}`);
    });
    lines.push(`${name}_sum${braced} ${histogram.sumSeconds}`, `${name}_count${braced} ${cumulated}`);
  }
  return `${lines.join('\n')}\n`;
}
