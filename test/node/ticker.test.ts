import { describe, expect, it } from 'vitest';
import { type Stalls, Ticker } from '../../src/node/ticker.js';
import { FakeClock } from './fake-clock.js';

function start(quiet = { ticks: 1 }) {
  const clock = new FakeClock();
  const ticks: number[] = [];
  const wakes: number[] = [];
  const stalls: Stalls[] = [];
  const heldUp: number[] = [];
  const ticker = new Ticker(clock, {
    tick: () => ticks.push(clock.now()),
    ticked: () => wakes.push(clock.now()),
    quietTicks: () => quiet.ticks,
    heldUp: (ms) => heldUp.push(ms),
    stalled: (reported) => stalls.push(reported),
  });
  ticker.start();
  return { clock, ticks, wakes, stalls, heldUp, ticker };
}

describe('ticker', () => {
  it('ticks every ten milliseconds', async () => {
    const { clock, ticks } = start();
    await clock.pass(50);
    expect(ticks).toEqual([10, 20, 30, 40, 50]);
  });

  it('does not make up for a stall: one tick counts, not thirty (row 32)', async () => {
    const { clock, ticks, stalls, ticker } = start();
    clock.stall(300);
    await clock.pass(0);
    expect(ticks).toEqual([300]);
    expect(stalls).toEqual([{ count: 1, longestMs: 290 }]);
    expect(ticker.stalls).toEqual({ count: 1, longestMs: 290 });
    await clock.pass(20);
    expect(ticks).toEqual([300, 310, 320]);
  });

  it('counts what passed before a message that is read between the timer and its turn, and no more after it (row 19)', async () => {
    const turns: (() => void)[] = [];
    class BusyClock extends FakeClock {
      override soon(task: () => void): void {
        turns.push(task);
      }
    }
    const clock = new BusyClock();
    let ticks = 0;
    const ticker = new Ticker(clock, {
      tick: () => {
        ticks += 1;
      },
      ticked: () => {},
      quietTicks: () => 5,
      heldUp: () => {},
      stalled: () => {},
    });
    ticker.start();
    await clock.pass(50);
    expect([ticks, turns.length]).toEqual([0, 1]);
    ticker.catchUp();
    const before = ticks;
    turns.shift()?.();
    expect([before, ticks - before]).toEqual([4, 1]);
  });

  it('reports stalls that follow each other together, ten seconds later', async () => {
    const { clock, stalls, heldUp, ticker } = start();
    for (const stallMs of [300, 100, 200]) {
      clock.stall(stallMs);
      await clock.pass(0);
    }
    expect(heldUp).toEqual([290, 90, 190]);
    expect(stalls).toEqual([{ count: 1, longestMs: 290 }]);
    await clock.pass(10_000);
    clock.stall(80);
    await clock.pass(0);
    expect(stalls).toHaveLength(2);
    expect(stalls[1]).toMatchObject({ count: 3 });
    expect(ticker.stalls.count).toBe(4);
  });

  it('makes up for small delays, so that they do not add up', async () => {
    const { clock, ticks, stalls } = start();
    clock.stall(15);
    await clock.pass(35);
    expect(ticks).toEqual([15, 20, 30, 40, 50]);
    expect(stalls).toEqual([]);
  });

  it('does not make up for delays of more than a tick, even if they are not worth a report (row 32)', async () => {
    const { clock, ticks, stalls } = start();
    for (let count = 0; count < 10; count += 1) {
      clock.stall(50);
      await clock.pass(0);
    }
    expect(clock.now()).toBe(500);
    expect(ticks).toHaveLength(10);
    expect(stalls).toEqual([]);
  });

  it('reads the input that piled up before a late tick counts (row 32)', async () => {
    const { clock, ticks } = start();
    const order: string[] = [];
    clock.stall(300);
    clock.soon(() => order.push(`input before ${ticks.length} ticks`));
    await clock.pass(0);
    expect(order).toEqual(['input before 0 ticks']);
    expect(ticks).toHaveLength(1);
  });

  it('stops, even between the timer and its tick', async () => {
    const { clock, ticks, ticker } = start();
    clock.soon(() => ticker.stop());
    await clock.pass(100);
    expect(ticks).toEqual([]);
  });

  it('sleeps through ticks that have nothing to do, and counts them all', async () => {
    const { clock, ticks, wakes } = start({ ticks: 3 });
    await clock.pass(60);
    expect(wakes).toEqual([30, 60]);
    expect(ticks).toHaveLength(6);
  });

  it('never sleeps longer than a heartbeat period', async () => {
    const { clock, wakes } = start({ ticks: 1000 });
    await clock.pass(100);
    expect(wakes).toEqual([50, 100]);
  });

  it('wakes earlier when something turns up', async () => {
    const quiet = { ticks: 5 };
    const { clock, ticks, wakes, ticker } = start(quiet);
    await clock.pass(12);
    quiet.ticks = 1;
    ticker.hasten();
    await clock.pass(8);
    // The tick at 10 was slept through, so it counts at once.
    expect(wakes).toEqual([12, 20]);
    expect(ticks).toEqual([12, 20]);
  });

  it('notices a stall that began while it slept by what is beyond the sleep', async () => {
    const { clock, ticks, stalls } = start({ ticks: 5 });
    clock.stall(150);
    await clock.pass(0);
    expect(stalls).toEqual([{ count: 1, longestMs: 100 }]);
    expect(ticks).toHaveLength(5);
  });

  it('counts what has passed of a sleep before a message, and the rest after it', async () => {
    const { clock, ticks, ticker } = start({ ticks: 5 });
    await clock.pass(34);
    ticker.catchUp();
    expect(ticks).toHaveLength(3);
    await clock.pass(16);
    expect(ticks).toHaveLength(5);
  });

  it('never counts the tick that may have something to do for a message, late as it may be', async () => {
    const { clock, ticks, ticker } = start({ ticks: 5 });
    clock.stall(300);
    ticker.catchUp();
    expect(ticks).toHaveLength(4);
    await clock.pass(0);
    expect(ticks).toHaveLength(5);
  });
});
