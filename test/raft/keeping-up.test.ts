import { describe, expect, it } from 'vitest';
import type { Core } from '../../src/raft/core.js';
import { isKeepingUp } from '../../src/raft/membership.js';
import { Progress } from '../../src/raft/progress.js';

/** A leader at tick 100, as far as this is looked at. */
const core = { now: 100, options: { electionTimeoutTicks: 10 } } as Core;

/** A learner that kept up in its last round, and has what the present one began with. */
function learner(): Progress {
  const progress = new Progress(1, { messagesInFlightMax: 3, bytesInFlightMax: 100 }, 0);
  progress.becomeReplicate();
  progress.acknowledged(20);
  progress.keptUp = true;
  progress.catchUp = { target: 20, startedAtTick: 95 };
  return progress;
}

describe('a learner that several voters are to be replaced by (thesis §4.2.1)', () => {
  it('keeps up while its rounds are short', () => {
    const progress = learner();
    expect(isKeepingUp(core, progress)).toBe(true);
    progress.catchUp = { target: 30, startedAtTick: 95 };
    expect(isKeepingUp(core, progress)).toBe(true);
    progress.catchUp = { target: 30, startedAtTick: 80 };
    expect(isKeepingUp(core, progress)).toBe(false);
  });

  it('does not keep up while it needs a snapshot or was lost, although it has what its last round was about', () => {
    const progress = learner();
    progress.becomeSnapshot();
    expect(isKeepingUp(core, progress)).toBe(false);
    progress.becomeProbe();
    expect(isKeepingUp(core, progress)).toBe(false);
    progress.becomeReplicate();
    expect(isKeepingUp(core, progress)).toBe(true);
  });
});
