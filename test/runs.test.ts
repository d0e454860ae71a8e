import { describe, expect, it } from 'vitest';
import { type Run, type RunEnds, Runs } from '../src/runs.js';

/** Runs that do nothing, what was asked of them, and the room that the next one waits for. */
function start({ startFails = [] as readonly (string | undefined)[] } = {}) {
  const calls: string[] = [];
  const ends: RunEnds[] = [];
  const rooms: (() => void)[] = [];
  const runs = new Runs({
    newRun: (endsOfRun) => {
      const number = ends.push(endsOfRun);
      const run: Run = {
        start: async () => {
          calls.push(`start ${number}`);
          const failure = startFails[number - 1];
          if (failure !== undefined) throw new Error(failure);
        },
        stop: async (reason) => {
          calls.push(`stop ${number}: ${reason}`);
        },
        abandon: async () => {
          calls.push(`abandon ${number}`);
        },
      };
      return run;
    },
    room: (signal) =>
      new Promise((resolve) => {
        calls.push('room?');
        rooms.push(resolve);
        signal.addEventListener('abort', () => resolve());
      }),
    couldNotStart: (error) => (error as Error).message === 'full',
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { runs, calls, ends, rooms, settle };
}

describe('a run that a full disk ended', () => {
  it('is closed, and another one begins once there is room', async () => {
    const { runs, calls, ends, rooms, settle } = start();
    await runs.start();
    ends[0]?.diskFull();
    await settle();
    expect(calls).toEqual(['start 1', 'abandon 1', 'room?']);
    rooms[0]?.();
    await settle();
    ends[1]?.diskFull();
    await settle();
    rooms[1]?.();
    await settle();
    await runs.stop('told.');
    expect(calls.slice(3)).toEqual(['start 2', 'abandon 2', 'room?', 'start 3', 'stop 3: told.']);
  });

  it('has no successor where the process is to stop meanwhile', async () => {
    const { runs, calls, ends, settle } = start();
    await runs.start();
    ends[0]?.diskFull();
    await settle();
    await runs.stop('told.');
    expect(calls).toEqual(['start 1', 'abandon 1', 'room?']);
  });

  it('waits again where the next one finds no room, and ends the process where that fails otherwise', async () => {
    const { runs, calls, ends, rooms, settle } = start({ startFails: [undefined, 'full', 'address in use'] });
    await runs.start();
    ends[0]?.diskFull();
    for (let room = 0; room < 2; room += 1) {
      await settle();
      rooms[room]?.();
    }
    expect(await runs.failed).toBe(1);
    expect(calls).toEqual(['start 1', 'abandon 1', 'room?', 'start 2', 'abandon 2', 'room?', 'start 3']);
  });
});

it('a first run that cannot start, or one that fails, is not repeated', async () => {
  const { runs, calls } = start({ startFails: ['full'] });
  await expect(runs.start()).rejects.toThrow('full');
  const failing = start();
  await failing.runs.start();
  failing.ends[0]?.failed();
  expect(await failing.runs.failed).toBe(1);
  expect([calls, failing.calls]).toEqual([['start 1'], ['start 1']]);
});
