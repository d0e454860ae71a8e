import { describe, expect, it } from 'vitest';
import { Driver } from '../../src/node/driver.js';
import type { Raft } from '../../src/raft/raft.js';
import { entryAt, message, startNode, threeVoters } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeLog } from './fakes.js';

/** The driver around a follower that n2 leads in term 2; `steps` tells in order what it did. */
function start(raft: Raft = startNode({ term: 2 })) {
  const clock = new FakeClock();
  const log = new FakeLog();
  log.isSlow = true;
  const steps: string[] = [];
  const errors: unknown[] = [];
  const driver: Driver = new Driver(raft, log, clock, {
    event: () => {},
    send: (sent) => steps.push(sent.type),
    committed: (entries) => steps.push(`apply ${entries.map((entry) => entry.index).join(' ')}`),
    reads: (reads) => steps.push(`answer ${reads.map((read) => read.context).join(' ')}`),
    readsRefused: (contexts) => steps.push(`refuse ${contexts.join(' ')}`),
    snapshotRequested: () => {},
    snapshotInstalled: (staged) => steps.push(`activate ${staged.directory}`),
    snapshotOvertaken: (staged) => steps.push(`discard ${staged.directory}`),
    gather: () => {},
    settled: () => {},
    fatal: (error) => errors.push(error),
  });
  const write = log.write.bind(log);
  log.write = (batches, directory) => {
    steps.push(`write ${batches.map((batch) => batch.sequence).join(' ')}`);
    return write(batches, directory);
  };
  const hear = (index: number, commitIndex = 1) => {
    const previousTerm = index === 2 ? 1 : 2;
    const entries = [entryAt(index, 2)];
    raft.step(
      message('appendEntries', { term: 2, previousIndex: index - 1, previousTerm, entries, commitIndex }),
    );
    driver.wake();
  };
  return { raft, clock, log, steps, errors, driver, hear };
}

describe('driver', () => {
  it('sends what promises nothing before the write, and what promises it after (row 2)', async () => {
    const { raft, clock, log, steps, driver, hear } = start();
    hear(2);
    raft.step(message('heartbeat', { term: 2, round: 1, commitIndex: 1 }));
    driver.wake();
    await clock.settle();
    expect(steps).toEqual(['heartbeatResponse', 'write 1']);
    log.finish();
    await clock.settle();
    expect(steps).toEqual(['heartbeatResponse', 'write 1', 'appendEntriesResponse']);
  });

  it('keeps one write in flight, and what gathers meanwhile is the next one (rows 31, group commit)', async () => {
    const { clock, log, steps, driver, hear } = start();
    hear(2);
    await clock.settle();
    for (const index of [3, 4, 5]) {
      hear(index);
      await clock.settle();
    }
    expect(steps).toEqual(['write 1']);
    log.finish();
    await clock.settle();
    expect(steps).toEqual(['write 1', 'appendEntriesResponse', 'write 2 3 4']);
    expect(driver.isIdle).toBe(false);
    log.finish();
    await clock.settle();
    expect(steps.slice(3)).toEqual(Array(3).fill('appendEntriesResponse'));
    expect([driver.isIdle, driver.counts]).toEqual([true, { writes: 2, batches: 4 }]);
  });

  it('answers heartbeats while a write takes as long as it likes', async () => {
    const { raft, clock, steps, driver, hear } = start();
    hear(2);
    await clock.settle();
    raft.step(message('heartbeat', { term: 2, round: 9, commitIndex: 1 }));
    driver.wake();
    await clock.settle();
    expect(steps).toEqual(['write 1', 'heartbeatResponse']);
  });

  it('applies an entry only when it is committed and on this disk', async () => {
    const { clock, log, steps, hear } = start();
    hear(2, 2);
    await clock.settle();
    expect(steps).toEqual(['write 1']);
    log.finish();
    await clock.settle();
    expect(steps).toEqual(['write 1', 'appendEntriesResponse', 'apply 2']);
  });

  it('takes everything that arrived in one go into one Ready', async () => {
    const { raft, clock, steps, driver } = start();
    const entries = [entryAt(2, 2)];
    for (const entry of [2, 3, 4])
      raft.step(
        message('appendEntries', {
          term: 2,
          previousIndex: entry - 1,
          previousTerm: entry === 2 ? 1 : 2,
          entries: entry === 2 ? entries : [entryAt(entry, 2)],
          commitIndex: 1,
        }),
      );
    driver.wake();
    driver.wake();
    await clock.settle();
    expect(steps).toEqual(['write 1']);
  });

  it('ends with the write that failed: nothing leaves any more and nothing is written (row 30)', async () => {
    const { raft, clock, log, steps, errors, driver, hear } = start();
    hear(2);
    await clock.settle();
    hear(3);
    await clock.settle();
    log.fail(new Error('The disk is full.'));
    await clock.settle();
    raft.step(message('heartbeat', { term: 2, round: 1, commitIndex: 1 }));
    driver.wake();
    driver.run();
    await clock.settle();
    expect(steps).toEqual(['write 1']);
    expect(errors).toEqual([new Error('The disk is full.')]);
  });

  it('writes nothing more when an invariant breaks in the core (row 30)', async () => {
    const { raft, clock, log, steps, errors, hear } = start();
    hear(2);
    await clock.settle();
    hear(3);
    await clock.settle();
    raft.persisted = () => {
      throw new Error('An invariant is broken.');
    };
    log.finish();
    await clock.settle();
    expect(steps).toEqual(['write 1']);
    expect(errors).toHaveLength(1);
  });

  it('performs nothing more in the same run once it was stopped from within', async () => {
    const raft = startNode({ term: 2 });
    const { clock, driver, hear, steps } = start(raft);
    const takeReady = raft.takeReady.bind(raft);
    raft.takeReady = () => {
      const ready = takeReady();
      // As an applier that cannot go on does, while the Ready is performed; and there is another behind it.
      raft.step(message('heartbeat', { term: 2, round: 1, commitIndex: 1 }));
      driver.stop();
      return ready;
    };
    hear(2);
    await clock.settle();
    expect(steps).toEqual([]);
  });

  it('does nothing after a stop, not even for a write that was in flight', async () => {
    const { clock, log, steps, driver, hear } = start();
    hear(2);
    await clock.settle();
    driver.stop();
    log.finish();
    await clock.settle();
    expect(steps).toEqual(['write 1']);
  });
});

describe('driver with a snapshot', () => {
  const metadata = { index: 9, term: 2, configuration: threeVoters };
  const staged = { metadata, directory: 'state-9' };

  it('names the new state in the write that replaces the log, and brings it to life when that is done', async () => {
    const { raft, clock, log, steps, driver } = start();
    const isTaken = driver.offerSnapshot(staged, () =>
      raft.step(message('installSnapshot', { term: 2, snapshot: metadata })),
    );
    expect(isTaken).toBe(true);
    expect(log.writes.map((write) => write.stateDirectory)).toEqual(['state-9']);
    expect(steps).toEqual(['write 1']);
    log.finish();
    await clock.settle();
    expect(steps).toEqual(['write 1', 'activate state-9', 'installSnapshotResponse']);
  });

  it('says that a snapshot was not taken when the log is as far already (row 24)', async () => {
    const { raft, driver, log } = start(startNode({ term: 2, log: [1, 2, 2], commit: 3 }));
    const older = { index: 2, term: 2, configuration: threeVoters };
    const isTaken = driver.offerSnapshot({ metadata: older, directory: 'state-2' }, () =>
      raft.step(message('installSnapshot', { term: 2, snapshot: older })),
    );
    expect([isTaken, log.writes.length]).toEqual([false, 0]);
  });

  it('brings the later of two to life when both are in one write (row 24)', async () => {
    const { raft, clock, log, steps, driver, hear } = start();
    hear(2);
    await clock.settle();
    for (const index of [9, 12]) {
      const snapshot = { ...metadata, index };
      driver.offerSnapshot({ metadata: snapshot, directory: `state-${index}` }, () =>
        raft.step(message('installSnapshot', { term: 2, snapshot })),
      );
    }
    log.finish();
    await clock.settle();
    log.finish();
    await clock.settle();
    expect(log.writes.map((write) => write.stateDirectory)).toEqual([undefined, 'state-12']);
    expect(steps.filter((step) => /activate|discard/.test(step))).toEqual([
      'discard state-9',
      'activate state-12',
    ]);
  });

  it('ends the process when the core stops at it, and not only the call', async () => {
    const { driver, errors } = start();
    const step = () => {
      throw new Error('An invariant is broken.');
    };
    expect(() => driver.offerSnapshot(staged, step)).toThrow('An invariant is broken.');
    expect(errors).toHaveLength(1);
  });
});
