import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type EventLoop, TurnShare } from '../src/turn-share.js';

/** An event loop whose turns and time the test makes. */
class FakeLoop implements EventLoop {
  timeMs = 0;
  #tasks: (() => void)[] = [];

  now(): number {
    return this.timeMs;
  }

  soon(task: () => void): void {
    this.#tasks.push(task);
  }

  afterMicrotasks(task: () => void): void {
    queueMicrotask(() => process.nextTick(task));
  }

  /** Runs one turn to its end. Returns whether there was anything to do. */
  async next(): Promise<boolean> {
    const tasks = this.#tasks;
    this.#tasks = [];
    for (const task of tasks) task();
    await turn();
    return tasks.length > 0;
  }
}

describe('a share of the turns of the event loop', () => {
  function world(shareMs: number) {
    const loop = new FakeLoop();
    const share = new TurnShare(shareMs, loop);
    const ran: string[] = [];
    /** Work of so many slices, each of which takes so long, over several microtasks. */
    const work = async (name: string, slices: number, sliceMs: number): Promise<void> => {
      for (let slice = 1; slice <= slices; slice += 1) {
        await share.turn();
        await Promise.resolve();
        await Promise.resolve();
        loop.timeMs += sliceMs;
        ran.push(`${name}${slice}`);
      }
    };
    const nextTurn = async (): Promise<readonly string[]> => {
      await loop.next();
      return ran.splice(0);
    };
    return { loop, share, work, nextTurn };
  }

  it('is bounded for all work together, which takes turns in the order of asking', async () => {
    const { loop, work, nextTurn } = world(3);
    const all = [work('a', 3, 1), work('b', 2, 1), work('c', 1, 10), work('d', 1, 1)];
    expect(await nextTurn()).toEqual(['a1', 'b1', 'c1']);
    expect(await nextTurn()).toEqual(['d1', 'a2', 'b2']);
    // Work that comes between two turns goes behind the work that waits.
    all.push(work('e', 1, 1));
    expect(await nextTurn()).toEqual(['a3', 'e1']);
    await Promise.all(all);
    expect(await loop.next()).toBe(false);
  });

  it('runs nothing in the turn in which it is asked', async () => {
    const { work, nextTurn } = world(3);
    void work('a', 1, 1);
    await turn();
    void work('b', 1, 1);
    expect(await nextTurn()).toEqual(['a1', 'b1']);
  });

  it('runs one slice in each turn where it is 0', async () => {
    const { work, nextTurn } = world(0);
    void work('a', 2, 0);
    void work('b', 1, 0);
    expect(await nextTurn()).toEqual(['a1']);
    expect(await nextTurn()).toEqual(['b1']);
    expect(await nextTurn()).toEqual(['a2']);
  });

  it('goes on after a slice that fails', async () => {
    const { share, work, nextTurn } = world(3);
    const failed = share.turn().then(() => {
      throw new Error('failed');
    });
    void failed.catch(() => {});
    void work('a', 1, 1);
    expect(await nextTurn()).toEqual(['a1']);
    await expect(failed).rejects.toThrow('failed');
  });
});

it('lets timers and input of the real event loop come in between', async () => {
  const share = new TurnShare(0);
  let isDone = false;
  let turns = 0;
  const count = (): void => {
    turns += 1;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  for (let slice = 0; slice < 100; slice += 1) await share.turn();
  isDone = true;
  expect(turns).toBeGreaterThanOrEqual(99);
});
