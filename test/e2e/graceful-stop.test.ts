import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { put } from './client.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { HELD_UP_MS, watchMachine } from './disturbance.js';
import { Load } from './load.js';

/** Reads under way at any time on the node that stops. */
const READERS = 8;
/** Long enough for thousands of reads, short against the time that a stop may take when something hangs. */
const STOP_MS_MAX = 3000;
/** What a client may see of a node that stops: an answer, a clear refusal, or nobody there. */
const REFUSED = 503;

const STOPS = 7;
/** Stops during which the machine was held up are not counted, and made again up to so many in all. */
const STOPS_MAX = 14;
const TRY_EVERY_MS = 10;
/** Tries go on for so long before the leader is told to stop, and after. */
const BEFORE_MS = 300;
const AFTER_MS = 700;
/** The requirement. */
const GAP_MS_MAX = 100;

describe('SIGTERM of a follower that serves linearizable reads', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
  });
  afterAll(() => cluster?.remove());

  it('answers every read that it accepted, and exits 0 without delay', async () => {
    await cluster.put('read/me', 'x');
    const follower = await cluster.follower();
    const load = Load.start(cluster, { prefix: 'stop/' });
    await load.progress(50);
    const statuses = new Map<number, number>();
    const broken: string[] = [];
    let isOver = false;
    const readers = Array.from({ length: READERS }, async () => {
      while (!isOver) {
        try {
          const response = await fetch(`${follower.url}/v1/kv/read/me?redirect=never`);
          await response.arrayBuffer();
          statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
        } catch (error) {
          const code = (error as { cause?: { code?: string } }).cause?.code ?? String(error);
          if (code === 'ECONNREFUSED') return;
          broken.push(code);
        }
      }
    });
    await load.progress(50);
    const startedAt = performance.now();
    const exit = await follower.stop();
    const elapsedMs = performance.now() - startedAt;
    isOver = true;
    await Promise.all(readers);
    await load.stop();
    expect(exit.code).toBe(0);
    expect(elapsedMs).toBeLessThan(STOP_MS_MAX);
    expect(statuses.get(200)).toBeGreaterThan(READERS);
    expect([...statuses.keys()].filter((status) => status !== 200 && status !== REFUSED)).toEqual([]);
    // A connection that was idle may be closed just as the next request leaves; a request that was read is answered.
    expect(broken.filter((code) => code !== 'ECONNRESET' && code !== 'UND_ERR_SOCKET')).toEqual([]);
    await load.verify();
  });
});

describe('SIGTERM of the leader', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
  });
  afterAll(() => cluster?.remove());

  it(`leaves a gap of less than ${GAP_MS_MAX} ms between acknowledged writes (median)`, async () => {
    const gaps: number[] = [];
    const all: number[] = [];
    for (let stop = 0; gaps.length < STOPS && stop < STOPS_MAX; stop += 1) {
      const leader = await cluster.leader();
      const longestHoldUp = watchMachine();
      const gapMs = await gapAtStop(cluster, leader, stop);
      all.push(gapMs);
      if (longestHoldUp() <= HELD_UP_MS) gaps.push(gapMs);
      expect((await present(leader.run, 'It ran.').ended()).code).toBe(0);
      leader.start();
      await cluster.ready();
      await cluster.settled();
    }
    // On a machine that is held up throughout, all stops count: there is nothing better to judge by.
    const counted = (gaps.length === STOPS ? gaps : all).toSorted((one, two) => one - two);
    const medianMs = present(counted[Math.floor(counted.length / 2)], 'There were stops.');
    console.info(
      `SIGTERM of the leader: median ${Math.round(medianMs)} ms between two acknowledged writes (${counted.map(Math.round).join(', ')}; ` +
        `of ${all.length} stops, ${all.length - gaps.length} on a machine that was held up)`,
    );
    expect(medianMs).toBeLessThan(GAP_MS_MAX);
  });
});

/**
 * Tells the leader to stop while a client goes on trying all nodes in turn. The longest time in milliseconds between two
 * acknowledgements from the last one before the signal on.
 */
async function gapAtStop(cluster: Cluster, leader: TestNode, stop: number): Promise<number> {
  const urls = cluster.nodes.map((node) => node.url);
  const acknowledgedAt: number[] = [];
  const tries: Promise<void>[] = [];
  const startedAt = performance.now();
  let stoppedAt = Number.POSITIVE_INFINITY;
  for (let count = 0; performance.now() < stoppedAt + AFTER_MS; count += 1) {
    if (stoppedAt === Number.POSITIVE_INFINITY && performance.now() > startedAt + BEFORE_MS) {
      stoppedAt = performance.now();
      leader.run?.signal('SIGTERM');
    }
    const url = present(urls[count % urls.length], 'There are nodes.');
    tries.push(
      put(url, `gap/${stop}/${count}`, 'x', { timeoutMs: 2000 }).then((outcome) => {
        if (outcome.kind === 'done') acknowledgedAt.push(performance.now());
      }),
    );
    await sleep(TRY_EVERY_MS);
  }
  await Promise.all(tries);
  const before = acknowledgedAt.filter((at) => at <= stoppedAt).length;
  const times = acknowledgedAt.slice(Math.max(0, before - 1));
  return Math.max(...times.slice(1).map((at, place) => at - (times[place] ?? at)));
}
