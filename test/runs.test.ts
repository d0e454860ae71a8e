import { describe, expect, it } from 'vitest';
import { type Run, type RunEnds, Runs } from '../src/runs.js';

/** Runs that do nothing, what was asked of them, and the room that the next one waits for. */
function start({ startFails = [] as readonly (string | undefined)[] } = {}) {
  const calls: string[] = [];
  const ends: RunEnds[] = [];
  const rooms: (() => void)[] = [];
  const stopping = new AbortController();
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
    lacksRoom: (error) => (error as Error).message === 'full',
    couldNotContinue: async (error) => {
      calls.push(`ends: ${(error as Error).message}`);
    },
    stopsWithoutRun: (reason) => {
      calls.push(`stops: ${reason}`);
    },
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const begin = () => runs.start(stopping.signal);
  return { runs, begin, stopping, calls, ends, rooms, settle };
}

describe('a run that a full disk ended', () => {
  it('is closed, and another one begins once there is room', async () => {
    const { runs, begin, calls, ends, rooms, settle } = start();
    await begin();
    ends[0]?.again();
    await settle();
    expect(calls).toEqual(['start 1', 'abandon 1', 'room?']);
    rooms[0]?.();
    await settle();
    ends[1]?.again();
    await settle();
    rooms[1]?.();
    await settle();
    await runs.stop('told.');
    expect(calls.slice(3)).toEqual(['start 2', 'abandon 2', 'room?', 'start 3', 'stop 3: told.']);
  });

  it('has no successor where the process is to stop meanwhile', async () => {
    const { runs, begin, calls, ends, settle } = start();
    await begin();
    ends[0]?.again();
    await settle();
    await runs.stop('told.');
    expect(calls).toEqual(['start 1', 'abandon 1', 'room?', 'stops: told.']);
  });

  it('waits again where the next one finds no room, and ends the process where that fails otherwise', async () => {
    const { runs, begin, calls, ends, rooms, settle } = start({
      startFails: [undefined, 'full', 'address in use'],
    });
    await begin();
    ends[0]?.again();
    for (let room = 0; room < 2; room += 1) {
      await settle();
      rooms[room]?.();
    }
    expect(await runs.failed).toBe(1);
    const third = ['start 3', 'ends: address in use'];
    expect(calls).toEqual(['start 1', 'abandon 1', 'room?', 'start 2', 'abandon 2', 'room?', ...third]);
  });
});

describe('a first run', () => {
  it('that finds no room is closed, and another one begins once there is some', async () => {
    const { begin, calls, ends, rooms, settle } = start({ startFails: ['full', 'full'] });
    const started = begin();
    for (let room = 0; room < 2; room += 1) {
      await settle();
      rooms[room]?.();
    }
    await started;
    // A failure of one that is gone by then is of no interest.
    ends[0]?.again();
    await settle();
    const first = ['start 1', 'abandon 1', 'room?', 'start 2', 'abandon 2', 'room?', 'start 3'];
    expect(calls).toEqual(first);
  });

  it('has no successor where the process is told to stop while it waits for room', async () => {
    const { runs, begin, stopping, calls, settle } = start({ startFails: ['full'] });
    const started = begin();
    await settle();
    stopping.abort();
    await started;
    await runs.stop('told.');
    expect(calls).toEqual(['start 1', 'abandon 1', 'room?', 'stops: told.']);
  });

  it('does not begin where the process was told to stop before, and is stopped where it was told meanwhile', async () => {
    const early = start();
    early.stopping.abort();
    await early.begin();
    await early.runs.stop('told.');
    expect(early.calls).toEqual(['stops: told.']);
    const late = start();
    const started = late.begin();
    await late.settle();
    await Promise.all([late.runs.stop('told.'), started]);
    expect(late.calls).toEqual(['start 1', 'stop 1: told.']);
  });

  it('that cannot start for another reason, or one that fails later, is not repeated', async () => {
    const { begin, calls } = start({ startFails: ['address in use'] });
    await expect(begin()).rejects.toThrow('address in use');
    const failing = start();
    await failing.begin();
    failing.ends[0]?.failed();
    expect(await failing.runs.failed).toBe(1);
    expect([calls, failing.calls]).toEqual([['start 1'], ['start 1']]);
  });
});
