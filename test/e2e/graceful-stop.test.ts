import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { Load } from './load.js';

/** Reads under way at any time on the node that stops. */
const READERS = 8;
/** Long enough for thousands of reads, short against the time that a stop may take when something hangs. */
const STOP_MS_MAX = 3000;
/** What a client may see of a node that stops: an answer, a clear refusal, or nobody there. */
const REFUSED = 503;

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
