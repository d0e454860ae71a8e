import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/sim/prng.js';
import { simulate } from '../../src/sim/simulation.js';
import { Process, Scheduler } from '../../src/sim/virtual-clock.js';

async function run(seed: number, nodeCount?: number) {
  const text = createHash('sha256');
  let lineCount = 0;
  const report = await simulate({
    seed,
    nodeCount,
    writeLine: (line) => {
      lineCount += 1;
      text.update(`${line}\n`);
    },
  });
  return { report, text: text.digest('hex'), lineCount };
}

describe('a seed', () => {
  test.each([
    [11, undefined],
    [12, 5],
    [13, 1],
    [14, 3],
  ])('gives the same trace byte for byte (seed %i, nodes %s)', async (seed, nodeCount) => {
    const first = await run(seed, nodeCount);
    const second = await run(seed, nodeCount);
    expect(first.report.failure).toBeNull();
    expect(first.lineCount).toBeGreaterThan(500);
    expect(second).toEqual(first);
    // Reading along changes nothing.
    expect((await simulate({ seed, nodeCount })).hash).toBe(first.report.hash);
  });

  test('gives another trace than the next', async () => {
    expect((await simulate({ seed: 1 })).hash).not.toBe((await simulate({ seed: 2 })).hash);
  });

  test('passes, and so do its neighbours', async () => {
    let simulatedMs = 0;
    for (let seed = 2001; seed <= 2020; seed += 1) {
      const report = await simulate({ seed });
      expect(report.failure, `raftkv sim --seed ${seed} --trace`).toBeNull();
      simulatedMs += report.simulatedMs;
    }
    expect(simulatedMs).toBeGreaterThan(20 * 10_000);
  });
});

describe('virtual time', () => {
  const inMacrotask = <Value>(task: () => Value): Promise<Value> =>
    new Promise((resolve, reject) => {
      setImmediate(() => {
        try {
          resolve(task());
        } catch (error) {
          reject(error);
        }
      });
    });

  test('passes from event to event, in order, with all micro-tasks run between two of them', async () => {
    const order = await inMacrotask(() => {
      const seen: string[] = [];
      const scheduler = new Scheduler(() => seen.push('checked'));
      const process = new Process('n1', () => {});
      scheduler.after(5, process, () => {
        seen.push(`event at ${scheduler.nowMs}`);
        process.soonTasks.push(() => seen.push('soon'));
        void (async () => {
          for (let turn = 0; turn < 50; turn += 1) await null;
          seen.push('promises');
        })();
      });
      scheduler.after(5, null, () => seen.push('same time, later'));
      scheduler.after(1, null, () => seen.push(`event at ${scheduler.nowMs}`));
      scheduler.after(2, null, () => seen.push('cancelled')).cancel();
      scheduler.runUntil(10);
      expect(scheduler.nowMs).toBe(10);
      return seen;
    });
    expect(order).toEqual(['event at 1', 'event at 5', 'promises', 'soon', 'checked', 'same time, later']);
  });

  test('stands still for a paused process, and ends for a dead one', async () => {
    const order = await inMacrotask(() => {
      const seen: string[] = [];
      const scheduler = new Scheduler(() => {});
      const process = new Process('n1', () => {});
      for (const atMs of [1, 2, 3])
        scheduler.after(atMs, process, () => seen.push(`${atMs} at ${scheduler.nowMs}`));
      scheduler.pause(process);
      scheduler.runUntil(2.5);
      scheduler.resume(process);
      scheduler.runUntil(2.6);
      process.end();
      scheduler.runUntil(4);
      return seen;
    });
    expect(order).toEqual(['1 at 2.5', '2 at 2.5']);
  });

  test('orders many events as a sorted list would', async () => {
    const random = new Prng(1, 'test');
    const delays = Array.from({ length: 2000 }, () => random.integer(0, 500));
    const seen = await inMacrotask(() => {
      const scheduler = new Scheduler(() => {});
      const times: number[] = [];
      for (const delayMs of delays) scheduler.after(delayMs, null, () => times.push(delayMs));
      scheduler.runUntil(1000);
      return times;
    });
    expect(seen).toEqual([...delays].sort((a, b) => a - b));
  });
});

describe('randomness', () => {
  test('is a function of the seed and the name of the stream', () => {
    const draw = (seed: number, name: string) => Array.from({ length: 5 }, random(new Prng(seed, name)));
    expect(draw(1, 'a')).toEqual(draw(1, 'a'));
    expect(draw(1, 'a')).not.toEqual(draw(2, 'a'));
    expect(draw(1, 'a')).not.toEqual(draw(1, 'b'));
    const parent = new Prng(1, 'a');
    const before = parent.fork('x').real();
    parent.real();
    expect(parent.fork('x').real()).toBe(before);
  });

  test('is even', () => {
    const prng = new Prng(5, 'even');
    for (let bucket = 0; bucket < 4; bucket += 1) {
      let count = 0;
      for (let draw = 0; draw < 10_000; draw += 1) if (prng.integer(0, 3) === bucket) count += 1;
      expect(count).toBeGreaterThan(2300);
      expect(count).toBeLessThan(2700);
    }
  });
});

function random(prng: Prng): () => number {
  return () => prng.real();
}
