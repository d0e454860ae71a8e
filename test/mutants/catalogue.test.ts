import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { catalogue } from './catalogue.js';
import { editsOf, plant } from './mutant.js';

test('every planted bug has a name of its own, and its row in docs/how-we-know.md', () => {
  const names = catalogue.map(({ name }) => name);
  expect(new Set(names).size).toBe(catalogue.length);
  const lines = readFileSync('docs/how-we-know.md', 'utf8').split('\n');
  const table = lines.slice(lines.findIndex((line) => line.startsWith('| planted bug |')) + 2);
  const rows = table.slice(0, table.indexOf('')).map((row) => row.split(' | ')[0]?.slice(2) ?? '');
  expect(rows.toSorted()).toEqual(names.toSorted());
  expect(readFileSync('README.md', 'utf8').replaceAll('\n', ' ')).toContain(
    `lists ${catalogue.length} planted bugs`,
  );
});

test.each(catalogue.map((mutant) => [mutant.name, mutant] as const))(
  'its edit still fits: %s',
  (_, mutant) => {
    for (const edit of editsOf(mutant)) {
      const source = readFileSync(edit.file, 'utf8');
      expect(plant(edit, source)).not.toBe(source);
    }
    if (mutant.test !== undefined) expect(existsSync(mutant.test)).toBe(true);
  },
);
