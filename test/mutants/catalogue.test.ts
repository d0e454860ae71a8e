import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { catalogue } from './catalogue.js';
import { editsOf, plant } from './mutant.js';

test('there are many planted bugs, each with a name of its own', () => {
  expect(catalogue.length).toBeGreaterThanOrEqual(25);
  expect(new Set(catalogue.map(({ name }) => name)).size).toBe(catalogue.length);
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
