import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Closing } from '../../src/http/exchange.js';

it('any number of requests may listen for the end of the server without a warning', async () => {
  const warnings: unknown[] = [];
  const note = (warning: unknown) => warnings.push(warning);
  process.on('warning', note);
  const { signal } = new Closing();
  for (let count = 0; count < 100; count += 1) signal.addEventListener('abort', () => {});
  // Node warns in the next turn.
  await setImmediate();
  process.off('warning', note);
  expect(warnings).toEqual([]);
});
