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

/** Two-sided 95 % points of Student's t distribution, by degrees of freedom; beyond the last the normal one is near enough. */
const T_95 = new Map([
  [1, 12.706],
  [2, 4.303],
  [3, 3.182],
  [4, 2.776],
  [5, 2.571],
  [6, 2.447],
  [7, 2.365],
  [8, 2.306],
  [9, 2.262],
  [14, 2.145],
  [19, 2.093],
  [29, 2.045],
  [39, 2.023],
]);
const T_95_NORMAL = 1.96;

/**
 * The geometric mean of ratios and its 95 % confidence interval, by Student's t distribution of their logarithms. Between two
 * degrees of freedom of the table the wider interval is taken. Throws when there are fewer than two ratios.
 *
 * @param {number[]} ratios
 * @returns {{ mean: number, low: number, high: number }}
 */
export function ratioInterval(ratios) {
  if (ratios.length < 2) throw new Error('An interval needs at least two ratios.');
  const logs = ratios.map(Math.log);
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
  const variance = logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / (logs.length - 1);
  const freedom = logs.length - 1;
  const tabled = [...T_95].filter(([degrees]) => degrees <= freedom).at(-1);
  const t = freedom > 100 ? T_95_NORMAL : tabled[1];
  const margin = t * Math.sqrt(variance / logs.length);
  return { mean: Math.exp(mean), low: Math.exp(mean - margin), high: Math.exp(mean + margin) };
}

const sortedUp = (values) => [...values].sort((one, other) => one - other);
