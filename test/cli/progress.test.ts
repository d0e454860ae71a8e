import { expect, it } from 'vitest';
import { bar } from '../../src/cli/progress.js';

it.each([
  [0, '[                    ]   0%'],
  [0.049, '[                    ]   4%'],
  [0.5, '[##########          ]  50%'],
  // Not whole before all of it is done.
  [0.999, '[################### ]  99%'],
  [1, '[####################] 100%'],
  // The last line of a file may have no line feed, and time goes on after it is up.
  [1.01, '[####################] 100%'],
])('the share %d is shown as %s', (share, shown) => {
  expect(bar(share)).toBe(shown);
});
