import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { Load } from './load.js';

/** Reads under way at any time on the node that stops. */
const READERS = 8;
/** What a client may see of a node that stops: an answer, a clear refusal, or nobody there. */
const REFUSED = 503;

/** Each node leads and stops about once. */
const STOPS = 3;

describe('SIGTERM of a follower that serves linearizable reads', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
  });
  afterAll(() => cluster?.remove());

  it('answers every read that it accepted, and exits 0', async () => {
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
    const exit = await follower.stop();
    isOver = true;
    await Promise.all(readers);
    await load.stop();
    expect(exit.code).toBe(0);
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

  it('hands leadership over before the process ends, and loses no acknowledged write', async () => {
    const load = Load.start(cluster, { prefix: 'handed-over/' });
    for (let stop = 0; stop < STOPS; stop += 1) {
      await load.progress(50);
      const leader = await cluster.leader();
      expect(await leader.stop()).toEqual({ code: 0, signal: null });
      // A leader that ended as one would have left its followers to their election timeouts.
      expect(roleEvents(leader).at(-1)).not.toBe('becameLeader');
      await load.progress(50);
      leader.start();
      await cluster.ready();
    }
    await load.stop();
    await load.verify();
  });
});

/** The changes of role that the newest process of a node has logged, in their order. */
function roleEvents(node: TestNode): readonly string[] {
  return present(node.run, 'It ran.')
    .output.split('\n')
    .flatMap((line) => /"event":"(became\w+)"/.exec(line)?.[1] ?? []);
}
