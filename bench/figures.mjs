/** The median of some figures; throws when there is none, so that a run that measured nothing cannot look like one. */
export function median(values) {
  if (values.length === 0) throw new Error('Nothing was measured.');
  const sorted = sortedUp(values);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Half of the latencies are up to `p50Ms`, and all but one in a hundred up to `p99Ms`; NaN where there are none. */
export function percentiles(latenciesMs) {
  const sorted = sortedUp(latenciesMs);
  const at = (share) => sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

const sortedUp = (values) => [...values].sort((one, other) => one - other);
