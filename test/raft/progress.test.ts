import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Progress } from '../../src/raft/progress.js';

const limits = { messagesInFlightMax: 3, bytesInFlightMax: 100 };

function replicating(): Progress {
  const progress = new Progress(1, limits, 0);
  progress.acknowledged(0);
  progress.becomeReplicate();
  return progress;
}

describe('progress of a follower', () => {
  it('probes with one append at a time', () => {
    const progress = new Progress(5, limits, 0);
    expect([progress.state, progress.canSend, progress.next]).toEqual(['probe', true, 5]);
    progress.sent(8, 10);
    expect([progress.canSend, progress.next]).toEqual([false, 5]);
  });

  it('bounds the messages and the bytes in flight (row 12)', () => {
    const progress = replicating();
    for (const index of [1, 2, 3]) progress.sent(index, 1);
    expect([progress.canSend, progress.next]).toEqual([false, 4]);
    progress.acknowledged(2);
    expect(progress.canSend).toBe(true);
    progress.sent(4, 99);
    expect(progress.canSend).toBe(false);
    progress.acknowledged(4);
    expect(progress.canSend).toBe(true);
  });

  it('sends nothing while a snapshot is on its way', () => {
    const progress = replicating();
    progress.becomeSnapshot();
    expect(progress.canSend).toBe(false);
    progress.becomeProbe();
    expect(progress.canSend).toBe(true);
  });

  it('keeps match below next, and never brings match back, whatever happens (row 9)', () => {
    const steps = fc.oneof(
      fc.record({ kind: fc.constant('acknowledged' as const), value: fc.nat(20) }),
      fc.record({ kind: fc.constant('sent' as const), value: fc.integer({ min: 1, max: 4 }) }),
      fc.record({
        kind: fc.constantFrom('probe' as const, 'replicate' as const, 'snapshot' as const),
        value: fc.nat(),
      }),
    );
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 40, size: 'max' }), (script) => {
        const progress = new Progress(1, limits, 0);
        let match = 0;
        for (const { kind, value } of script) {
          if (kind === 'acknowledged') progress.acknowledged(value);
          else if (kind === 'probe') progress.becomeProbe();
          else if (kind === 'replicate') progress.becomeReplicate();
          else if (kind === 'snapshot') progress.becomeSnapshot();
          else if (progress.canSend) progress.sent(progress.next + value - 1, value);
          expect(progress.match).toBeGreaterThanOrEqual(match);
          expect(progress.match).toBeLessThan(progress.next);
          match = progress.match;
        }
        // No state in which it is paused for ever (row 11): an answer to a probe frees it.
        progress.becomeProbe();
        expect(progress.canSend).toBe(true);
      }),
    );
  });
});
