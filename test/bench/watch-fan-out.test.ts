import { expect, it } from 'vitest';
import { occurrences } from '../../bench/watch-fan-out.mjs';

it('an event is counted once, wherever the stream is cut', () => {
  const stream = Buffer.from('event: progress\n\nevent: put\n\nevent: put\nevent: putevent: event: put');
  for (let one = 0; one <= stream.length; one += 1) {
    for (let other = one; other <= stream.length; other += 1) {
      const count = occurrences('event: put');
      const parts = [stream.subarray(0, one), stream.subarray(one, other), stream.subarray(other)];
      expect(parts.reduce((sum, part) => sum + count(part), 0)).toBe(4);
    }
  }
});
