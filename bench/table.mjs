const COLUMNS = [
  ['operation', 16],
  ['connections', 11],
  ['system', 12],
  ['per second', 10, 'right'],
  ['p50 ms', 8, 'right'],
  ['p99 ms', 8, 'right'],
  ['ratio', 18],
  ['', 0],
];

export const printHead = () => printLine(COLUMNS.map(([title]) => title));

/** Each row as soon as it is known: a whole run takes minutes. `others` are those of the same operation and connections. */
export function printRow(row, { title, reference: referenceName }, others) {
  const reference = others.find(({ system }) => system === referenceName);
  const isCompared = row.system === 'raftkv' && reference !== undefined;
  printLine([
    title,
    String(row.connections),
    row.system,
    row.perSecond.toFixed(0),
    row.p50Ms.toFixed(2),
    row.p99Ms.toFixed(2),
    isCompared ? `${(row.perSecond / reference.perSecond).toFixed(2)} × ${referenceName}` : '',
    row.failures > 0 ? `${row.failures} failed` : '',
  ]);
}

function printLine(cells) {
  const padded = COLUMNS.map(([, width, side], column) =>
    side === 'right' ? cells[column].padStart(width) : cells[column].padEnd(width),
  );
  console.log(padded.join('  ').trimEnd());
}
